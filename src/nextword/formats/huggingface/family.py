"""What a model family is: how it says a ModelConfig in config.json, in both directions.

The families themselves are the tables in `families.py`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nextword.config import ModelConfig, RotaryScaling, config_from
from nextword.errors import ConfigError, FolderError, unknown, unsupported
from nextword.formats.huggingface.rope_and_window import Part
from nextword.formats.huggingface.unsupported_keys import (
    FOREIGN,
    Neutral,
    check_architecture,
    check_foreign,
)

MOST_LAYERS = 10_000
WRONG = (ConfigError, TypeError, AttributeError, ArithmeticError)  # what odd JSON values lead to
REQUIRED = object()  # no default: the key must be there
ENVELOPE = (  # what stands in our own config.json beside the settings
    "architectures",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "model_type",
    "nextword",
    "pad_token_id",
    "torch_dtype",
    "transformers_version",
)


@dataclass(frozen=True)
class Key:
    """One setting under the family's name.

    Attributes:
        theirs: the key in config.json.
        ours: the field of ModelConfig.
        default: what an absent key means to transformers; REQUIRED where it must be there.
        values: the family's name for each of our values, where they differ; the first of several
            names is the one that is written.
    """

    theirs: str
    ours: str
    default: Any = REQUIRED
    values: Mapping[str, tuple[str, ...]] | None = None

    def can_say(self, value: Any) -> bool:
        """Whether the family has a word for our `value`."""
        return self.values is None or value in self.values

    def say(self, value: Any) -> Any:
        """Our `value` as the family writes it."""
        if isinstance(value, RotaryScaling):
            return dataclasses.asdict(value)
        return value if self.values is None else self.values[value][0]

    def hear(self, values: Mapping[str, Any]) -> Any:
        """What config.json says, as ModelConfig says it.

        Raises:
            FolderError: the key is missing, or its value is one that we have no word for.
        """
        value = values.get(self.theirs, self.default)
        if value is REQUIRED:
            raise FolderError(f"config.json has no {self.theirs!r}; without it no model is built")
        if self.values is None:
            return value
        ours = {theirs: our for our, names in self.values.items() for theirs in names}
        if value not in ours:
            raise FolderError(unsupported(f"{self.theirs} in config.json", str(value), ours))
        return ours[value]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What one family fixes, and how it names the rest.

    Attributes:
        name: transformers' model_type.
        architecture: the class that transformers builds.
        keys: settings written under the family's own names.
        fixed: settings that every model of the family has.
        parts: settings that travel together: rotary scaling, sliding windows.
        conditions: what else a ModelConfig must meet.
        written: keys that are always written as they stand here.
        only: further keys that change the forward, each with the values that change nothing.
        strict: whether an unknown key is an error: in our own format alone.
    """

    name: str
    architecture: str
    keys: tuple[Key, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    conditions: tuple[Callable[[ModelConfig], bool], ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Neutral] = field(default_factory=dict)
    strict: bool = False

    def fits(self, config: ModelConfig) -> bool:
        """Whether this family can say exactly what `config` says."""
        return (
            all(getattr(config, name) == value for name, value in self.fixed.items())
            and all(key.can_say(getattr(config, key.ours)) for key in self.keys)
            and self._agrees(config)
            and all(part.fits(config) for part in self.parts)
            and all(condition(config) for condition in self.conditions)
        )

    def _why_not(self, config: ModelConfig) -> str:
        """Why a model of `config` is not written as one of this family."""
        wrong = [name for name, value in self.fixed.items() if getattr(config, name) != value]
        of = f": its {wrong[0]} is {getattr(config, wrong[0])!r}, not {self.fixed[wrong[0]]!r}"
        return (
            f"this is no {self.name} model{of if wrong else ''}. Programs for {self.name} would "
            "compute something else with its weights; save it as it is, for Nextword"
        )

    def _agrees(self, config: ModelConfig) -> bool:
        """Whether settings that share one key have one value."""
        pairs = [(key.theirs, getattr(config, key.ours)) for key in self.keys]
        said = dict(pairs)
        return all(said[name] == value for name, value in pairs)

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """The family's part of config.json for `config`.

        Raises:
            FolderError: the family cannot say what `config` says; names the setting if it is one.
        """
        if not self.fits(config):
            raise FolderError(self._why_not(config))
        values: dict[str, Any] = {"model_type": self.name, "architectures": [self.architecture]}
        values |= {key.theirs: key.say(getattr(config, key.ours)) for key in self.keys}
        for part in self.parts:
            values |= part.write(config)
        return values | dict(self.written)

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        """The ModelConfig that a config.json of this family describes.

        Raises:
            FolderError: a setting is missing, impossible, or changes the model in an unknown way.
        """
        self._refuse_unsupported(values)
        try:
            settings = dict(self.fixed) | {key.ours: key.hear(values) for key in self.keys}
            _check_layers(settings["n_layers"])
            for part in self.parts:
                settings |= part.read(values, settings)
            return config_from(ModelConfig, settings)
        except WRONG as error:
            raise FolderError(f"config.json describes an impossible model: {error}") from error

    def _refuse_unsupported(self, values: Mapping[str, Any]) -> None:
        check_architecture(values, self.name, self.architecture)
        check_foreign(values, FOREIGN | dict(self.only))
        known = [*ENVELOPE, *(key.theirs for key in self.keys)]
        for name in values if self.strict else ():
            if name not in known:
                raise FolderError(unknown("setting in config.json", name, known))


def _check_layers(n_layers: Any) -> None:
    """Refuse a number that would keep the machine busy before anything else is found wrong."""
    if type(n_layers) is int and n_layers > MOST_LAYERS:
        raise FolderError(
            f"config.json asks for {n_layers} layers; at most {MOST_LAYERS} are built"
        )
