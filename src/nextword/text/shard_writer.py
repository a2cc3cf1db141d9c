"""Encodes a corpus and writes the files of its shards, with their checksums."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nextword.files import disk_error, sync
from nextword.text.corpus import Piece
from nextword.text.dialogue import Dialogue, encode_documents
from nextword.text.strips import Strip, StripCutter, StripJoiner

if TYPE_CHECKING:
    from tokenizers import Encoding

    from nextword.text.tokenizer import Tokenizer

_HELD = 1 << 17  # tokens or starts held back before they are written
_BATCH = 1 << 20  # characters encoded at a time
_BATCH_PIECES = 4096


class ShardWriter:
    """Takes documents token by token; `finish` gives the table of files for the manifest."""

    def __init__(
        self, folder: Path, dtype: np.dtype[Any], file_tokens: int, *, with_replies: bool
    ) -> None:
        """Start a set of shards.

        Args:
            folder: an empty folder.
            dtype: of a token on disk.
            file_tokens: tokens per file, a multiple of 8.
            with_replies: whether to write which tokens belong to replies.
        """
        assert file_tokens % 8 == 0
        self.n_tokens = 0
        self.n_documents = 0
        self.n_bytes = 0  # counted by the caller, who knows the text
        self._dtype = dtype
        self._file_tokens = file_tokens
        self._ids: list[int] = []
        self._is_reply: list[bool] = []
        self._starts: list[int] = [0]
        self._tokens_out = _Files(folder, "tokens")
        self._replies_out = _Files(folder, "replies") if with_replies else None
        self._starts_out = _Files(folder, "starts")
        self._starts_out.open("starts.bin")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as closing:  # all of them, even if one fails
            for files in self._outputs():
                closing.callback(files.close)

    def add(self, ids: Sequence[int], is_reply: Sequence[bool] | None = None) -> None:
        """Add tokens to the document that is being written; all count as reply by default."""
        self._ids += ids
        self.n_tokens += len(ids)
        if self._replies_out is not None:
            self._is_reply += [True] * len(ids) if is_reply is None else is_reply
        if len(self._ids) >= _HELD:
            self._write()

    def end_document(self) -> None:
        """The document is complete; the next token begins another."""
        self.n_documents += 1
        self._starts.append(self.n_tokens)
        if len(self._starts) >= _HELD:
            self._write_starts()

    def finish(self) -> dict[str, dict[str, Any]]:
        """Write what is held, flush all to the disk; name → size and SHA-256 of each file."""
        self._write(last=True)
        self._write_starts()
        made: dict[str, dict[str, Any]] = {}
        for files in self._outputs():
            files.close()
            made |= files.made
        return made

    def _outputs(self) -> list["_Files"]:
        outputs = [self._tokens_out, self._replies_out, self._starts_out]
        return [files for files in outputs if files is not None]

    def _write(self, *, last: bool = False) -> None:
        """Write the held tokens, in whole bytes of eight bits of replies unless they are last."""
        n_left = 0 if last else len(self._ids) % 8
        n = len(self._ids) - n_left
        ids = np.array(self._ids[:n], dtype=self._dtype)
        is_reply = np.array(self._is_reply[:n], dtype=np.bool_)
        del self._ids[:n], self._is_reply[:n]
        first = self.n_tokens - n_left - n
        while n:
            file, begin = divmod(first, self._file_tokens)
            now = min(n, self._file_tokens - begin)
            self._tokens_out.write(file, ids[:now])
            if self._replies_out is not None:
                self._replies_out.write(file, np.packbits(is_reply[:now], bitorder="little"))
            ids, is_reply = ids[now:], is_reply[now:]
            first, n = first + now, n - now

    def _write_starts(self) -> None:
        self._starts_out.append(np.array(self._starts, dtype="<u8"))
        self._starts.clear()


class _Files:
    """The files of one kind; one is open at a time."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._kind = kind
        self._path = folder
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, number: int, values: NDArray[Any]) -> None:
        """Append to file `number`, closing the one before."""
        name = f"{self._kind}-{number:05d}.bin"
        if self._file is None or self._path.name != name:
            self.close()
            self.open(name)
        self.append(values)

    def open(self, name: str) -> None:
        self._path = self._folder / name
        self._digest, self._size = hashlib.sha256(), 0
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise disk_error(self._path, error) from error

    def append(self, values: NDArray[Any]) -> None:
        assert self._file is not None
        content = values.tobytes()
        self._digest.update(content)
        self._size += len(content)
        try:
            self._file.write(content)
        except OSError as error:
            raise disk_error(self._path, error) from error

    def close(self) -> None:
        """Flush the open file to the disk and note its size and checksum."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                file.flush()
                sync(file.fileno())
        except OSError as error:
            raise disk_error(self._path, error) from error
        self.made[self._path.name] = {"size": self._size, "sha256": self._digest.hexdigest()}


def write_pieces(
    pieces: Iterator[Piece], tokenizer: "Tokenizer", writer: ShardWriter, *, exact_cuts: bool = True
) -> Iterator[int]:
    """Encode and write all pieces of a corpus; yields the bytes read so far, batch by batch.

    Args:
        pieces: of the corpus.
        tokenizer: what encodes them.
        writer: takes the tokens.
        exact_cuts: False cuts long texts at line breaks whatever the tokenizer does there, as runs
            that were begun with an earlier version did.
    """
    at_line_breaks = tokenizer.begins_anew_at_lines or not exact_cuts
    encoder = _Encoder(tokenizer, writer)
    for batch in _batches(_units(pieces, StripCutter(at_line_breaks=at_line_breaks))):
        encoder.write(batch)
        yield batch[-1].read


def _units(pieces: Iterator[Piece], cutter: StripCutter) -> Iterator[Piece | Strip]:
    """Dialogues as they come, and texts in strips."""
    for piece in pieces:
        if isinstance(piece.document, Dialogue):
            yield piece
        else:
            yield from cutter.push(piece.document.text, ends=piece.ends, read=piece.read)


def _batches(units: Iterator[Piece | Strip]) -> Iterator[list[Piece | Strip]]:
    """Dialogues and strips in lists of about _BATCH characters."""
    batch: list[Piece | Strip] = []
    size = 0
    for unit in units:
        batch.append(unit)
        size += sum(map(len, _texts(unit)))
        if size >= _BATCH or len(batch) == _BATCH_PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _texts(unit: Piece | Strip) -> Sequence[str]:
    """The turns of a dialogue; of a strip what no other one has."""
    if isinstance(unit, Strip):
        return (unit.text[unit.left : len(unit.text) - unit.right],)
    return unit.document.turns if isinstance(unit.document, Dialogue) else ()


class _Encoder:
    """Encodes batches, all texts at once and all dialogues at once, and writes them in order."""

    def __init__(self, tokenizer: "Tokenizer", writer: ShardWriter) -> None:
        self._tokenizer = tokenizer
        self._writer = writer
        self._joiner = StripJoiner(tokenizer)

    def write(self, batch: Sequence[Piece | Strip]) -> None:
        """Encode and write a batch."""
        documents = [unit.document for unit in batch if isinstance(unit, Piece)]
        encoded = iter(encode_documents(documents, self._tokenizer))
        strips = [unit for unit in batch if isinstance(unit, Strip)]
        alone = [strip for strip in strips if not strip.left and not strip.right]
        joined = [strip for strip in strips if strip.left or strip.right]
        rows = iter(self._tokenizer.encode_many([strip.text for strip in alone]))
        places = iter(self._places([strip.text for strip in joined]))
        for unit in batch:
            self._writer.n_bytes += sum(len(text.encode()) for text in _texts(unit))
            if isinstance(unit, Piece):
                dialogue = next(encoded)
                self._writer.add(dialogue.ids, dialogue.is_reply)
            elif unit.left or unit.right:
                self._writer.add(self._joiner.push(unit, next(places)))
            else:
                self._writer.add(next(rows))
            self._end(unit)

    def _places(self, texts: list[str]) -> list["Encoding"]:
        return self._tokenizer.encode_with_places(texts) if texts else []

    def _end(self, unit: Piece | Strip) -> None:
        """Write that the document ends, if it does."""
        if isinstance(unit, Strip) and unit.ends:
            self._writer.add([self._tokenizer.end_id])
        if unit.ends:
            self._writer.end_document()
