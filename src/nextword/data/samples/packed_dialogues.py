"""Samples of dialogues: rows of whole documents, packed anew for every epoch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextword.config import Learn
from nextword.data.samples.datasets import NO_TARGET, PADDING, Batch, Samples
from nextword.data.samples.long_dialogues import CutCounts, cut_dialogues
from nextword.data.samples.packing import Packing, Segments, cut_documents, pack
from nextword.data.samples.shuffling import hash64, hash64_each, permuted
from nextword.data.samples.splits import Part, whole
from nextword.data.shards.token_shards import Shards
from nextword.errors import DataError


class Rows(Samples):
    """Whole documents packed into rows of T tokens; no position looks into another document.

    Every epoch packs them anew (see `packing.py`), the first in their own order. In a share of the
    rows, `talks`, the documents follow each other as one talk instead: later ones see earlier
    ones, as the turns of a chat do, and learn to answer in spite of them. Documents longer than T
    are cut so that replies keep what stands before them (see `long_dialogues.py`).
    """

    def __init__(
        self,
        shards: Shards,
        *,
        context_length: int,
        seed: int,
        part: Part | None = None,
        learn: Learn = "everything",
        talks: float = 0.0,
        keep_prompts: bool = True,
    ) -> None:
        """Pack a part of the shards into rows.

        Args:
            shards: the prepared documents.
            context_length: T, tokens of a row.
            seed: of the order, the packing and the choice of talks.
            part: what to use; everything by default.
            learn: "replies" leaves the tokens of prompts without a target.
            talks: share of the rows whose documents see each other.
            keep_prompts: False cuts documents longer than T every T tokens, as runs that were begun
                with an earlier version go on to do.

        Raises:
            DataError: no document has a token to learn.
        """
        super().__init__(shards, context_length=context_length, seed=seed)
        self._only_replies = learn == "replies"
        self._talks = talks
        part = whole(shards) if part is None else part
        if keep_prompts:
            segments, self.cut = cut_dialogues(shards, part, context_length)
        else:
            segments, n_cut = cut_documents(part, context_length)
            self.cut = CutCounts(dialogues=n_cut)
        if self._only_replies:
            segments = segments.only(self._have_replies(segments))
        if not len(segments.start):
            raise DataError(
                f"none of the {part.n_documents} documents has a token to learn; give documents "
                "of at least one token"
            )
        self._segments = segments
        self._packings: dict[int, Packing] = {}
        self._rows: dict[int, int] = {}
        self.n_rows = self.n_samples(0)
        self.used = int(segments.length.sum()) / (self.n_rows * context_length)  # of all positions

    def n_samples(self, epoch: int) -> int:
        """How many rows this epoch has."""
        if epoch not in self._rows:
            self._rows[epoch] = self._packing(epoch).n_rows
        return self._rows[epoch]

    def first_segment(self) -> tuple[int, int]:
        """Return where in the shards the first segment of the first sample begins and stops."""
        packing = self._packing(0)
        segment = packing.first[self._keys(0, 0, 1)[0]]
        start = int(packing.start[segment])
        return start, start + int(packing.length[segment]) + bool(packing.goes_on[segment])

    def _packing(self, epoch: int) -> Packing:
        """Which documents share a row in an epoch; the two latest are remembered."""
        if epoch not in self._packings:
            segments = self._segments
            if epoch:
                index = np.arange(len(segments.start))
                segments = segments.only(
                    permuted(index, len(index), seed=hash64(self._seed, epoch), epoch=epoch)
                )
            for old in list(self._packings)[:-1]:
                del self._packings[old]
            self._packings[epoch] = pack(segments, self.context_length)
        return self._packings[epoch]

    def _is_talk(self, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of an epoch are talks."""
        key = hash64(self._seed, epoch, self.context_length)
        drawn = hash64_each(key, rows.astype(np.uint64)) >> np.uint64(11)
        return drawn < np.uint64(int(self._talks * (1 << 53)))

    def _have_replies(self, segments: Segments) -> NDArray[np.bool_]:
        """Which segments have a reply token as a target; whole dialogues always do."""
        have = np.ones(len(segments.start), np.bool_)
        for number in np.flatnonzero(segments.is_piece):
            start = int(segments.start[number])
            first = start + max(int(segments.lead[number]), 1)
            last = start + int(segments.length[number]) + bool(segments.goes_on[number])
            have[number] = first < last and self._shards.replies(first, last).any()
        return have

    def _gather(self, epoch: int, keys: NDArray[np.int64]) -> Batch:
        packing, shards = self._packing(epoch), self._shards
        n_segments = packing.first[keys + 1] - packing.first[keys]  # [B]
        number = _ranges(n_segments)  # [S], of the segment within its row
        row = np.repeat(np.arange(len(keys)), n_segments)  # [S]
        segment = packing.first[keys][row] + number  # [S]
        length = packing.length[segment]  # [S]
        within = _ranges(length)  # [N], of the token within its segment
        source = np.repeat(packing.start[segment], length) + within  # [N]
        place = row * self.context_length + packing.column[segment]  # [S]
        place = np.repeat(place, length) + within  # [N]
        following = np.minimum(source + 1, shards.n_tokens - 1)
        target = shards.take(following).astype(np.int64)
        target[~self._has_target(packing, segment, following)] = NO_TARGET
        if self._talks:
            number = np.where(self._is_talk(epoch, keys)[row], 0, number)
        shape = (len(keys), self.context_length)
        return (
            _placed(place, shards.take(source), shape, np.int64, empty=shards.pad_id),
            _placed(place, target, shape, np.int64, empty=NO_TARGET),
            _placed(place, np.repeat(number, length), shape, np.int32, empty=PADDING),
        )

    def _has_target(
        self, packing: Packing, segment: NDArray[np.int64], following: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which tokens of some segments carry loss: [N], one for each place in `following`."""
        length = packing.length[segment]
        has = np.ones(len(following), np.bool_)
        has[(np.cumsum(length) - 1)[~packing.goes_on[segment]]] = False
        lead = packing.lead[segment]  # [S]
        if lead.any():
            has &= _ranges(length) + 1 >= np.repeat(lead, length)
        if self._only_replies:
            has &= self._shards.take_replies(following)
        return has

    def _target_places(self, epoch: int, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        packing = self._packing(epoch)
        n_segments = packing.first[keys + 1] - packing.first[keys]  # [B]
        row = np.repeat(np.arange(len(keys)), n_segments)  # [S]
        segment = packing.first[keys][row] + _ranges(n_segments)  # [S]
        length = packing.length[segment]  # [S]
        source = np.repeat(packing.start[segment], length) + _ranges(length)  # [N]
        following = np.minimum(source + 1, self._shards.n_tokens - 1)
        return following[self._has_target(packing, segment, following)]


def _ranges(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 … length-1 for each length, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)


def _placed(
    place: NDArray[np.int64],
    values: NDArray[Any],
    shape: tuple[int, int],
    dtype: type[Any],
    *,
    empty: int,
) -> NDArray[Any]:
    """`values` at their flat places in an array that is `empty` elsewhere."""
    out = np.full(shape, empty, dtype)
    out.reshape(-1)[place] = values
    return out
