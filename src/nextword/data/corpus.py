"""Texts and dialogues from files, folders and standard input, as a stream of documents.

A corpus recognises what it is given (`recognise.py`, `shapes.py`), says what that was
(`Corpus.describe`), and can be read any number of times in bounded memory (`readers.py`).
A text file is one document, whatever its size; a record is one document.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from nextword.data.dialogue import Dialogue, Document, Text
from nextword.data.records import readers
from nextword.data.records.delimited_tables import table_rows
from nextword.data.records.file_format import File
from nextword.data.records.parquet import column_names, parquet_rows
from nextword.data.records.read_report import ReadingReport, Tally, reading_lines
from nextword.data.records.readers import Broken, Record
from nextword.data.records.record_keys import check_columns
from nextword.data.records.record_schemas import Shape, ShapeError, shape_of
from nextword.data.records.sources import Found, find_files
from nextword.errors import BadLineError, DataError

BUNDLED = "nextword:dialogues"  # opens the dialogues that come with Nextword
READING = 2  # how files become documents; 1: version 0.1, without system, history, context, weight

_PLACES_SHOWN = 3  # of the lines skipped or the files left out


@dataclass(frozen=True, slots=True)
class Piece:
    """A document, or a part of a long text."""

    document: Document
    ends: bool  # whether the document ends here
    read: int  # bytes of the corpus read so far


@dataclass(frozen=True)
class Source:
    """What was found under one of the given paths."""

    name: str
    kind: str  # "JSON Lines", "3 files of plain text", …
    shape: str  # of its records: "prompt/reply", "messages", …; "text" for plain text
    size_bytes: int
    left_out: int  # files of a folder that hold no text
    files: tuple[tuple[File, Shape | None], ...]  # no shape: plain text

    @property
    def is_dialogue(self) -> bool:
        """Whether any of its documents is a dialogue."""
        return any(shape is not None and shape.is_dialogue for _, shape in self.files)

    def documents(self, broken: Broken | None = None) -> Iterator[Document]:
        """The documents, from the beginning at every call; a long text is joined."""
        return _joined(self.pieces(broken or _stop))

    def pieces(self, broken: Broken, tallies: list[Tally] | None = None) -> Iterator[Piece]:
        """As `documents`, but long texts come in pieces; `read` counts within the source.

        Args:
            broken: is told of what cannot be read.
            tallies: gets what was counted, one for each file as it is begun.
        """
        before = 0
        for file, shape in self.files:
            tally = Tally(file.name, is_dialogue=shape is not None and shape.is_dialogue)
            if tallies is not None:
                tallies.append(tally)
            for piece in _pieces_of(file, shape, broken, tally):
                yield Piece(piece.document, piece.ends, before + piece.read)
            before += file.size


class Corpus:
    """A stream of documents that can be read again and again."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        skip_bad: bool = False,
        warn: Callable[[str], None] | None = None,
        keep: object = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Make a corpus of sources; `open_corpus` finds them.

        Args:
            sources: what to read, in this order.
            skip_bad: pass over broken lines and count them; otherwise they stop with BadLineError.
            warn: told, after the first full reading, how many were passed over and where.
            keep: something that has to live as long as the corpus (the copies of streams).
            columns: known name → the column that stands for it, with which they were opened.
        """
        self.sources = list(sources)
        self.skip_bad = skip_bad
        self.bad = 0  # broken lines skipped in the latest reading so far
        self.columns = dict(columns or {})
        self._tallies: list[Tally] = []
        self._warn = warn
        self._keep = keep
        self._digests: dict[tuple[Any, ...], str] = {}

    @property
    def is_dialogue(self) -> bool:
        """Whether any source holds dialogues; texts beside them are documents without a prompt."""
        return any(source.is_dialogue for source in self.sources)

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(source.size_bytes for source in self.sources)

    def describe(self) -> list[str]:
        """One line per source: what it was recognised as."""
        return [_description(source) for source in self.sources]

    def __iter__(self) -> Iterator[Document]:
        """The documents; a text file comes as one, so use `pieces` where texts may be long."""
        return _joined(self.pieces())

    def pieces(self) -> Iterator[Piece]:
        """The documents, long texts in pieces of about 1 MB.

        A piece ends where byte-level BPE begins anew anyway (see `readers.text_pieces`), so its
        pieces encoded one by one give the same tokens as the whole.

        Raises:
            BadLineError: a broken line, unless `skip_bad`.
            DataError: a file that is damaged, or not in its encoding.
        """
        self.bad = 0
        self._tallies = []
        places: list[str] = []

        def skip(where: str, problem: str, lines: int = 1) -> None:
            self.bad += lines
            if len(places) < _PLACES_SHOWN:
                places.append(f"{where}: {problem}")

        broken, before = skip if self.skip_bad else _stop, 0
        for source in self.sources:
            for piece in source.pieces(broken, self._tallies):
                yield Piece(piece.document, piece.ends, before + piece.read)
            before += source.size_bytes
        self._report(places)

    def reading_report(self) -> list[ReadingReport]:
        """Return what the latest reading read and left out, file by file."""
        return [tally.report() for tally in self._tallies]

    def no_document(self) -> DataError:
        """Return the error for a corpus of which the latest reading left no document."""
        why = "; ".join(reading_lines(self.reading_report())[:3])
        return DataError(f"the data holds no document ({why}); give some text")

    def reading_rule(self) -> dict[str, Any]:
        """Return what, beside their content, tells which documents the files become."""
        return {"version": READING, "columns": self.columns}

    def fingerprint(self) -> list[dict[str, Any]]:
        """Name, size and SHA-256 of each file; read again only when a file has changed."""
        glances = zip(self._files(), self.glance(), strict=True)
        return [{"name": g[0], "size": g[1], "sha256": self._digest(f, g)} for f, g in glances]

    def glance(self) -> list[list[Any]]:
        """Name, size, time of change (ns) and inode of each file: what can be told unread."""
        return [_glance(file) for file in self._files()]

    def _files(self) -> list[File]:
        return [file for source in self.sources for file, _ in source.files]

    def _digest(self, file: File, glance: Sequence[Any]) -> str:
        seen = (file.path, *glance)
        if seen not in self._digests:
            with file.path.open("rb") as stream:
                self._digests[seen] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._digests[seen]

    def _report(self, places: Sequence[str]) -> None:
        """Tell once what was skipped."""
        if self.bad and self._warn is not None:
            lines = "line was" if self.bad == 1 else "lines were"
            some = _some(places, separator="; ", of=self.bad)
            self._warn(f"{self.bad} broken {lines} skipped: {some}")
            self._warn = None


def open_corpus(
    paths: Sequence[str | Path],
    *,
    skip_bad: bool = False,
    warn: Callable[[str], None] | None = None,
    leave_out: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Corpus:
    """Recognise files, folders, `-` (standard input) and bundled data, and make a corpus of them.

    Text of any ending, JSON Lines, a JSON list (read whole, 1 GB at most), CSV, TSV and Parquet
    are read. A folder is searched to its depths in sorted order; hidden files are left out, and
    so are those that hold no text. The first record of a file tells the shape of them all.

    Args:
        paths: what to read, in this order; `nextword:dialogues` and `nextword:phrasings` are the
            files that come with Nextword. Streams are copied to a temporary file.
        skip_bad: pass over broken lines and count them, and over files of a folder that cannot be
            read.
        warn: told what was left out or passed over.
        leave_out: a folder below one of the paths whose files are no data: where the model goes.
        columns: known name → the key or column that stands for it, for example
            {"prompt": "Frage", "reply": "Antwort"}; in files that have such columns.

    Raises:
        DataError: a path is missing, holds no text, or its records have no known shape.
        ConfigError: `columns` names something that no shape knows.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    if not paths:
        raise DataError("no data is given; give a file, a folder, or - for standard input")
    if [str(path) for path in paths].count("-") > 1:
        raise DataError("standard input (-) is given twice; it can be read only once")
    check_columns(columns or {})
    sources, copies = [], []
    for path in paths:
        found = find_files(path, leave_out=leave_out, skip_bad=skip_bad, columns=columns)
        copies.append(found.copy)
        sources.append(_source(found, skip_bad=skip_bad, columns=columns or {}))
        if warn is not None:
            for line in _left_out(found):
                warn(line)
    return Corpus(sources, skip_bad=skip_bad, warn=warn, keep=copies, columns=columns)


def _left_out(found: Found) -> Iterator[str]:
    """What was left out of a folder, in sentences."""
    if found.models:
        names = _some(found.models, separator=", ")
        yield f"{found.name}: model folders are no data and are left out: {names}"
    if found.left_out:
        names = _some(found.left_out, separator=", ")
        yield f"{found.name}: left out, because they hold no text: {names}"
    if found.refused:
        reasons = _some(found.refused, separator="; ")
        yield f"{found.name}: {len(found.refused)} left out: {reasons}"


def _source(found: Found, *, skip_bad: bool, columns: Mapping[str, str]) -> Source:
    name, shaped = found.name, []
    for file in found.files:
        try:
            shaped.append((file, _shape(file, skip_bad=skip_bad, columns=columns)))
        except DataError as error:
            if not skip_bad or len(found.files) == 1:
                raise
            found.refused.append(str(error))
    files = [file for file, _ in shaped]
    if not files:
        raise DataError(f"{name}: no file of it can be read: {found.refused[0]}")
    shapes = dict.fromkeys("text" if shape is None else shape.name for _, shape in shaped)
    counts = Counter(file.title for file in files)
    kind = ", ".join(f"{count} × {title}" for title, count in counts.items())
    return Source(
        name=name,
        kind=files[0].title if name == files[0].name else kind,
        shape=", ".join(shapes),
        size_bytes=sum(file.size for file in files),
        left_out=len(found.left_out) + len(found.refused),
        files=tuple(shaped),
    )


def _shape(file: File, *, skip_bad: bool, columns: Mapping[str, str]) -> Shape | None:
    """The shape of a file's records, told from the first; None for plain text."""
    if file.format == "text":
        if skip_bad:  # a file that is left out is left out whole, so before anything is read
            for _ in readers.decoded(file):
                pass
        return None
    if file.format == "parquet":
        names = dict.fromkeys(column_names(file))
        return shape_of(names, where=file.name, columns=columns)
    first = next(records(file, None, _pass_over if skip_bad else _stop), None)
    is_table = file.format == "csv"
    if first is None:
        header = "; its first row names the columns" if is_table else ""
        raise DataError(f"{file.name} is {file.title} without a single readable record{header}")
    where = f"{file.name}:{1 if is_table else first.place}"
    return shape_of(first.value, where=where, columns=columns, is_table=is_table)


def _pieces_of(file: File, shape: Shape | None, broken: Broken, tally: Tally) -> Iterator[Piece]:
    """The documents of one file, long texts in pieces."""
    if shape is None:
        for text, ends, read in readers.text_pieces(file):
            tally.documents += ends
            yield Piece(Text(text), ends, read)
        return

    def count(where: str, problem: str, lines: int = 1) -> None:
        tally.broken += lines
        broken(where, problem, lines)

    for record in records(file, shape, count, tally):
        try:
            document = shape.document(record.value, tally)
        except ShapeError as error:
            count(f"{file.name}:{record.place}", str(error))
            continue
        if isinstance(document, Dialogue):
            yield Piece(document, True, record.read)
        elif document is not None:
            for text, ends in readers.text_parts(document.text):
                yield Piece(Text(text), ends, record.read)


def records(
    file: File, shape: Shape | None, broken: Broken, tally: Tally | None = None
) -> Iterator[Record]:
    """The records of a file that is not plain text.

    Args:
        file: the file.
        shape: of its records; of Parquet only the columns that it uses are read. None: not known.
        broken: is told of what cannot be read.
        tally: counts what is not used.
    """
    if file.format == "parquet":
        shape = shape or shape_of(dict.fromkeys(column_names(file)), where=file.name)
        return parquet_rows(file, shape, tally)
    if file.format == "csv":
        return table_rows(file, broken, tally)
    if file.format == "json":
        return readers.json_records(file, broken)
    return readers.json_lines(file, broken)


def _joined(pieces: Iterator[Piece]) -> Iterator[Document]:
    held: list[str] = []
    for piece in pieces:
        if isinstance(piece.document, Dialogue):
            yield piece.document
            continue
        held.append(piece.document.text)
        if piece.ends:
            yield piece.document if len(held) == 1 else Text("".join(held))
            held.clear()


def _glance(file: File) -> list[Any]:
    try:
        found = file.path.stat()
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error.strerror or error}") from error
    return [file.name, found.st_size, found.st_mtime_ns, found.st_ino]


def _stop(where: str, problem: str, lines: int = 1) -> NoReturn:
    raise BadLineError(where, problem)


def _pass_over(where: str, problem: str, lines: int = 1) -> None:
    """At the opening only the first sound record matters; reading counts the broken ones."""


def _description(source: Source) -> str:
    shape = "" if source.shape == "text" and "text" in source.kind else f", {source.shape}"
    left_out = f", {source.left_out} left out" if source.left_out else ""
    return f"{source.name}: {source.kind}{shape}, {_in_units(source.size_bytes)}{left_out}"


def _some(names: Sequence[str], *, separator: str, of: int | None = None) -> str:
    """The first few names, and how many more there are of all `of`."""
    shown = names[:_PLACES_SHOWN]
    more = (len(names) if of is None else of) - len(shown)
    return separator.join([*shown, f"and {more} more"] if more else shown)


def _in_units(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
