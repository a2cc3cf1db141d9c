"""A corpus as token ids on disk: made once, mapped into memory, made again when it changed.

A folder of shards holds

    manifest.json       what was encoded with what, and size and SHA-256 of every file; written last
    tokens-00000.bin …  the tokens of all documents, one after the other, little-endian uint16, or
                        uint32 for vocabularies above 65,536; FILE_TOKENS in each file but the last
    replies-00000.bin … one bit per token, lowest first: is it part of a reply? (dialogues only)
    starts.bin          uint64: where each document begins, and the number of tokens at the end
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nextword.errors import DataError, FolderError
from nextword.files import disk_error, read_json, sha256_file, sync_folder, write_json
from nextword.text.corpus import Corpus
from nextword.text.reading import ReadingReport, reading_lines
from nextword.text.shard_writer import ShardWriter, write_pieces

if TYPE_CHECKING:
    from nextword.text.tokenizer import Tokenizer

FORMAT = 1  # raised when the same corpus would be encoded or laid out in another way
FILE_TOKENS = 1 << 26  # tokens in one file
MANIFEST = "manifest.json"


class Shards:
    """The tokens of a prepared corpus, mapped from a folder; nothing is read until it is used."""

    def __init__(self, folder: Path) -> None:
        """Open what `prepare` made.

        Raises:
            DataError: the folder holds no whole set of shards; says what is wrong.
        """
        manifest = _read_manifest(folder)
        self.folder = folder
        self.manifest = manifest
        self.n_tokens = int(manifest["n_tokens"])
        self.n_documents = int(manifest["n_documents"])
        self.n_bytes = int(manifest["n_bytes"])  # of the text, as UTF-8
        self.is_dialogue = bool(manifest["is_dialogue"])
        self.bad = int(manifest["bad"])  # broken lines that were skipped
        self.pad_id = int(manifest["pad_id"])
        self.corpus: list[dict[str, Any]] = manifest["corpus"]  # its fingerprint
        self.dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
        self._file_tokens = int(manifest["file_tokens"])
        self._tokens = self._map("tokens", self.dtype)
        self._replies = self._map("replies", np.dtype(np.uint8)) if self.is_dialogue else []
        self.document_starts: NDArray[np.uint64] = _map(folder / "starts.bin", np.dtype("<u8"))

    def reading_report(self) -> list[ReadingReport]:
        """Return what was read from each file; nothing for shards of version 0.1."""
        reading = self.manifest.get("reading") or {"files": []}
        return [ReadingReport(**report) for report in reading["files"]]

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        """The token ids from `start` up to `stop`, of uint16 or uint32; a view where it can be."""
        self._check(start, stop)
        parts = [self._tokens[file][begin:end] for file, begin, end in self._parts(start, stop)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, self.dtype)

    def replies(self, start: int, stop: int) -> NDArray[np.bool_]:
        """For the tokens from `start` up to `stop`: is it part of a reply (or of a text)?"""
        self._check(start, stop)
        return self.take_replies(np.arange(start, stop))

    def take(self, at: NDArray[np.int64]) -> NDArray[np.unsignedinteger[Any]]:
        """The token ids at the places `at`, in the shape of `at`."""
        return self._gather(self._tokens, at, self.dtype, lambda part, within: part[within])

    def take_replies(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For the tokens at the places `at`: is it part of a reply (or of a text)?"""
        if not self.is_dialogue:
            return np.ones(at.shape, np.bool_)
        bits = self._gather(
            self._replies,
            at,
            np.dtype(np.uint8),
            lambda part, within: part[within >> 3] >> (within & 7).astype(np.uint8),
        )
        return (bits & 1).astype(np.bool_)

    def verify(self) -> None:
        """Read everything once and compare the checksums.

        Raises:
            DataError: names the file that was damaged since it was made.
        """
        for name, made in self.manifest["files"].items():
            if sha256_file(self.folder / name) != made["sha256"]:
                raise DataError(
                    f"{self.folder / name} was damaged; delete {self.folder} and run the same "
                    "command again"
                )

    def _check(self, start: int, stop: int) -> None:
        assert 0 <= start <= stop <= self.n_tokens, (start, stop, self.n_tokens)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The pieces of files (number, begin, end) that hold the tokens from start to stop."""
        while start < stop:
            file, begin = divmod(start, self._file_tokens)
            end = min(self._file_tokens, begin + stop - start)
            yield file, begin, end
            start += end - begin

    def _gather(
        self,
        parts: Sequence[NDArray[Any]],
        at: NDArray[np.int64],
        dtype: np.dtype[Any],
        pick: Callable[[NDArray[Any], NDArray[np.int64]], NDArray[Any]],
    ) -> NDArray[Any]:
        if len(parts) == 1:
            return pick(parts[0], at)
        file, within = np.divmod(at, self._file_tokens)
        out = np.empty(at.shape, dtype)
        for number in np.unique(file):
            here = file == number
            out[here] = pick(parts[number], within[here])
        return out

    def _map(self, kind: str, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
        names = sorted(name for name in self.manifest["files"] if name.startswith(kind))
        return [_map(self.folder / name, dtype) for name in names]


def prepare(
    corpus: Corpus,
    tokenizer: "Tokenizer",
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    begun: bool = False,
) -> Shards:
    """Encode a corpus once and keep the tokens in `folder`.

    What is there is taken when it was made from the same content with the same tokenizer. Files
    whose size, time of change and inode are as noted count as the same; otherwise their SHA-256
    decides. The shards appear whole under their name or not at all.

    Args:
        corpus: what to encode.
        tokenizer: what encodes it.
        folder: where the shards go; what was there is replaced.
        progress: told the bytes read so far and the bytes in all.
        begun: whether a run rests on what is there already, so that it is taken even if an earlier
            version read the files in another way.

    Raises:
        DataError: the corpus is broken, or holds no document, or changed while it was read.
        RunError: the disk is full or the folder cannot be written.
    """
    if _is_made(folder, corpus, tokenizer, begun=begun):
        return Shards(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        _start_afresh(partial)
        _encode_all(corpus, tokenizer, partial, progress)
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Shards(folder)


def _is_made(folder: Path, corpus: Corpus, tokenizer: "Tokenizer", *, begun: bool) -> bool:
    """Whether the folder holds whole shards of this corpus and tokenizer."""
    try:
        manifest = _read_manifest(folder)
    except DataError:
        return False
    if manifest["tokenizer"] != tokenizer.fingerprint:
        return False
    if manifest["bad"] and not corpus.skip_bad:
        return False  # reading it again stops at the broken line, as it should
    if not _is_read_alike(manifest.get("reading"), corpus, begun=begun):
        return False
    glance = corpus.glance()
    if manifest["glance"] == glance:
        return True
    sizes = [(file["name"], file["size"]) for file in manifest["corpus"]]
    if sizes != [(name, size) for name, size, *_ in glance]:
        return False
    if manifest["corpus"] != corpus.fingerprint():
        return False
    write_json(folder / MANIFEST, manifest | {"glance": glance})
    return True


def _is_read_alike(reading: Any, corpus: Corpus, *, begun: bool) -> bool:
    """Whether the files became documents as they would now; version 0.1 did not note how."""
    if reading is None:
        return begun
    rule = dict(reading)["rule"]
    return rule == corpus.reading_rule() or (begun and rule["columns"] == corpus.columns)


def _encode_all(
    corpus: Corpus,
    tokenizer: "Tokenizer",
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    glance, fingerprint = corpus.glance(), corpus.fingerprint()
    total = corpus.size_bytes
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    with ShardWriter(folder, dtype, FILE_TOKENS, with_replies=corpus.is_dialogue) as writer:
        for read in write_pieces(corpus.pieces(), tokenizer, writer):
            if progress is not None:
                progress(read, total)
        if not writer.n_documents:
            why = "; ".join(reading_lines(corpus.reading_report())[:3])
            raise DataError(f"the data holds no document ({why}); give some text")
        files = writer.finish()
    if progress is not None:
        progress(total, total)
    if corpus.glance() != glance:
        raise DataError("the data changed while it was read; run the same command again")
    manifest = {
        "format": FORMAT,
        "tokenizer": tokenizer.fingerprint,
        "pad_id": tokenizer.pad_id,
        "dtype": dtype.name,
        "file_tokens": FILE_TOKENS,
        "n_tokens": writer.n_tokens,
        "n_documents": writer.n_documents,
        "n_bytes": writer.n_bytes,
        "is_dialogue": corpus.is_dialogue,
        "bad": corpus.bad,
        "reading": {
            "rule": corpus.reading_rule(),
            "files": [report.as_json() for report in corpus.reading_report()],
        },
        "corpus": fingerprint,
        "glance": glance,
        "files": files,
    }
    write_json(folder / MANIFEST, manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, if every file is there in its size.

    Raises:
        DataError: says what is missing or torn.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except FolderError as error:
        raise DataError(f"{folder} holds no finished shards: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{folder} holds shards of another version; delete it to make them anew")
    for name, made in manifest["files"].items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != made["size"]:
            found = "is missing" if size < 0 else f"has {size} bytes"
            raise DataError(f"{path} {found}; it was made with {made['size']} bytes")
    return manifest


def _map(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file as a read-only array; a plain view, whose slices are quicker than a memmap's."""
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def _start_afresh(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise disk_error(partial, error) from error


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename the finished shards; between the two steps a crash leaves none, never a mix."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise disk_error(folder, error) from error
