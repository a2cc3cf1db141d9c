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
from nextword.text.dialogue import Dialogue
from nextword.text.readers import good_cut

if TYPE_CHECKING:
    from nextword.text.prompting import Prompting

_HELD = 1 << 17  # tokens or starts held back before they are written
_BATCH = 1 << 20  # characters encoded at a time
_BATCH_PIECES = 4096
_STRIP = 1 << 16  # characters: long texts are encoded in strips, which the cores share


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
    pieces: Iterator[Piece], prompting: "Prompting", writer: ShardWriter
) -> Iterator[int]:
    """Encode and write all pieces of a corpus; yields the bytes read so far, batch by batch."""
    for batch in _batches(pieces):
        _encode(batch, prompting, writer)
        yield batch[-1].read


def _batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Pieces in lists of about _BATCH characters."""
    batch, size = [], 0
    for piece in pieces:
        batch.append(piece)
        size += sum(map(len, _texts(piece)))
        if size >= _BATCH or len(batch) == _BATCH_PIECES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _texts(piece: Piece) -> Sequence[str]:
    document = piece.document
    return document.turns if isinstance(document, Dialogue) else (document.text,)


def _encode(batch: Sequence[Piece], prompting: "Prompting", writer: ShardWriter) -> None:
    """Encode some pieces, all texts at once and all dialogues at once, and write them in order."""
    dialogues = [piece.document for piece in batch if isinstance(piece.document, Dialogue)]
    encoded = iter(prompting.documents(dialogues))
    strips = [
        [] if isinstance(piece.document, Dialogue) else _strips(piece.document.text)
        for piece in batch
    ]
    tokenizer = prompting.tokenizer
    rows = iter(tokenizer.encode_counted([strip for some in strips for strip in some]))
    for piece, some in zip(batch, strips, strict=True):
        if isinstance(piece.document, Dialogue):
            dialogue = next(encoded)
            writer.add(dialogue.ids, dialogue.is_reply, dialogue.n_bytes)
        elif writer.begins:
            writer.add(tokenizer.start_ids, n_bytes=[0] * len(tokenizer.start_ids))
        for _ in some:
            row = next(rows)
            writer.add_text(row.ids, row.n_bytes, rest=row.rest)
        if some and piece.ends:
            writer.end_text(tokenizer.end_id)
        if piece.ends:
            writer.end_document()


def _strips(text: str) -> list[str]:
    """A text cut, where that changes no token, into strips of at most _STRIP characters."""
    strips, begin = [], 0
    while len(text) - begin > _STRIP:
        cut = good_cut(text[begin : begin + _STRIP + 1], _STRIP)
        if not cut:
            break
        strips.append(text[begin : begin + cut])
        begin += cut
    return [*strips, text[begin:]]
