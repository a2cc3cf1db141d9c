"""Do pieces of text stand word for word in a prepared corpus, however large? Exact, in one pass.

Every stretch of the corpus as long as a piece is hashed; where the hash is the piece's, the
tokens themselves are compared. A chunk at a time, so memory stays bounded.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.shuffling import permuted
from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards

CHUNK = 1 << 17  # tokens hashed at a time, few enough for a processor's cache
MOST_HASHED = 200_000_000  # stretches; of a corpus beyond that a share is searched
COMPARED = 4096  # places compared token for token at a time

_FACTOR = 0x9E3779B97F4A7C15  # odd, with bits everywhere
_MASK = (1 << 64) - 1
_TOP = np.uint64(48)  # the 16 bits above it are looked up first


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        stands: for each piece, whether it stands in the text that was searched.
        searched: the share of the text, 0 … 1, that was searched until all were found.
    """

    stands: list[bool]
    searched: float


def find_verbatim(
    pieces: Sequence[Sequence[int]],
    shards: Shards,
    part: Part,
    *,
    most: int = MOST_HASHED,
    until: float = math.inf,
) -> Found:
    """Look for pieces in a part of the shards; each must lie in one unbroken stretch of it.

    Chunks are taken in a mixed order, so that what was searched is spread over the text.

    Args:
        pieces: token ids, at least one in each.
        most: the most stretches to hash, once for each length among the pieces; at least a chunk.
        until: by `time.monotonic()`, when to take no further chunk.
    """
    runs = part.stretches
    lengths = {len(piece) for piece in pieces}
    groups = [_Group(length, pieces, shards, runs) for length in sorted(lengths)]
    first, last = int(runs[0, 0]), int(runs[-1, 1])
    n_chunks = -(-(last - first) // CHUNK)
    hashed = done = 0
    for number in permuted(np.arange(n_chunks), n_chunks, seed=0, epoch=0).tolist():
        groups = [group for group in groups if group.open]
        late = time.monotonic() > until
        if done and groups and (late or hashed >= most):
            break
        begin = first + number * CHUNK
        size = min(CHUNK, last - begin)
        for group in groups:
            group.look(begin, min(begin + size + group.length - 1, last))
        hashed, done = hashed + size * len(groups), done + size
    missing = {number for group in groups for number in group.open}
    stands = [number not in missing for number in range(len(pieces))]
    return Found(stands, done / (last - first))


@dataclass
class _Group:
    """The pieces of one length that are still looked for."""

    length: int
    pieces: Sequence[Sequence[int]]  # of every length
    shards: Shards
    runs: NDArray[np.int64]  # [n, 2], the unbroken stretches of the part
    open: dict[int, np.uint64] = field(init=False)  # number of a piece → its hash

    def __post_init__(self) -> None:
        self.open = {
            number: _hashes(np.array(piece, dtype=np.uint64), self.length)[0]
            for number, piece in enumerate(self.pieces)
            if len(piece) == self.length
        }
        self._list()

    def _list(self) -> None:
        self._tops = np.zeros(1 << 16, np.bool_)
        self._tops[[int(value >> _TOP) for value in self.open.values()]] = True

    def look(self, begin: int, stop: int) -> None:
        """Strike off what stands in the shards between two places."""
        if stop - begin < self.length:
            return
        hashes = _hashes(self.shards.tokens(begin, stop).astype(np.uint64), self.length)
        maybe = np.flatnonzero(self._tops[hashes >> _TOP])
        likely = hashes[maybe]
        before = len(self.open)
        for number, wanted in list(self.open.items()):
            if self._stands(self.pieces[number], begin + maybe[likely == wanted]):
                del self.open[number]
        if len(self.open) < before:
            self._list()

    def _stands(self, piece: Sequence[int], at: NDArray[np.int64]) -> bool:
        """Whether a piece stands at one of some places, inside the part."""
        run = np.searchsorted(self.runs[:, 0], at, side="right") - 1
        at = at[(run >= 0) & (at + self.length <= self.runs[run, 1])]
        steps, tokens = np.arange(self.length), np.array(piece)
        return any(
            bool((self.shards.take(some[:, None] + steps) == tokens).all(axis=1).any())
            for some in np.split(at, range(COMPARED, len(at), COMPARED))
        )


def _hashes(ids: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A 64-bit number for every stretch of `length` ids: its Σ id · FACTORᵏ, modulo 2⁶⁴.

    The numbers of stretches of 1, 2, 4 … ids are made from each other, and put together.
    """
    width, power, done = 1, _FACTOR, 0
    block = ids * np.uint64(power)  # of stretches of `width`
    whole = block[:0]  # of stretches of `done`
    while True:
        if length & width:
            whole = whole[: len(block) - done] * np.uint64(power) + block[done:] if done else block
            done += width
        if done == length:
            return whole
        block = block[:-width] * np.uint64(power) + block[width:]
        width, power = 2 * width, power * power & _MASK
