"""Bytes on disk → pieces of text, or records, in bounded memory.

Every reader is a generator over one recognised File. A record that cannot be read goes to a
`Broken` callback, which raises (the default of a corpus) or counts and lets the reader go on.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from nextword.errors import DataError, MissingExtraError
from nextword.text.recognise import File

Broken = Callable[[str, str], None]  # (file and place, problem)

PIECE = 1 << 20  # characters: a long text is handed out in pieces of about this size
LONGEST_PIECE = 4 << 20  # characters: it is cut anywhere if no good place came before
LONGEST_LINE = 64 << 20  # bytes of one line of JSON Lines, or of one CSV field
LARGEST_JSON = 1 << 30  # bytes of a JSON list, which has to be read whole

_BLOCK = 1 << 18  # bytes per read
_BATCH_ROWS = 512  # rows of Parquet decoded at a time
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file of records."""

    value: dict[str, Any]
    place: str  # after the file's name and a colon: "3", "record 3", "row 3"
    read: int  # bytes of the file read so far


def text_pieces(file: File) -> Iterator[tuple[str, bool, int]]:
    """The text of a file in pieces of about PIECE characters.

    Each comes with whether it is the last one, and the bytes of the file read so far.

    A piece ends right after a single line break between two characters that are no space. There,
    byte-level BPE begins anew anyway, so the pieces give the same tokens as the whole. Line
    breaks of Windows and of old Macs become "\\n".
    """
    held: list[str] = []
    size, wanted = 0, PIECE
    for block, read in decoded(file):
        held.append(block)
        size += len(block)
        while size > wanted:
            text = "".join(held)
            cut = good_cut(text, LONGEST_PIECE)
            if not cut and size <= LONGEST_PIECE:
                held, wanted = [text], min(size + PIECE, LONGEST_PIECE)
                break
            cut = cut or LONGEST_PIECE
            yield text[:cut], False, read
            held, size, wanted = [text[cut:]], size - cut, PIECE
    if size:
        yield "".join(held), True, file.size


def good_cut(text: str, limit: int) -> int:
    """The last place in `text`, at most `limit`, where a cut changes no token; 0 without one."""
    end = min(len(text) - 1, limit)  # a character has to follow
    while (at := text.rfind("\n", 1, end)) > 0:
        if not text[at - 1].isspace() and not text[at + 1].isspace():
            return at + 1
        end = at
    return 0


def decoded(file: File) -> Iterator[tuple[str, int]]:
    """The characters of a file, block by block, with the bytes read so far.

    Raises:
        DataError: a byte that does not belong to the encoding; names the byte and the mend.
    """
    decoder = codecs.getincrementaldecoder(file.encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    with file.path.open("rb") as stream:
        read = stream.seek(file.mark)
        block = b"-"
        while block:
            block = stream.read(_BLOCK)
            begin = read - len(decoder.getstate()[0])  # the decoder may hold part of a character
            try:
                text = decoder.decode(block, not block)
            except UnicodeDecodeError as error:
                _wrong_encoding(file, begin + error.start)
            read += len(block)
            yield newlines.decode(text, not block), read


def json_lines(file: File, broken: Broken) -> Iterator[Record]:
    """One JSON object per line; blank lines are passed over."""
    for number, (line, begin) in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        where = f"{file.name}:{number}"
        try:
            value = json.loads(line.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            broken(where, _not_in_encoding(file, begin + error.start))
        except json.JSONDecodeError as error:
            broken(where, f"not valid JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:  # numbers too long, nested too deep
            broken(where, f"not valid JSON ({error})")
        else:
            if isinstance(value, dict):
                yield Record(value, str(number), begin + len(line))
            else:
                broken(where, f"the line holds {kind_of(value)}; it must hold a JSON object")


def json_records(file: File, broken: Broken) -> Iterator[Record]:
    """The records of a JSON list, of {"data": [...]}, or the only one.

    The file is read whole, which takes several times its size in memory; larger files than
    LARGEST_JSON are refused.
    """
    if file.size > LARGEST_JSON:
        raise DataError(
            f"{file.name} is a JSON list of {file.size / 1e9:.1f} GB, which would have to be read "
            f"whole; the most is {LARGEST_JSON / 1e9:.1f} GB. Convert it to JSON Lines, e.g. with: "
            "jq -c '.[]'"
        )
    try:
        value = json.loads("".join(text for text, _ in decoded(file)))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name} is not valid JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} is not valid JSON: {error}") from None
    records = value.get("data", [value]) if isinstance(value, dict) else value
    if not isinstance(records, list):
        raise DataError(
            f"{file.name} holds {kind_of(records)}; it must hold a list of records, or "
            '{"data": [...]}'
        )
    for number, record in enumerate(records, 1):
        if isinstance(record, dict):
            yield Record(record, f"record {number}", file.size * number // len(records))
        else:
            broken(
                f"{file.name}:record {number}", f"it is {kind_of(record)}; it must be a JSON object"
            )


def csv_rows(file: File, broken: Broken) -> Iterator[Record]:
    """One record per row of CSV or TSV; the first row names the columns."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # only ever raised
    lines = _TextLines(file)
    rows = csv.reader(lines, delimiter=file.delimiter, strict=True)
    columns: list[str] = []
    begin = 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            broken(f"{file.name}:{begin}", f"not valid CSV ({error})")
            row = []
        if row is None:
            return
        if not columns:
            columns = _column_names(file, row)
        elif row and len(row) != len(columns):
            broken(f"{file.name}:{begin}", f"{len(row)} fields for {len(columns)} columns")
        elif row:
            yield Record(dict(zip(columns, row, strict=True)), str(begin), lines.read)
        begin = rows.line_num + 1


def _column_names(file: File, row: Sequence[str]) -> list[str]:
    names = [name.strip() for name in row]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file.name} has two columns named {twice!r}; rename one of them")
    return names


def parquet_rows(file: File, broken: Broken, *, columns: Sequence[str] = ()) -> Iterator[Record]:
    """One record per row of a Parquet file, a few hundred rows at a time.

    Args:
        file: the file.
        broken: unused; Parquet is sound as a whole or not at all.
        columns: those to read, where the file has them; none: all.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: the file is damaged.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {file.name}") from None
    number = 0
    try:
        with parquet.ParquetFile(file.path, memory_map=False, pre_buffer=False) as table:
            wanted = [name for name in table.schema_arrow.names if name in columns] or None
            n_rows = table.metadata.num_rows
            for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for value in batch.to_pylist():
                    number += 1
                    yield Record(value, f"row {number}", file.size * number // n_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file.name} is damaged after row {number}: {error}") from error


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), type(value).__name__)


class _TextLines:
    """The lines of a file as text, for the csv module; knows how far it has read."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._lines = _lines(file)
        self.read = 0  # bytes

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, begin = next(self._lines)
        self.read = begin + len(line)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            _wrong_encoding(self._file, begin + error.start)


def _lines(file: File) -> Iterator[tuple[bytes, int]]:
    """The lines of a file as UTF-8, each with its line break and the byte where it begins."""
    if file.encoding != "utf-8":
        yield from _converted_lines(file)
        return
    with file.path.open("rb") as stream:
        begin = stream.seek(file.mark)
        while line := stream.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise DataError(
                    f"{file.name} has a line of more than {LONGEST_LINE >> 20} MB (from byte "
                    f"{begin}); divide the record into shorter ones"
                )
            yield line, begin
            begin += len(line)


def _converted_lines(file: File) -> Iterator[tuple[bytes, int]]:
    """As `_lines`, for the other encodings; the byte is that of the block."""
    rest, read = "", 0
    for text, read in decoded(file):
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield f"{line}\n".encode(), read
        if len(rest) > LONGEST_LINE:
            raise DataError(
                f"{file.name} has a line of more than {LONGEST_LINE >> 20} M characters"
            )
    if rest:
        yield rest.encode(), read


def _not_in_encoding(file: File, at: int) -> str:
    encoding = file.encoding.upper()
    return (
        f"byte {at} of the file is not {encoding} text; if it is in another encoding, convert it, "
        f"e.g. with: iconv -f WINDOWS-1252 -t UTF-8"
    )


def _wrong_encoding(file: File, at: int) -> NoReturn:
    raise DataError(f"{file.name}: {_not_in_encoding(file, at)} {file.name} > converted") from None
