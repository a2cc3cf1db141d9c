"""Files of lessons: a prompt, the reply it should have had, and other ways to ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from nextword.data.corpus import records
from nextword.data.dialogue import Dialogue
from nextword.data.records.file_format import File
from nextword.data.records.readers import Record
from nextword.data.records.record_schemas import ShapeError, shape_of
from nextword.data.records.record_values import kind_of
from nextword.data.records.sources import find_files
from nextword.errors import DataError

PHRASINGS = "phrasings"  # the key, beside those of the shape


@dataclass(frozen=True, kw_only=True)
class Given:
    """One lesson as a file has it.

    Attributes:
        turns: the prompt; of several turns, prompt, reply, prompt, …
        reply: what should follow.
        phrasings: other ways to ask the last turn.
        where: file and line, for messages.
    """

    turns: tuple[str, ...]
    reply: str
    phrasings: tuple[str, ...] = ()
    where: str

    @property
    def other_prompts(self) -> tuple[tuple[str, ...], ...]:
        """The prompt once for each phrasing, after the same earlier turns."""
        return tuple((*self.turns[:-1], phrasing) for phrasing in self.phrasings)


def read_lessons(path: str | Path) -> list[Given]:
    """The lessons of a file of dialogues, in any shape that training reads.

    Of a dialogue of several turns the last reply is learned; the turns before it are its prompt.
    A key `phrasings`, a list of strings, may stand beside those of the shape (JSONL and JSON).

    Args:
        path: a file, a folder, or `-` for standard input.

    Raises:
        DataError: it cannot be read, is plain text, or a record is broken; names file and line.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    found = find_files(path)  # holds the copy of a stream until the last record is read
    lessons = [lesson for file in found.files for lesson in _lessons(file)]
    if not lessons:
        raise DataError(f"{found.name} holds no lesson; give at least one prompt and its reply")
    return lessons


def _lessons(file: File) -> Iterator[Given]:
    if file.format == "text":
        raise DataError(
            f"{file.name} is plain text; a file of lessons has prompts and replies, for example "
            'a line {"prompt": "who is she?", "reply": "My sister."} for each'
        )
    shape = None
    for record in records(file, None, _stop):
        where = f"{file.name}:{record.place}"
        shape = shape or shape_of(record.value, where=where)
        try:
            document = shape.document(record.value)
            phrasings = _phrasings(record)
        except ShapeError as error:
            _stop(where, str(error))
        if document is None and shape.is_dialogue:
            _stop(where, "its weight is 0, which means that it must not be learned")
        if not isinstance(document, Dialogue):
            _stop(where, "it is a text; a lesson is a prompt and its reply")
        *prompt, reply = document.turns
        yield Given(turns=tuple(prompt), reply=reply, phrasings=phrasings, where=where)


def _phrasings(record: Record) -> tuple[str, ...]:
    value: Any = record.value.get(PHRASINGS, [])
    if not isinstance(value, list):
        raise ShapeError(f"{PHRASINGS!r} is {kind_of(value)}; it must be a list of strings")
    for number, phrasing in enumerate(value, 1):
        if not isinstance(phrasing, str) or not phrasing.strip():
            what = "empty" if isinstance(phrasing, str) else kind_of(phrasing)
            raise ShapeError(f"phrasing {number} is {what}; it must be a string with some text")
    return tuple(value)


def _stop(where: str, problem: str, lines: int = 1) -> NoReturn:
    raise DataError(f"{where}: {problem}. Mend it, or take it out of the file.")
