"""The shapes of records that stand for a document, and how each becomes one."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from nextword.data.dialogue import Dialogue, Document, Text, dialogue_from_messages
from nextword.data.records.chat_messages import plain_messages
from nextword.data.records.read_report import Tally
from nextword.data.records.record_keys import DIALOGUE_KEYS, MESSAGE_PAIRS, TEXT_KEYS, KeyNames
from nextword.data.records.record_values import (
    LeftOutError,
    ShapeError,
    filled,
    is_filled,
    is_zero,
    kind_of,
    text,
)
from nextword.errors import DataError

LONGEST_DIALOGUE = 4 << 20  # characters; tokenizers need about 100 bytes for each
KEYS_SHOWN = 20  # of a record, in a message
KEYS_COMPARED = 200  # of a record, to find a misspelt one

Make = Callable[[Mapping[str, Any], Tally], Document | None]

__all__ = ["SHAPES", "Shape", "ShapeError", "shape_of"]


@dataclass(frozen=True)
class Shape:
    """One way to write a document as a record."""

    name: str
    keys: tuple[str, ...]  # all needed
    make: Make
    optional: tuple[str, ...] = ()
    names: KeyNames = field(default_factory=KeyNames)  # of the file's keys

    @property
    def is_dialogue(self) -> bool:
        """Whether its documents are dialogues."""
        return self.name != "text"

    def columns(self, given: Sequence[str]) -> list[str]:
        """Return those of the given columns that the shape uses."""
        names, used = self.names.of(given), {*self.keys, *self.optional}
        return [column for column in given if names[column] in used]

    def document(self, record: Mapping[str, Any], tally: Tally | None = None) -> Document | None:
        """The record as a document; None for one that is blank or left out, which is counted.

        Args:
            record: with the keys of the file.
            tally: counts what is left out, not used or changed.

        Raises:
            ShapeError: a key is missing, or a value is empty or no string.
        """
        tally = Tally("") if tally is None else tally
        named: dict[str, Any] = self.names.renamed(record)
        missing = next((key for key in self.keys if key not in named), None)
        if missing is not None:
            raise ShapeError(
                f"the key {missing!r} is missing; the keys found are: {_found(record)}"
            )
        try:
            document = self._made(named, tally)
        except LeftOutError as reason:
            tally.left_out[str(reason)] += 1
            return None
        if document is None:
            tally.blank += 1
            return None
        self._count_unused(named, tally)
        tally.documents += 1
        return document

    def _made(self, named: Mapping[str, Any], tally: Tally) -> Document | None:
        weight = named.get("weight")
        if is_zero(weight):
            raise LeftOutError("its weight is 0")
        if is_filled(weight) and weight not in (1, "1"):
            tally.leave_unused("weight")
        document = self.make(named, tally)
        if isinstance(document, Dialogue) and sum(map(len, document.turns)) > LONGEST_DIALOGUE:
            raise ShapeError(
                f"the dialogue has {sum(map(len, document.turns)):,} characters; the most is "
                f"{LONGEST_DIALOGUE:,}. Divide it, or give long texts as plain text"
            )
        return document

    def _count_unused(self, named: Mapping[str, Any], tally: Tally) -> None:
        for key, value in named.items():
            if key not in self.keys and key not in self.optional and is_filled(value):
                tally.leave_unused(key.strip() or "(no name)")


def shape_of(
    keys: Mapping[str, Any],
    *,
    where: str,
    columns: Mapping[str, str] | None = None,
    is_table: bool = False,
) -> Shape:
    """The shape of a record, told from its keys; further keys (id, category, …) are fine.

    Args:
        keys: a record, or its keys.
        where: file and place, for messages.
        columns: known name → the key that stands for it; see `KeyNames`.
        is_table: whether the keys are the first row of a table.

    Raises:
        DataError: none fits; lists the keys found, the shapes allowed, and the nearest key.
    """
    names = KeyNames(columns)
    known = set(names.of(keys).values())
    for shape in SHAPES:
        if known.issuperset(shape.keys):
            return replace(shape, names=names)
    allowed = "; ".join(" + ".join(shape.keys) for shape in SHAPES)
    found, what = _found(keys), "the keys of the record are"
    if is_table:
        what = "the first row names the columns, and it says"
    raise DataError(
        f"{where}: {what} {found}; allowed are: {allowed}; other names are given with "
        f"--columns, for example --columns prompt=Frage,reply=Antwort{_asked(names)}.{_hint(keys)}"
    )


def _asked(names: KeyNames) -> str:
    asked = ", ".join(f"{name}={column}" for name, column in names.columns.items())
    return f" (given: {asked})" if asked else ""


def _found(keys: Mapping[str, Any]) -> str:
    shown = ", ".join(repr(key)[:80] for key in islice(keys, KEYS_SHOWN))
    more = len(keys) - KEYS_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown or "none"


def _hint(found: Mapping[str, Any]) -> str:
    known = [key for shape in SHAPES for key in shape.keys]
    for key in islice(found, KEYS_COMPARED):
        near = difflib.get_close_matches(key[:80].lower(), known, n=1, cutoff=0.7)
        if near and near[0] != key:
            return f" Did you mean {near[0]!r} where it says {key!r}?"
    return ""


def _optional_text(record: Mapping[str, Any], key: str, tally: Tally) -> str:
    """Return a text that may be absent or empty; one that is no text is not used."""
    value = record.get(key)
    if isinstance(value, str):
        return text(value, repr(key)) if value.strip() else ""
    if is_filled(value):
        tally.leave_unused(key)
    return ""


def _history(record: Mapping[str, Any], tally: Tally) -> list[str]:
    """Return earlier turns: pairs of a prompt and a reply, or messages."""
    given = record.get("history")
    if isinstance(given, str) or not is_filled(given):
        if is_filled(given):
            tally.leave_unused("history")
        return []
    if isinstance(given, Sequence) and all(isinstance(item, Mapping) for item in given):
        pair = MESSAGE_PAIRS[0]
        plain = plain_messages(given, list_key="history", pair=pair, tally=tally)
        return list(_dialogue(plain, tally).turns)
    if not isinstance(given, Sequence) or not all(map(_is_pair, given)):
        raise ShapeError(
            f"'history' is {kind_of(given)}; it must be a list of pairs of a prompt and a reply"
        )
    return [
        filled(turn, f"turn {number} of 'history'")
        for number, turn in enumerate((turn for pair in given for turn in pair), 1)
    ]


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def _in_context(record: Mapping[str, Any], prompt: str, reply: str, tally: Tally) -> Dialogue:
    """Return a dialogue: what it is about before the prompt, earlier turns and system first."""
    context = _optional_text(record, "context", tally)
    if context:
        prompt = f"{context}\n\n{prompt}"
    turns = [*_history(record, tally), prompt, reply]
    return Dialogue(_after_system(_optional_text(record, "system", tally), turns))


def _after_system(system: str, turns: Sequence[str]) -> tuple[str, ...]:
    return (f"{system}\n\n{turns[0]}", *turns[1:]) if system else tuple(turns)


def _pair(prompt: str, reply: str) -> Make:
    """Return the maker for a record with one prompt and one reply under these keys."""

    def make(record: Mapping[str, Any], tally: Tally) -> Dialogue:
        asked = filled(record[prompt], repr(prompt))
        return _in_context(record, asked, filled(record[reply], repr(reply)), tally)

    return make


def _instruction(record: Mapping[str, Any], tally: Tally) -> Dialogue:
    """Alpaca: the input stands after the instruction and a blank line; an empty one is left out."""
    prompt = filled(record["instruction"], "'instruction'")
    extra = record.get("input")
    if extra is not None and text(extra, "'input'").strip():
        prompt = f"{prompt}\n\n{extra}"
    return _in_context(record, prompt, filled(record["output"], "'output'"), tally)


def _messages(list_key: str, pair: tuple[str, str]) -> Make:
    """Return the maker for a record with a list of messages (OpenAI, ShareGPT)."""

    def make(record: Mapping[str, Any], tally: Tally) -> Dialogue:
        plain = plain_messages(record[list_key], list_key=list_key, pair=pair, tally=tally)
        turns = _dialogue(plain, tally).turns
        return Dialogue(_after_system(_optional_text(record, "system", tally), turns))

    return make


def _dialogue(plain: Sequence[Mapping[str, str]], tally: Tally) -> Dialogue:
    try:
        return dialogue_from_messages(plain, note=tally.note)
    except DataError as error:
        raise ShapeError(str(error).rstrip(".")) from error


def _text(record: Mapping[str, Any], tally: Tally) -> Text | None:
    """A text; blank ones, which published corpora are full of, stand for nothing."""
    found = text(record["text"], "'text'")
    return Text(found) if found.strip() else None


def _shapes() -> tuple[Shape, ...]:
    beside = ("system", "history", "context", "weight")
    shapes = []
    for keys in DIALOGUE_KEYS:
        if len(keys) == 1:
            pair = MESSAGE_PAIRS[0 if keys[0] == "messages" else 1]
            shapes.append(Shape(keys[0], keys, _messages(keys[0], pair), ("system", "weight")))
        elif keys[0] == "instruction":
            shapes.append(Shape("/".join(keys), keys, _instruction, ("input", *beside)))
        else:
            shapes.append(Shape("/".join(keys), keys, _pair(*keys), beside))
    return (*shapes, Shape("text", TEXT_KEYS, _text, ("weight",)))


SHAPES = _shapes()
