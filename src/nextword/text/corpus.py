"""Texts and dialogues from files, folders and standard input, as a stream of documents.

A corpus recognises what it is given (`recognise.py`, `shapes.py`), says what that was
(`Corpus.describe`), and can be read any number of times in bounded memory (`readers.py`).
A text file is one document, whatever its size; a record is one document.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from nextword.errors import BadLineError, DataError
from nextword.text import readers
from nextword.text.dialogue import Dialogue, Document, Text
from nextword.text.found import find_files
from nextword.text.readers import Broken, Record
from nextword.text.recognise import File
from nextword.text.shapes import Shape, ShapeError, shape_of

BUNDLED = "nextword:dialogues"  # opens the dialogues that come with Nextword

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

    def pieces(self, broken: Broken) -> Iterator[Piece]:
        """As `documents`, but long texts come in pieces; `read` counts within the source."""
        before = 0
        for file, shape in self.files:
            for piece in _pieces_of(file, shape, broken):
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
    ) -> None:
        """Make a corpus of sources; `open_corpus` finds them.

        Args:
            sources: what to read, in this order.
            skip_bad: pass over broken lines and count them; otherwise they stop with BadLineError.
            warn: told, after the first full reading, how many were passed over and where.
            keep: something that has to live as long as the corpus (the copies of streams).
        """
        self.sources = list(sources)
        self.skip_bad = skip_bad
        self.bad = 0  # broken lines skipped in the latest reading so far
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
        places: list[str] = []

        def skip(where: str, problem: str) -> None:
            self.bad += 1
            if len(places) < _PLACES_SHOWN:
                places.append(f"{where}: {problem}")

        broken, before = skip if self.skip_bad else _stop, 0
        for source in self.sources:
            for piece in source.pieces(broken):
                yield Piece(piece.document, piece.ends, before + piece.read)
            before += source.size_bytes
        self._report(places)

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
) -> Corpus:
    """Recognise files, folders, `-` (standard input) and bundled data, and make a corpus of them.

    Text of any ending, JSON Lines, a JSON list (read whole, 1 GB at most), CSV, TSV and Parquet
    are read. A folder is searched to its depths in sorted order; hidden files are left out, and
    so are those that hold no text. The first record of a file tells the shape of them all.

    Args:
        paths: what to read, in this order; `nextword:dialogues` and `nextword:phrasings` are the
            files that come with Nextword. Streams are copied to a temporary file.
        skip_bad: pass over broken lines and count them.
        warn: told what was left out or passed over.
        leave_out: a folder below one of the paths whose files are no data: where the model goes.

    Raises:
        DataError: a path is missing, holds no text, or its records have no known shape.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    if not paths:
        raise DataError("no data is given; give a file, a folder, or - for standard input")
    if [str(path) for path in paths].count("-") > 1:
        raise DataError("standard input (-) is given twice; it can be read only once")
    sources, copies = [], []
    for path in paths:
        found = find_files(path, leave_out=leave_out)
        copies.append(found.copy)
        if found.models and warn is not None:
            names = _some(found.models, separator=", ")
            warn(f"{found.name}: model folders are no data and are left out: {names}")
        if found.left_out and warn is not None:
            names = _some(found.left_out, separator=", ")
            warn(f"{found.name}: left out, because they hold no text: {names}")
        sources.append(_source(found.name, found.files, len(found.left_out), skip_bad=skip_bad))
    return Corpus(sources, skip_bad=skip_bad, warn=warn, keep=copies)


def _source(name: str, files: Sequence[File], left_out: int, *, skip_bad: bool) -> Source:
    shaped = [(file, _shape(file, skip_bad=skip_bad)) for file in files]
    shapes = dict.fromkeys("text" if shape is None else shape.name for _, shape in shaped)
    counts = Counter(file.title for file in files)
    kind = ", ".join(f"{count} × {title}" for title, count in counts.items())
    return Source(
        name=name,
        kind=files[0].title if name == files[0].name else kind,
        shape=", ".join(shapes),
        size_bytes=sum(file.size for file in files),
        left_out=left_out,
        files=tuple(shaped),
    )


def _shape(file: File, *, skip_bad: bool) -> Shape | None:
    """The shape of a file's records, told from the first; None for plain text."""
    if file.format == "text":
        return None
    first = next(records(file, None, _pass_over if skip_bad else _stop), None)
    if first is None:
        raise DataError(f"{file.name} is {file.title} without a single readable record")
    return shape_of(first.value, where=f"{file.name}:{first.place}")


def _pieces_of(file: File, shape: Shape | None, broken: Broken) -> Iterator[Piece]:
    """The documents of one file, long texts in pieces."""
    if shape is None:
        for text, ends, read in readers.text_pieces(file):
            yield Piece(Text(text), ends, read)
        return
    for record in records(file, shape, broken):
        try:
            document = shape.document(record.value)
        except ShapeError as error:
            broken(f"{file.name}:{record.place}", str(error))
        else:
            if document is not None:
                yield Piece(document, True, record.read)


def records(file: File, shape: Shape | None, broken: Broken) -> Iterator[Record]:
    """The records of a file that is not plain text; of Parquet all columns if shape is None."""
    columns = shape.keys + shape.optional if shape else ()
    read: dict[str, Callable[[File, Broken], Iterator[Record]]] = {
        "jsonl": readers.json_lines,
        "json": readers.json_records,
        "csv": readers.csv_rows,
        "parquet": partial(readers.parquet_rows, columns=columns),
    }
    return read[file.format](file, broken)


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


def _stop(where: str, problem: str) -> NoReturn:
    raise BadLineError(where, problem)


def _pass_over(where: str, problem: str) -> None:
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
