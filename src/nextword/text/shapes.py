"""The shapes of records that stand for a document, and how each becomes one."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nextword.errors import DataError
from nextword.text.dialogue import Dialogue, Document, Text, dialogue_from_messages
from nextword.text.readers import kind_of


class ShapeError(Exception):
    """A record that is broken; its caller knows the file and the line."""


@dataclass(frozen=True)
class Shape:
    """One way to write a document as a record."""

    name: str
    keys: tuple[str, ...]  # all needed
    make: Callable[[Mapping[str, Any]], Document | None]
    optional: tuple[str, ...] = ()

    @property
    def is_dialogue(self) -> bool:
        """Whether its documents are dialogues."""
        return self.name != "text"

    def document(self, record: Mapping[str, Any]) -> Document | None:
        """The record as a document; None for a text without a character.

        Raises:
            ShapeError: a key is missing, or a value is empty or no string.
        """
        missing = next((key for key in self.keys if key not in record), None)
        if missing is not None:
            found = ", ".join(map(repr, record)) or "none"
            raise ShapeError(f"the key {missing!r} is missing; the keys found are: {found}")
        return self.make(record)


def shape_of(keys: Mapping[str, Any], *, where: str) -> Shape:
    """The shape of a record, told from its keys; further keys (id, category, …) are fine.

    Raises:
        DataError: none fits; lists the keys found, the shapes allowed, and the nearest key.
    """
    for shape in SHAPES:
        if all(key in keys for key in shape.keys):
            return shape
    allowed = "; ".join(" + ".join(shape.keys) for shape in SHAPES)
    found = ", ".join(map(repr, keys)) or "none"
    raise DataError(
        f"{where}: the keys of the record are {found}; allowed are: {allowed}.{_hint(list(keys))}"
    )


def _hint(found: list[str]) -> str:
    known = [key for shape in SHAPES for key in shape.keys]
    for key in found:
        near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.7)
        if near and near[0] != key:
            return f" Did you mean {near[0]!r} where it says {key!r}?"
    return ""


def _string(value: Any, name: str) -> str:
    """`value` if it is text, or a ShapeError that names it."""
    if not isinstance(value, str):
        raise ShapeError(f"{name} is {kind_of(value)}; it must be a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        half = ascii(value[error.start])
        raise ShapeError(f"{name} holds {half}, which is half a character") from None
    return value


def _filled(value: Any, name: str) -> str:
    if not _string(value, name).strip():
        raise ShapeError(f"{name} is empty")
    return str(value)


def _pair(prompt: str, reply: str) -> Callable[[Mapping[str, Any]], Dialogue]:
    """The maker for a record with one prompt and one reply under these keys."""
    return lambda record: Dialogue(
        (_filled(record[prompt], repr(prompt)), _filled(record[reply], repr(reply)))
    )


def _instruction(record: Mapping[str, Any]) -> Dialogue:
    """Alpaca: the input stands after the instruction and a blank line; an empty one is left out."""
    prompt = _filled(record["instruction"], "'instruction'")
    extra = record.get("input")
    if extra is not None and _string(extra, "'input'").strip():
        prompt = f"{prompt}\n\n{extra}"
    return Dialogue((prompt, _filled(record["output"], "'output'")))


def _messages(list_key: str, role: str, content: str) -> Callable[[Mapping[str, Any]], Dialogue]:
    """The maker for a record with a list of messages (OpenAI, ShareGPT)."""

    def make(record: Mapping[str, Any]) -> Dialogue:
        messages = record[list_key]
        if not isinstance(messages, list):
            raise ShapeError(f"{list_key!r} is {kind_of(messages)}; it must be a list")
        plain = []
        for number, message in enumerate(messages, 1):
            name = f"message {number} of {list_key!r}"
            if not isinstance(message, dict) or role not in message or content not in message:
                raise ShapeError(f"{name} must be an object with {role!r} and {content!r}")
            speaker = _filled(message[role], f"{role!r} in {name}")
            said = _filled(message[content], f"{content!r} in {name}")
            plain.append({"role": speaker, "content": said})
        try:
            return dialogue_from_messages(plain)
        except DataError as error:
            raise ShapeError(str(error).rstrip(".")) from error

    return make


def _text(record: Mapping[str, Any]) -> Text | None:
    """A text; blank ones, which published corpora are full of, stand for nothing."""
    text = _string(record["text"], "'text'")
    return Text(text) if text.strip() else None


SHAPES = (  # in this order: a record of messages often repeats the first as its "prompt"
    Shape("messages", ("messages",), _messages("messages", "role", "content")),
    Shape("conversations", ("conversations",), _messages("conversations", "from", "value")),
    Shape("instruction/output", ("instruction", "output"), _instruction, optional=("input",)),
    Shape("prompt/reply", ("prompt", "reply"), _pair("prompt", "reply")),
    Shape("prompt/completion", ("prompt", "completion"), _pair("prompt", "completion")),
    Shape("prompt/response", ("prompt", "response"), _pair("prompt", "response")),
    Shape("question/answer", ("question", "answer"), _pair("question", "answer")),
    Shape("text", ("text",), _text),
)
