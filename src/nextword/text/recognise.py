"""What a file is: its format and encoding, told from its first bytes and then its name."""

import codecs
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nextword.errors import DataError

Format = Literal["text", "jsonl", "json", "csv", "parquet"]

TITLES: dict[Format, str] = {
    "text": "plain text",
    "jsonl": "JSON Lines",
    "json": "a JSON list",
    "csv": "CSV",
    "parquet": "Parquet",
}

_HEAD = 1 << 20  # bytes looked at; a first line longer than this leaves the file's name to decide
_MARKS = (  # byte-order marks; UTF-32 first, because UTF-16's is the beginning of it
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_BY_NAME: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


class EmptyFileError(DataError):
    """A file without a single character of text."""


class BinaryFileError(DataError):
    """A file that holds no text."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a corpus and what it was recognised as."""

    path: Path
    name: str  # for people and fingerprints: no folders of this machine
    format: Format
    size: int  # bytes
    encoding: str = "utf-8"
    mark: int = 0  # bytes of the byte-order mark
    delimiter: str = ","  # of CSV
    note: str = ""  # where the content overruled the name

    @property
    def title(self) -> str:
        """What the file was recognised as, in words."""
        named = "TSV" if self.format == "csv" and self.delimiter == "\t" else TITLES[self.format]
        encoding = "" if self.encoding == "utf-8" else self.encoding[:6].upper()
        extra = ", ".join(part for part in (encoding, self.note) if part)
        return f"{named} ({extra})" if extra else named


def recognise(path: Path, *, name: str) -> File:
    """Tell what the file at `path` is.

    The content wins over the ending of the name where the two disagree in an obvious way.

    Args:
        path: an existing regular file.
        name: what to call it in messages.

    Raises:
        DataError: it cannot be read, is empty (EmptyFileError) or is no text (BinaryFileError).
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error
    suffix = Path(name).suffix.lower()
    if head.startswith(b"PAR1"):
        note = "" if suffix == ".parquet" else _despite(suffix)
        return File(path=path, name=name, format="parquet", size=size, note=note)
    encoding, mark = _encoding(head)
    _refuse_binary(head, name=name, suffix=suffix, encoding=encoding)
    text = head[mark:].decode(encoding, errors="replace")
    if not text.strip() and len(head) == size:
        raise EmptyFileError(f"{name} is empty; give a file that holds some text")
    format_, note = _format(text, suffix=suffix, whole=len(head) == size)
    delimiter = _delimiter(text, suffix=suffix) if format_ == "csv" else ","
    return File(
        path=path,
        name=name,
        format=format_,
        size=size,
        encoding=encoding,
        mark=mark,
        delimiter=delimiter,
        note=note,
    )


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding and the length of its byte-order mark; UTF-8 without one."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return "utf-8", 0


def _refuse_binary(head: bytes, *, name: str, suffix: str, encoding: str) -> None:
    packed = next((kind for start, kind in _PACKED.items() if head.startswith(start)), None)
    if packed is not None:
        raise BinaryFileError(f"{name} is packed with {packed}; unpack it and give what is inside")
    if suffix == ".parquet":
        raise DataError(f"{name} is named .parquet but holds none; fetch or write it again")
    if encoding == "utf-8" and b"\0" in head:
        raise BinaryFileError(
            f"{name} is a binary file (byte {head.index(0)} is NUL); give text, JSON Lines, "
            "JSON, CSV, TSV or Parquet"
        )


def _format(text: str, *, suffix: str, whole: bool) -> tuple[Format, str]:
    """The format, and a note where the content overruled the name."""
    named = _BY_NAME.get(suffix, "text")
    objects, more = _leading_objects(text, whole=whole)
    start = text.lstrip()
    if named == "json":
        lines = objects >= 1 and more
        return ("jsonl", _despite(suffix)) if lines else ("json", "")
    if named == "jsonl":
        return ("json", _despite(suffix)) if start.startswith("[") else ("jsonl", "")
    if objects >= 2 or (objects == 1 and not more):
        return "jsonl", _despite(suffix)
    if start.startswith("[") and start[1:].lstrip().startswith("{") and not suffix:
        return "json", ""
    return named, ""


def _despite(suffix: str) -> str:
    return "despite its name" if suffix else ""


def _leading_objects(text: str, *, whole: bool) -> tuple[int, bool]:
    """How many of the first two filled lines are JSON objects, and whether there is a second."""
    lines = text.split("\n")
    if not whole:
        lines.pop()  # the head may have cut it
    filled = [line for line in lines if line.strip()][:2]
    objects = 0
    for line in filled:
        if not isinstance(_json_or_none(line), dict):
            break
        objects += 1
    return objects, len(filled) > 1 or not whole


def _json_or_none(line: str) -> Any:
    if not line.lstrip().startswith("{"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _delimiter(text: str, *, suffix: str) -> str:
    """Comma or tab as the name says, unless the header holds only another one."""
    header = text.split("\n", 1)[0]
    expected = "\t" if suffix == ".tsv" else ","
    for delimiter in (expected, "\t", ",", ";"):
        if len(next(csv.reader([header], delimiter=delimiter), [])) > 1:
            return delimiter
    return expected
