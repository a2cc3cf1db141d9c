"""What may be asked: the body of every route as a dataclass, and its checks.

A body's fields are its keys, in the order in which the page writes them: the key of an answer
that is recorded for a shared file rests on it (`recording.py`).
"""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from nextword.config import ModelConfig
from nextword.errors import ConfigError, ContextError, DataError, unknown
from nextword.serve.responses import RequestError
from nextword.validation import ConfigT, config_from

BodyT = TypeVar("BodyT", bound="Body")
Mode = Literal["auto", "dialogue", "text"]
MOST_POSITIONS = 32  # of the lens, at once: each costs a whole unembedding for every stage
MOST_CANDIDATES = 100


@dataclass(frozen=True, kw_only=True)
class Body:
    """What every body may have: the version of the weights that the page believes in."""

    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sentence(Body):
    """A body about a sentence, given as its tokens."""

    ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class AtPosition(Sentence):
    """A body about one position."""

    position: int


@dataclass(frozen=True, kw_only=True)
class AtRow(AtPosition):
    """One position of one layer."""

    layer: int


@dataclass(frozen=True, kw_only=True)
class AtHead(Sentence):
    """One head of one layer."""

    layer: int
    head: int


@dataclass(frozen=True, kw_only=True)
class AccountFor(AtPosition):
    """Which logit to account for; None: the most likely token's, against none."""

    token: int | None = None
    against: int | None = None


@dataclass(frozen=True, kw_only=True)
class NextAfter(AtPosition):
    """The next words at a position, this token among them."""

    token: int | None = None


@dataclass(frozen=True, kw_only=True)
class LensAt(Sentence):
    """The positions to read off after every layer."""

    positions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EquationOf(Sentence):
    """One number of the forward, by the name and the indices of its point."""

    name: str
    index: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Read(Body):
    """A text to read, as turns or as its tokens."""

    ids: tuple[int, ...] | None = None
    turns: tuple[str, ...] | None = None
    mode: Mode = "auto"


@dataclass(frozen=True, kw_only=True)
class ReplyTo(Read):
    """What to reply to, and how; `steps` is the most tokens to make now."""

    steps: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    top: int = 10


@dataclass(frozen=True, kw_only=True)
class TeachThis(Body):
    """What to teach: pairs, each its prompt's turns and then the reply, or one word of a sentence.

    `right`, a token or a text, is what should have come after the last of `ids`. With `also_prompt`
    the words before it are taught, too.
    """

    pairs: tuple[tuple[str, ...], ...] | None = None
    ids: tuple[int, ...] | None = None
    right: int | str | None = None
    phrasings: tuple[str, ...] = ()
    also_prompt: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UndoThese(Body):
    """The lessons to undo, by number; None: all."""

    numbers: tuple[int, ...] | None = None


def parse(kind: type[BodyT], data: bytes) -> BodyT:
    """A body from the bytes that came.

    Raises:
        RequestError: no JSON object, an unknown or missing key, or a value of another type.
    """
    values = _load(data)
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise RequestError(unknown("key", key[:80], fields), param=key[:80])
        if not _fits(hints[key], value):
            raise RequestError(f"{key} must be {_named(hints[key])}", param=key)
    for name, item in fields.items():
        if name not in values and item.default is item.default_factory is dataclasses.MISSING:
            raise RequestError(f"the key {name!r} is missing", param=name)
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return kind(**values | lists)


def check_version(body: Body, version: str) -> None:
    """Refuse a body that is about weights of the past.

    Raises:
        RequestError: the weights have changed.
    """
    if body.version is not None and body.version != version:
        raise RequestError(
            "the model's weights have changed since this was asked; read the text again",
            status=409,
            code="version_changed",
            param="version",
        )


def check_ids(ids: Sequence[int], config: ModelConfig) -> None:
    """Refuse tokens that make no sentence for this model.

    Raises:
        DataError, ContextError, RequestError: none, too many, or one that it does not have.
    """
    if not ids:
        raise DataError("the sentence has no tokens; it needs at least 1")
    if len(ids) > config.context_length:
        raise ContextError(
            f"the sentence has {len(ids)} tokens, and this model's context holds "
            f"{config.context_length}; shorten it"
        )
    for token_id in ids:
        check_place("ids", token_id, config.vocab_size)


def check_places(body: Sentence, config: ModelConfig) -> None:
    """Refuse a position, layer, head or token that is not there.

    Raises:
        RequestError: says which there are.
    """
    sizes = {
        "position": len(body.ids),
        "layer": config.n_layers,
        "head": config.n_heads,
        "token": config.vocab_size,
        "against": config.vocab_size,
    }
    for name, size in sizes.items():
        value = getattr(body, name, None)
        if value is not None:
            check_place(name, value, size)
    if isinstance(body, LensAt):
        for position in body.positions:
            check_place("positions", position, len(body.ids))
        if not 1 <= len(body.positions) <= MOST_POSITIONS:
            raise out_of_bounds("positions", f"1 to {MOST_POSITIONS} of them are answered at once")


def check_place(name: str, value: int, size: int) -> None:
    """Refuse a number that is not from 0 to `size` - 1.

    Raises:
        RequestError: it is not.
    """
    if not 0 <= value < size:
        there = f"there are {size}, from 0 to {size - 1}" if size else "this model has none"
        raise out_of_bounds(name, f"{str(value)[:20]} is none of them; {there}")


def out_of_bounds(name: str, problem: str) -> RequestError:
    """The error for a value of the right type that cannot be."""
    return RequestError(
        f"{name}: {problem}", status=422, code="bad_setting", param=name, kind="ConfigError"
    )


def config_of(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """The settings that a body carries.

    Raises:
        RequestError: one of them is unknown or cannot be.
    """
    try:
        return config_from(kind, values)
    except ConfigError as error:
        raise out_of_bounds("config", str(error)[:300]) from error


def _load(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            data, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once
        )
    except RecursionError:
        raise RequestError("the body is nested too deeply to be read") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        raise RequestError(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise RequestError(f"the body must be a JSON object, not {type(value).__name__}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return made


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value of JSON is of a field's type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, list) and all(_fits(inner[0], item) for item in value)
    if origin is Mapping:
        return isinstance(value, dict)
    if inner:  # one of several
        return any(_fits(one, value) for one in inner)
    return type(value) is hint  # True and False are no whole numbers


def _named(hint: Any) -> str:
    """A field's type in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner))
    if origin is tuple:
        return f"a list, each item {_named(inner[0])}"
    if origin is Mapping:
        return "an object"
    if inner:
        return " or ".join(map(_named, inner))
    return {int: "a whole number", str: "a text", type(None): "null"}[hint]
