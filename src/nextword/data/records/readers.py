"""Bytes on disk → pieces of text, or records, in bounded memory.

Every reader is a generator over one recognised File. A record that cannot be read goes to a
`Broken` callback, which raises (the default of a corpus) or counts and lets the reader go on.
Tables are read by `tables.py` and `parquet_files.py`.
"""

import codecs
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from nextword.data.records.file_format import File
from nextword.data.records.record_keys import is_message, is_messages
from nextword.data.records.record_values import kind_of
from nextword.errors import DataError


class Broken(Protocol):
    """Whoever is told of a record that cannot be read."""

    def __call__(self, where: str, problem: str, lines: int = 1) -> None:
        """Raise, or count `lines` lines of the file as lost."""


PIECE = 1 << 20  # characters: a long text is handed out in pieces of about this size
LONGEST_PIECE = 4 << 20  # characters: it is cut anywhere if no good place came before
LONGEST_LINE = 64 << 20  # bytes of one line of JSON Lines or of a table
MOST_VALUES = 4_000_000  # in one line of JSON; each takes up to 200 bytes of memory
LARGEST_JSON = 1 << 30  # bytes of a JSON list, which has to be read whole
MOST_LISTED_VALUES = 64_000_000  # in a JSON list

_BLOCK = 1 << 18  # bytes per read


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
                wrong_encoding(file, begin + error.start)
            read += len(block)
            yield newlines.decode(text, not block), read


def json_lines(file: File, broken: Broken) -> Iterator[Record]:
    """One JSON object, or list of messages, per line; blank lines are passed over."""
    for number, (line, begin) in enumerate(lines_of(file), 1):
        if not line.strip():
            continue
        where = f"{file.name}:{number}"
        try:
            _check_values(line, MOST_VALUES)
            value = json.loads(line.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            broken(where, not_in_encoding(file, begin + error.start))
        except json.JSONDecodeError as error:
            broken(where, f"not valid JSON ({error.msg} at column {error.colno})")
        except (ValueError, RecursionError) as error:  # numbers too long, nested too deep
            broken(where, f"not valid JSON ({error})")
        else:
            value = {"messages": value} if is_messages(value) else value
            if isinstance(value, dict):
                yield Record(value, str(number), min(begin + len(line), file.size))
            else:
                broken(
                    where,
                    f"the line holds {kind_of(value)}; it must hold a JSON object or a list of "
                    "messages",
                )


def _check_values(line: bytes, most: int) -> None:
    """Refuse JSON of more values than fit into memory, before it is parsed."""
    if len(line) > most:
        n_values = line.count(b",") + line.count(b"{") + line.count(b"[")
        if n_values > most:
            raise ValueError(f"about {n_values:,} values; the most is {most:,}")


def json_records(file: File, broken: Broken) -> Iterator[Record]:
    """The records of a JSON list, of {"data": [...]}, or the only one.

    A list of messages is one record. The file is read whole, which takes several times its size in
    memory; larger files than LARGEST_JSON are refused.
    """
    value = _whole_json(file)
    records = value.get("data", [value]) if isinstance(value, dict) else value
    if not isinstance(records, list):
        raise DataError(
            f"{file.name} holds {kind_of(records)}; it must hold a list of records, or "
            '{"data": [...]}'
        )
    if is_messages(records) and is_message(records[0]):
        records = [records]
    for number, record in enumerate(records, 1):
        record = {"messages": record} if is_messages(record) else record
        if isinstance(record, dict):
            yield Record(record, f"record {number}", file.size * number // len(records))
        else:
            broken(
                f"{file.name}:record {number}", f"it is {kind_of(record)}; it must be a JSON object"
            )


def _whole_json(file: File) -> Any:
    """What a JSON file holds; DataError says why it cannot be read."""
    if file.size > LARGEST_JSON:
        raise DataError(
            f"{file.name} is a JSON list of {file.size / 1e9:.1f} GB, which would have to be read "
            f"whole; the most is {LARGEST_JSON / 1e9:.1f} GB. Convert it to JSON Lines, e.g. with: "
            "jq -c '.[]'"
        )
    text = "".join(text for text, _ in decoded(file))
    try:
        _check_values(text.encode(), MOST_LISTED_VALUES)
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name} is not valid JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} is not valid JSON: {error}") from None


def text_parts(text: str) -> Iterator[tuple[str, bool]]:
    """A long text of a record in pieces, as `text_pieces` gives them; is each the last one?"""
    begin = 0
    while len(text) - begin > LONGEST_PIECE:
        window = text[begin : begin + LONGEST_PIECE + 1]
        cut = good_cut(window, LONGEST_PIECE) or LONGEST_PIECE
        yield text[begin : begin + cut], False
        begin += cut
    yield text[begin:], True


def lines_of(file: File) -> Iterator[tuple[bytes, int]]:
    """The lines of a file as UTF-8, each with its line break and the byte where it begins."""
    if file.encoding != "utf-8" or file.old_breaks:
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
    """As `lines_of`, for the other encodings and old line breaks; the byte is that of the block."""
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


def not_in_encoding(file: File, at: int) -> str:
    """Say that a byte does not belong to the encoding, and how to mend it."""
    encoding = file.encoding.upper()
    return (
        f"byte {at} of the file is not {encoding} text; if it is in another encoding, convert it, "
        f"e.g. with: iconv -f WINDOWS-1252 -t UTF-8"
    )


def wrong_encoding(file: File, at: int) -> NoReturn:
    """Refuse a file in another encoding."""
    raise DataError(
        f"{file.name}: {not_in_encoding(file, at)} {file.name} > converted. --skip-bad leaves such "
        "a file out of a folder"
    ) from None
