"""What a file is: its format and encoding, told from its first bytes and then its name."""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nextword.data.records.delimited_rows import delimiter_of, table_delimiter
from nextword.data.records.record_keys import is_messages, is_record
from nextword.errors import DataError

Format = Literal["text", "jsonl", "json", "csv", "parquet"]

TITLES: dict[Format, str] = {
    "text": "plain text",
    "jsonl": "JSON Lines",
    "json": "a JSON list",
    "csv": "CSV",
    "parquet": "Parquet",
}

HEAD = 1 << 20  # bytes looked at; a first line longer than this leaves the file's name to decide
_MARKS = (  # byte-order marks; UTF-32 first, because UTF-16's is the beginning of it
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(  # <?xml … encoding="…"?>, <meta charset="…">, -*- coding: … -*-
    rb"(?:encoding|charset|coding)\s*[=:]\s*[\"']?\s*([A-Za-z][\w.:-]{1,30})", re.IGNORECASE
)
_DECLARED_WITHIN = 1024  # bytes
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_POINTER = b"version https://git-lfs.github.com/spec/"
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
    old_breaks: bool = False  # lines end in a carriage return alone, as on old Macs
    note: str = ""  # where the content overruled the name

    @property
    def title(self) -> str:
        """What the file was recognised as, in words."""
        named = "TSV" if self.format == "csv" and self.delimiter == "\t" else TITLES[self.format]
        encoding = "" if self.encoding == "utf-8" else self.encoding.upper()
        if encoding.startswith(("UTF-16", "UTF-32")):
            encoding = encoding[:6]
        extra = ", ".join(part for part in (encoding, self.note) if part)
        return f"{named} ({extra})" if extra else named


def recognise(path: Path, *, name: str, columns: Mapping[str, str] | None = None) -> File:
    """Tell what the file at `path` is.

    The content wins over the ending of the name where the two disagree in an obvious way.

    Args:
        path: an existing regular file.
        name: what to call it in messages.
        columns: known name → the column that stands for it.

    Raises:
        DataError: it cannot be read, is empty (EmptyFileError) or is no text (BinaryFileError).
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error
    suffix = Path(name).suffix.lower()
    refuse_head(head, name=name)
    if head.startswith(b"PAR1"):
        note = "" if suffix == ".parquet" else _despite(suffix)
        return File(path=path, name=name, format="parquet", size=size, note=note)
    if suffix == ".parquet":
        raise DataError(f"{name} is named .parquet but holds none; fetch or write it again")
    encoding, mark = _encoding(head)
    text = head[mark:].decode(encoding, errors="replace")
    if not text.strip() and len(head) == size:
        raise EmptyFileError(f"{name} is empty; give a file that holds some text")
    old_breaks = "\r" in text and "\n" not in text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    what = _Head(text, suffix, whole=len(head) == size, columns=columns or {})
    format_, delimiter, note = what.format()
    return File(
        path=path,
        name=name,
        format=format_,
        size=size,
        encoding=encoding,
        mark=mark,
        delimiter=delimiter,
        old_breaks=old_breaks,
        note=note,
    )


def refuse_head(head: bytes, *, name: str) -> None:
    """Refuse a file that holds no text by its first bytes.

    Raises:
        BinaryFileError: it is packed, or binary.
        DataError: it is a pointer to a file that was never fetched.
    """
    packed = next((kind for start, kind in _PACKED.items() if head.startswith(start)), None)
    if packed is not None:
        raise BinaryFileError(f"{name} is packed with {packed}; unpack it and give what is inside")
    if head.startswith(_POINTER):
        raise DataError(
            f"{name} is a Git LFS pointer, not the data that it stands for; fetch it with: "
            "git lfs pull"
        )
    marked = head.startswith(tuple(mark for mark, encoding in _MARKS if encoding != "utf-8"))
    if b"\0" in head and not marked and not head.startswith(b"PAR1"):
        raise BinaryFileError(
            f"{name} is a binary file (byte {head.index(0)} is NUL); give text, JSON Lines, "
            "JSON, CSV, TSV or Parquet"
        )


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding and the length of its byte-order mark; else UTF-8, or one that is declared."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    declared = _DECLARED.search(head[:_DECLARED_WITHIN])
    if declared is None or _is_utf8(head):
        return "utf-8", 0
    try:
        name = codecs.lookup(declared[1].decode()).name
        head.decode(name)
    except (LookupError, UnicodeError):  # unknown, no encoding of text, or not in it
        return "utf-8", 0
    return name, 0


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class _Head:
    """The beginning of a file as text, with line breaks made one, and the ending of its name."""

    text: str
    suffix: str
    whole: bool  # whether that is all
    columns: Mapping[str, str]

    def format(self) -> tuple[Format, str, str]:
        """The format, the delimiter, and a note where the content overruled the name."""
        named = _BY_NAME.get(self.suffix, "text")
        found, delimiter = self._format(named)
        if found == "csv" and delimiter is None:
            expected = "\t" if self.suffix == ".tsv" else ","
            delimiter = delimiter_of(self.text, expected=expected)
        return found, delimiter or ",", "" if found == named else _despite(self.suffix)

    def _format(self, named: Format) -> tuple[Format, str | None]:
        objects, more = self._leading_objects()
        if named == "json":
            return ("jsonl" if objects >= 1 and more else "json"), None
        if named == "jsonl":
            is_list = self.text.lstrip().startswith("[") and not objects
            return ("json" if is_list else "jsonl"), None
        if objects >= 2 or (objects == 1 and not more):
            return "jsonl", None
        if self._is_list():
            return "json", None
        delimiter = None if named == "csv" else table_delimiter(self.text, self.columns)
        return ("csv", delimiter) if delimiter else (named, None)

    def _leading_objects(self) -> tuple[int, bool]:
        """How many of the first two filled lines are records, and whether there is a second."""
        lines = self.text.split("\n")
        if not self.whole:
            lines.pop()  # the head may have cut it
        filled = [line for line in lines if line.strip()][:2]
        objects = 0
        for line in filled:
            value = _json_or_none(line)
            if not isinstance(value, dict) and not is_messages(value):
                break
            objects += 1
        return objects, len(filled) > 1 or not self.whole

    def _is_list(self) -> bool:
        """Return True if the text begins with a JSON list whose first item is a record."""
        start = self.text.lstrip()
        if not start.startswith("["):
            return False
        item = start[1:].lstrip()
        try:
            value, end = json.JSONDecoder().raw_decode(item)
        except (ValueError, RecursionError):
            return False
        follows = item[end:].lstrip()[:1]
        return follows in (",", "]") and (is_record(value, self.columns) or is_messages(value))


def _despite(suffix: str) -> str:
    return "despite its name" if suffix else ""


def _json_or_none(line: str) -> Any:
    if not line.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
