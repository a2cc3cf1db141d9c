"""What all settings share: checks with clear messages, and building them from plain mappings."""

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from nextword.errors import ConfigError, unknown

ConfigT = TypeVar("ConfigT")
LARGEST = 2**63 - 1  # what fits the integers of torch and the operating system


def config_from(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a config of class `cls` from a plain mapping (TOML, JSON), nested ones included.

    Raises:
        ConfigError: for an unknown key (with the nearest match), a missing one, or a wrong type.
    """
    hints = typing.get_type_hints(cls)
    fields = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(unknown(f"setting in {cls.__name__}", key, fields))
        made[key] = _fit(f"{cls.__name__}.{key}", hints[key], value)
    missing = [
        name
        for name, item in fields.items()
        if name not in made and item.default is item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{cls.__name__} needs the setting {missing[0]!r}, which is not given")
    return cls(**made)


def _fit(name: str, hint: Any, value: Any) -> Any:
    """`value` as the type `hint` wants it, or a ConfigError."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _fit_one_of(name, typing.get_args(hint), value)
    if origin is Literal:
        return value  # checked by check_choices with the allowed ones
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)[0]
        return tuple(_fit(name, inner, item) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return config_from(typing.cast(type[Any], hint), value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _as_float(name, value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}; it must be a finite number")
    if hint is int and type(value) is int and abs(value) > LARGEST:
        raise ConfigError(f"{name} is {_shortened(value)}; it must be between -2^63 and 2^63")
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and (hint is bool) == isinstance(value, bool)
    ):
        return value
    raise ConfigError(f"{name} is {value!r}; it must be of type {_named(hint)}")


def _shortened(value: int) -> str:
    """Return a number of any length in a few characters."""
    return f"a number of {value.bit_length()} bits"


def _as_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{name} is a number of over 300 digits; give a smaller one") from None


def _fit_one_of(name: str, hints: Sequence[Any], value: Any) -> Any:
    """`value` as the first of several types that takes it."""
    if value is None and type(None) in hints:
        return None
    kinds = [hint for hint in hints if hint is not type(None)]
    for kind in kinds[:-1]:
        with contextlib.suppress(ConfigError):
            return _fit(name, kind, value)
    return _fit(name, kinds[-1], value)


def _named(hint: Any) -> str:
    if Mapping in (hint, typing.get_origin(hint)):
        return "table"
    return str(getattr(hint, "__name__", hint))


def check_choices(config: Any) -> None:
    """Every field that is a Literal holds one of its values."""
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            raise ConfigError(unknown(name, str(value), typing.get_args(hint)))


def at_least(config: Any, name: str, smallest: int) -> None:
    """Check that a whole number is no smaller than `smallest`, and no larger than LARGEST."""
    value = getattr(config, name)
    if value < smallest:
        raise ConfigError(f"{name} is {shown(value)}; it must be at least {smallest}")
    if value > LARGEST:
        raise ConfigError(f"{name} is {shown(value)}; it must be at most {LARGEST}")


def shown(value: int) -> str:
    """Return a whole number as text; of one with very many digits, how many they are."""
    size = value.bit_length()
    return str(value) if size <= 128 else f"a number of about {round(size * math.log10(2))} digits"


def above(config: Any, name: str, bound: float) -> None:
    """The field is finite and larger than `bound`."""
    value = getattr(config, name)
    if not bound < value < math.inf:
        raise ConfigError(f"{name} is {value}; it must be a finite number above {bound}")


def within(config: Any, name: str, low: float, high: float, *, below: bool = False) -> None:
    """`low` ≤ value ≤ `high`, or < `high` with `below`; no value that is no number passes."""
    value = getattr(config, name)
    if not low <= value <= high or (below and value == high):
        end = "" if high == math.inf else f" and {'below' if below else 'at most'} {high}"
        finite = "a finite number, " if high == math.inf else ""
        raise ConfigError(f"{name} is {value}; it must be {finite}at least {low}{end}")


def check_seed(seed: int) -> None:
    """The seed is one that every random generator takes."""
    if not 0 <= seed < 1 << 63:
        raise ConfigError(f"seed is {shown(seed)}; it must be at least 0 and below 2^63")
