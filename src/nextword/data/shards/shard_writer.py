"""Encodes a corpus and writes the files of its shards, with their checksums."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nextword.common.files import disk_error, sync
from nextword.data.corpus import Piece
from nextword.data.dialogue import Dialogue
from nextword.data.shards.strip_encoding import Strip, StripCutter, StripJoiner
from nextword.tokenizer.byte_counts import CountedIds

if TYPE_CHECKING:
    from tokenizers import Encoding

    from nextword.data.prompting import Prompting

_HELD = 1 << 17  # tokens or starts held back before they are written
_BATCH = 1 << 20  # characters encoded at a time
_BATCH_PIECES = 4096


class ShardWriter:
    """Takes documents token by token; `finish` gives the table of files for the manifest."""

    def __init__(
        self,
        folder: Path,
        dtype: np.dtype[Any],
        file_tokens: int,
        *,
        with_replies: bool,
        byte_lengths: Sequence[int],
    ) -> None:
        """Start a set of shards.

        Args:
            folder: an empty folder.
            dtype: of a token on disk.
            file_tokens: tokens per file, a multiple of 8.
            with_replies: whether to write which tokens belong to replies.
            byte_lengths: [V], the bytes that each token stands for unless something else is said.
        """
        assert file_tokens % 8 == 0
        self.n_tokens = 0
        self.n_documents = 0
        self.n_bytes = 0
        self.begins = True  # whether the next token is a document's first
        self._dtype = dtype
        self._file_tokens = file_tokens
        self._ids: list[int] = []
        self._is_reply: list[bool] = []
        self._byte_lengths = byte_lengths
        self._rest = 0  # bytes of the text that no token has stood for so far
        self._odd: list[tuple[int, int]] = []  # tokens that stand for other bytes: place, how many
        self._starts: list[int] = [0]
        self._tokens_out = _Files(folder, "tokens")
        self._replies_out = _Files(folder, "replies") if with_replies else None
        self._starts_out = _Files(folder, "starts")
        self._starts_out.open("starts.bin")
        self._bytes_out = _Files(folder, "bytes")
        self._bytes_out.open("bytes.bin")

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

    def add(
        self,
        ids: Sequence[int],
        is_reply: Sequence[bool] | None = None,
        n_bytes: Sequence[int] | None = None,
    ) -> None:
        """Add tokens to the document that is being written.

        Args:
            ids: the tokens.
            is_reply: for each whether it is part of a reply; by default all are.
            n_bytes: for each the bytes that it stands for; None: those of its vocabulary entry.
        """
        lengths = self._byte_lengths
        for place, (id, count) in enumerate(zip(ids, n_bytes or (), strict=bool(n_bytes))):
            if count != lengths[id]:
                self._odd.append((self.n_tokens + place, count))
        self.n_bytes += sum(n_bytes) if n_bytes else sum(lengths[id] for id in ids)
        self._ids += ids
        self.n_tokens += len(ids)
        self.begins = False
        if self._replies_out is not None:
            self._is_reply += [True] * len(ids) if is_reply is None else is_reply
        if len(self._ids) >= _HELD:
            self._write()
            self._write_bytes()

    def add_text(self, ids: Sequence[int], n_bytes: list[int] | None, *, rest: int) -> None:
        """Add a stretch of text, and count what the stretch before it left over.

        Args:
            ids: its tokens.
            n_bytes: the bytes of each, as in `add`.
            rest: bytes behind them that no token stands for: they count with the next token.
        """
        if self._rest and ids:
            n_bytes = [self._byte_lengths[id] for id in ids] if n_bytes is None else list(n_bytes)
            n_bytes[0] += self._rest
            self._rest = 0
        self.add(ids, n_bytes=n_bytes)
        self._rest += rest

    def end_text(self, end_id: int) -> None:
        """Add the end token of a text."""
        self.add([end_id], n_bytes=[self._rest])
        self._rest = 0

    def end_document(self) -> None:
        """The document is complete; the next token begins another."""
        self.n_documents += 1
        self.begins = True
        self._starts.append(self.n_tokens)
        if len(self._starts) >= _HELD:
            self._write_starts()

    def finish(self) -> dict[str, dict[str, Any]]:
        """Write what is held, flush all to the disk; name → size and SHA-256 of each file."""
        self._write(last=True)
        self._write_starts()
        self._write_bytes()
        made: dict[str, dict[str, Any]] = {}
        for files in self._outputs():
            files.close()
            made |= files.made
        return made

    def _outputs(self) -> list["_Files"]:
        outputs = [self._tokens_out, self._replies_out, self._starts_out, self._bytes_out]
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

    def _write_bytes(self) -> None:
        self._bytes_out.append(np.array(self._odd, dtype="<u8"))
        self._odd.clear()


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
    pieces: Iterator[Piece], prompting: "Prompting", writer: ShardWriter, *, exact_cuts: bool = True
) -> Iterator[int]:
    """Encode and write all pieces of a corpus; yields the bytes read so far, batch by batch.

    Args:
        pieces: of the corpus.
        prompting: how they are encoded.
        writer: takes the tokens.
        exact_cuts: False cuts long texts at line breaks whatever the tokenizer does there, as runs
            that were begun with an earlier version did.
    """
    at_line_breaks = prompting.tokenizer.begins_anew_at_lines or not exact_cuts
    encoder = _Encoder(prompting, writer)
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

    def __init__(self, prompting: "Prompting", writer: ShardWriter) -> None:
        self._prompting = prompting
        self._tokenizer = prompting.tokenizer
        self._writer = writer
        self._joiner = StripJoiner(self._tokenizer)

    def write(self, batch: Sequence[Piece | Strip]) -> None:
        """Encode and write a batch."""
        documents = [unit.document for unit in batch if isinstance(unit, Piece)]
        encoded = iter(self._prompting.documents(documents))
        strips = [unit for unit in batch if isinstance(unit, Strip)]
        alone = [strip for strip in strips if not strip.left and not strip.right]
        joined = [strip for strip in strips if strip.left or strip.right]
        rows = iter(self._tokenizer.encode_counted([strip.text for strip in alone]))
        places = iter(self._places([strip.text for strip in joined]))
        for unit in batch:
            if isinstance(unit, Piece):
                dialogue = next(encoded)
                self._writer.add(dialogue.ids, dialogue.is_reply, dialogue.n_bytes)
            elif unit.left or unit.right:
                self._add_text(*self._joiner.push(unit, next(places)))
            else:
                self._add_text(next(rows))
            self._end(unit)

    def _add_text(self, *stretches: CountedIds) -> None:
        """Write stretches of a text, the first one of a document after its start tokens."""
        if self._writer.begins:
            start = self._tokenizer.start_ids
            self._writer.add(start, n_bytes=[0] * len(start))
        for found in stretches:
            self._writer.add_text(found.ids, found.n_bytes, rest=found.rest)

    def _places(self, texts: list[str]) -> list["Encoding"]:
        return self._tokenizer.encode_with_places(texts) if texts else []

    def _end(self, unit: Piece | Strip) -> None:
        """Write that the document ends, if it does."""
        if isinstance(unit, Strip) and unit.ends:
            self._writer.end_text(self._tokenizer.end_id)
        if unit.ends:
            self._writer.end_document()
