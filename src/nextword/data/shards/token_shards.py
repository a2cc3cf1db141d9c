"""A corpus as token ids on disk: made once, verified, mapped into memory, made again when changed.

A folder of shards holds

    manifest.json       what was encoded with what, and size and SHA-256 of every file; written last
                        (shard_manifest.py)
    tokens-00000.bin …  the tokens of all documents, one after the other, little-endian uint16, or
                        uint32 for vocabularies above 65,536; FILE_TOKENS in each file but the last
    replies-00000.bin … one bit per token, lowest first: is it part of a reply? (dialogues only)
    starts.bin          uint64: where each document begins, and the number of tokens at the end
    bytes.bin           uint64 pairs: a token's place and the bytes of text that it stands for, of
                        those that stand for others than their entry in the vocabulary
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nextword.common.checked_json import checksum_of
from nextword.common.files import disk_error, sync_folder
from nextword.data.corpus import Corpus
from nextword.data.prompting import Prompting
from nextword.data.records.read_report import ReadingReport
from nextword.data.shards.shard_manifest import (
    ENCODED,
    FORMAT,
    damaged_file,
    read_manifest,
    write_manifest,
)
from nextword.data.shards.shard_writer import ShardWriter, write_pieces
from nextword.errors import DataError

if TYPE_CHECKING:
    from nextword.tokenizer.tokenizer import Tokenizer

FILE_TOKENS = 1 << 26  # tokens in one file
VERIFIED_AT_ONCE = 4 << 30  # bytes, a few seconds; of larger shards each file is at its first use
BYTES = "bytes.bin"
BYTE_RULE = 1  # how bytes are counted; shards without it, of version 0.1, hold no counts


class Shards:
    """The tokens of a prepared corpus, mapped from a folder; nothing is read until it is used."""

    def __init__(
        self,
        folder: Path,
        *,
        byte_lengths: Sequence[int] | None = None,
        unverified: Iterable[str] = (),
    ) -> None:
        """Open what `prepare` made.

        Args:
            folder: of the shards.
            byte_lengths: [V], of the tokenizer, for `text_bytes`.
            unverified: files of tokens whose checksums are compared at their first use, where a
                damaged one is a DataError.

        Raises:
            DataError: the folder holds no whole set of shards; says what is wrong.
        """
        manifest = read_manifest(folder)
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
        self._unverified = set(unverified)
        self._tokens = self._map("tokens", self.dtype)
        self._replies = self._map("replies", np.dtype(np.uint8)) if self.is_dialogue else []
        self.document_starts: NDArray[np.uint64] = _map(folder / "starts.bin", np.dtype("<u8"))
        self.bytes_are_exact = manifest.get("byte_rule") == BYTE_RULE
        self._lengths = None if byte_lengths is None else np.asarray(byte_lengths, np.int64)
        size = manifest["files"].get(BYTES, {}).get("size", 0) if self.bytes_are_exact else 0
        odd = _map(folder / BYTES, np.dtype("<u8")) if size else np.empty(0, np.uint64)
        self._odd = odd.reshape(-1, 2).astype(np.int64)  # [n, 2]

    def reading_report(self) -> list[ReadingReport]:
        """Return what was read from each file; nothing for shards of version 0.1."""
        reading = self.manifest.get("reading") or {"files": []}
        return [ReadingReport(**report) for report in reading["files"]]

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        """The token ids from `start` up to `stop`, of uint16 or uint32; a view where it can be."""
        self._check(start, stop)
        pieces = list(self._parts(start, stop))
        self._verify_first_use(file for file, _, _ in pieces)
        parts = [self._tokens[file][begin:end] for file, begin, end in pieces]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, self.dtype)

    def replies(self, start: int, stop: int) -> NDArray[np.bool_]:
        """For the tokens from `start` up to `stop`: is it part of a reply (or of a text)?"""
        self._check(start, stop)
        return self.take_replies(np.arange(start, stop))

    def take(self, at: NDArray[np.int64]) -> NDArray[np.unsignedinteger[Any]]:
        """The token ids at the places `at`, in the shape of `at`."""
        if self._unverified:
            self._verify_first_use(np.unique(at // self._file_tokens))
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

    @property
    def digest(self) -> str:
        """Return a SHA-256 over all that is trained on: equal tokens have equal ones."""
        files = self.manifest["files"].items()
        sums = {name: made["sha256"] for name, made in files if name.startswith(ENCODED)}
        return checksum_of({"files": sums, "pad_id": self.pad_id, "dtype": self.manifest["dtype"]})

    @property
    def counts_bytes(self) -> bool:
        """Whether `text_bytes` can be asked for."""
        return self._lengths is not None

    def text_bytes(self, at: NDArray[np.int64]) -> int:
        """How many bytes of the text the tokens at the places `at` stand for, together.

        Shards of version 0.1 have no counts: for them it is what the vocabulary says, which is
        an estimate for tokenizers other than byte-level ones (`bytes_are_exact`).
        """
        assert self._lengths is not None
        total = int(self._lengths[self.take(at)].sum())
        if not len(self._odd):
            return total
        places = self._odd[:, 0]
        row = np.minimum(np.searchsorted(places, at), len(places) - 1)
        found = places[row] == at
        odd = self._odd[row[found], 1] - self._lengths[self.take(at[found])]
        return total + int(odd.sum())

    def verify(self) -> None:
        """Read everything once and compare the checksums.

        Raises:
            DataError: names the file that was damaged since it was made.
        """
        self._verify(self.manifest["files"])

    def _verify(self, names: Iterable[str]) -> None:
        path = damaged_file(self.folder, self.manifest, names)
        if path is not None:
            raise DataError(
                f"{path} was damaged; delete {self.folder} and run the same command again, which "
                "makes it anew"
            )

    def _verify_first_use(self, files: Iterable[int]) -> None:
        """Verify the files of tokens with these numbers, unless that was done before."""
        if not self._unverified:
            return
        for name in {f"tokens-{file:05d}.bin" for file in files} & self._unverified:
            self._verify([name])
            self._unverified.discard(name)

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
    template: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
    exact_cuts: bool = True,
    begun: bool = False,
) -> Shards:
    """Encode a corpus once and keep the tokens in `folder`.

    What is there is taken when it was made from the same content with the same tokenizer, under
    whatever names. Files whose size, time of change and inode are as noted count as the same;
    otherwise their SHA-256 decides. The shards appear whole under their name or not at all. Before
    they are taken, their checksums are compared; damaged ones are made anew. Of more than
    VERIFIED_AT_ONCE bytes each file of tokens is verified at its first use instead, and a damaged
    one is an error.

    Args:
        corpus: what to encode.
        tokenizer: what encodes it.
        folder: where the shards go; what was there is replaced.
        template: of dialogues, see `Prompting`.
        progress: told the bytes read so far and the bytes in all.
        warn: is told, in one sentence, what was damaged and is made anew.
        exact_cuts: see `write_pieces`.
        begun: whether a run rests on what is there already, so that it is taken even if an earlier
            version read the files in another way.

    Raises:
        DataError: the corpus is broken, or holds no document, or changed while it was read.
        RunError: the disk is full or the folder cannot be written.
    """
    prompting = Prompting(tokenizer, template)
    exact_cuts = exact_cuts or tokenizer.begins_anew_at_lines  # which makes no difference
    made = _take_made(folder, corpus, prompting, exact_cuts=exact_cuts, begun=begun, warn=warn)
    if made is not None:
        return made
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        _start_afresh(partial)
        _encode_all(corpus, prompting, partial, progress, exact_cuts=exact_cuts)
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Shards(folder, byte_lengths=tokenizer.byte_lengths)


def _take_made(
    folder: Path,
    corpus: Corpus,
    prompting: Prompting,
    *,
    exact_cuts: bool,
    begun: bool,
    warn: Callable[[str], None] | None,
) -> Shards | None:
    """Return the folder's shards if they are of this corpus and tokenizer, and verified."""
    if not folder.exists():
        return None
    try:
        manifest = read_manifest(folder)
        if not _is_of(manifest, folder, corpus, prompting, exact_cuts=exact_cuts, begun=begun):
            return None
        later = _verified_later(manifest)
        path = damaged_file(folder, manifest, manifest["files"].keys() - later)
        if path is not None:
            raise DataError(f"{path} was damaged since it was made")
    except DataError as error:
        if warn is not None:
            warn(f"{error}; the data is tokenized again")
        return None
    return Shards(folder, byte_lengths=prompting.tokenizer.byte_lengths, unverified=later)


def _verified_later(manifest: dict[str, Any]) -> set[str]:
    """Return the names of files that are verified at their first use: none of small shards."""
    files = manifest["files"]
    if sum(made["size"] for made in files.values()) <= VERIFIED_AT_ONCE:
        return set()
    return {name for name in files if name.startswith("tokens-")}


def _is_of(
    manifest: dict[str, Any],
    folder: Path,
    corpus: Corpus,
    prompting: Prompting,
    *,
    exact_cuts: bool,
    begun: bool,
) -> bool:
    """Return whether a folder's shards were made from this corpus, tokenizer and template."""
    pad_id = prompting.tokenizer.pad_id
    if manifest["tokenizer"] != prompting.fingerprint or manifest["pad_id"] != pad_id:
        return False
    if manifest["bad"] and not corpus.skip_bad:
        return False  # reading it again stops at the broken line, as it should
    if manifest.get("exact_cuts", prompting.tokenizer.begins_anew_at_lines) != exact_cuts:
        return False
    if not _is_read_alike(manifest.get("reading"), corpus, begun=begun):
        return False
    glance = corpus.glance()
    if manifest["glance"] == glance:
        return True
    if [file["size"] for file in manifest["corpus"]] != [size for _, size, *_ in glance]:
        return False
    fingerprint = corpus.fingerprint()
    if _sums(manifest["corpus"]) != _sums(fingerprint):
        return False
    write_manifest(folder, manifest | {"corpus": fingerprint, "glance": glance})
    return True


def _sums(fingerprint: Sequence[dict[str, Any]]) -> list[str]:
    """The SHA-256 of each file; what it is called does not matter."""
    return [file["sha256"] for file in fingerprint]


def _is_read_alike(reading: Any, corpus: Corpus, *, begun: bool) -> bool:
    """Whether the files became documents as they would now; version 0.1 did not note how."""
    if reading is None:
        return begun
    rule = dict(reading)["rule"]
    return rule == corpus.reading_rule() or (begun and rule["columns"] == corpus.columns)


def _encode_all(
    corpus: Corpus,
    prompting: Prompting,
    folder: Path,
    progress: Callable[[int, int], None] | None,
    *,
    exact_cuts: bool,
) -> None:
    tokenizer = prompting.tokenizer
    glance, fingerprint = corpus.glance(), corpus.fingerprint()
    total = corpus.size_bytes
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    with ShardWriter(
        folder,
        dtype,
        FILE_TOKENS,
        with_replies=corpus.is_dialogue,
        byte_lengths=tokenizer.byte_lengths,
    ) as writer:
        pieces = corpus.pieces()
        for read in write_pieces(pieces, prompting, writer, exact_cuts=exact_cuts):
            if progress is not None:
                progress(read, total)
        if not writer.n_documents:
            raise corpus.no_document()
        files = writer.finish()
    if progress is not None:
        progress(total, total)
    if corpus.glance() != glance:
        raise DataError("the data changed while it was read; run the same command again")
    manifest = {
        "format": FORMAT,
        "tokenizer": prompting.fingerprint,
        "byte_rule": BYTE_RULE,
        "pad_id": tokenizer.pad_id,
        "dtype": dtype.name,
        "file_tokens": FILE_TOKENS,
        "n_tokens": writer.n_tokens,
        "n_documents": writer.n_documents,
        "n_bytes": writer.n_bytes,
        "is_dialogue": corpus.is_dialogue,
        "bad": corpus.bad,
        "exact_cuts": exact_cuts,
        "reading": {
            "rule": corpus.reading_rule(),
            "files": [report.as_json() for report in corpus.reading_report()],
        },
        "corpus": fingerprint,
        "glance": glance,
        "files": files,
    }
    write_manifest(folder, manifest)


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
