"""What sample number n is, for any n: windows of a text, or rows of packed documents.

A stream of samples has no state: sample(epoch, index) is a pure function of the shards, the part
and the seed, and a single number that runs over the epochs says where training is.
"""

import abc
import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextword.config import Learn
from nextword.data.samples.shuffling import hash64, permuted
from nextword.data.samples.splits import Part, whole
from nextword.data.shards.token_shards import Shards
from nextword.errors import ConfigError, DataError

NO_TARGET = -1  # no loss at this position
PADDING = -1  # the document of a position without a token

_BLOCK = 1024  # samples whose order is worked out at a time

Batch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32] | None]


@dataclass(frozen=True, eq=False)
class Sample:
    """One sequence of T tokens."""

    tokens: NDArray[np.int64]  # [T]
    targets: NDArray[np.int64]  # [T], the next token; -1: no loss
    documents: NDArray[np.int32]  # [T], 0, 1, 2 … within the sequence; -1: padding


class Samples(abc.ABC):
    """A stream of samples that goes through the data again and again, each time in a new order."""

    def __init__(self, shards: Shards, *, context_length: int, seed: int) -> None:
        self.context_length = context_length
        self._shards = shards
        self._seed = seed
        self._latest: tuple[int, int, NDArray[np.int64]] = (-1, -1, np.empty(0, np.int64))
        self._ends: list[int] = []  # [epoch]: the first sample number after it, as far as asked

    @abc.abstractmethod
    def n_samples(self, epoch: int) -> int:
        """How many samples this epoch has; at least 1."""

    @abc.abstractmethod
    def _gather(self, epoch: int, keys: NDArray[np.int64]) -> Batch:
        """The samples of an epoch whose places `_keys` gave."""

    def _keys(self, epoch: int, first: int, stop: int) -> NDArray[np.int64]:
        """Where the samples first … stop - 1 of an epoch are found."""
        blocks = range(first // _BLOCK, -(-stop // _BLOCK))
        keys = [self._block(epoch, block) for block in blocks]
        begin = blocks.start * _BLOCK
        joined = keys[0] if len(keys) == 1 else np.concatenate(keys)
        return joined[first - begin : stop - begin]

    def _block(self, epoch: int, block: int) -> NDArray[np.int64]:
        """The order of _BLOCK samples; the latest is kept, because training asks in order."""
        if self._latest[:2] != (epoch, block):
            n = self.n_samples(epoch)
            index = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, n))
            keys = permuted(index, n, seed=self._seed, epoch=epoch)
            self._latest = (epoch, block, keys)
        return self._latest[2]

    def sample(self, epoch: int, index: int) -> Sample:
        """Sample `index` of an epoch, 0 ≤ index < n_samples(epoch)."""
        if not 0 <= index < self.n_samples(epoch):
            raise IndexError(f"epoch {epoch} has {self.n_samples(epoch)} samples, not {index}")
        tokens, targets, documents = self._gather(epoch, self._keys(epoch, index, index + 1))
        none = np.zeros(self.context_length, np.int32)
        return Sample(tokens[0], targets[0], none if documents is None else documents[0])

    def batch(self, first: int, count: int) -> Batch:
        """The samples first … first + count - 1, numbered on from epoch to epoch.

        Returns:
            tokens [B, T] int64, targets [B, T] int64 (-1: no loss), and documents [B, T] int32
            (-1: padding), or None where each sequence is one stretch of text.
        """
        parts = []
        while count > 0:
            epoch, index = self.locate(first)
            now = min(count, self.n_samples(epoch) - index)
            parts.append(self._gather(epoch, self._keys(epoch, index, index + now)))
            first, count = first + now, count - now
        return parts[0] if len(parts) == 1 else _joined(parts)

    @property
    def counts_bytes(self) -> bool:
        """Whether `text_bytes` can be asked for."""
        return self._shards.counts_bytes

    def text_bytes(self, first: int, count: int) -> int:
        """How many bytes of the text the targets of these samples stand for."""
        total = 0
        while count > 0:
            epoch, index = self.locate(first)
            now = min(count, self.n_samples(epoch) - index)
            places = self._target_places(epoch, self._keys(epoch, index, index + now))
            total += self._shards.text_bytes(places)
            first, count = first + now, count - now
        return total

    def _target_places(self, epoch: int, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the shards the targets of some samples stand, those that carry loss."""
        raise NotImplementedError

    def locate(self, number: int) -> tuple[int, int]:
        """The epoch, and the index within it, of a sample number that runs over the epochs."""
        ends = self._ends
        while not ends or ends[-1] <= number:
            ends.append((ends[-1] if ends else 0) + self.n_samples(len(ends)))
        epoch = bisect.bisect_right(ends, number)
        return epoch, number - (ends[epoch - 1] if epoch else 0)


class Windows(Samples):
    """A text, or several one after the other, cut into windows of T tokens.

    The windows of an epoch do not overlap; a target may be the first token of the window after.
    Epoch 0 is cut from the first token on, so it covers all of the part but a rest shorter than a
    window; every later epoch is cut at an offset of its own, 0 ≤ offset < T.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        context_length: int,
        seed: int,
        part: Part | None = None,
        learn: Learn = "everything",
    ) -> None:
        """Cut a part of the shards into windows.

        Args:
            shards: the prepared text.
            context_length: T, tokens of a window.
            seed: of the order and the offsets.
            part: what to use; everything by default.
            learn: "everything"; "replies" needs dialogues.

        Raises:
            ConfigError: learn="replies".
            DataError: the part is shorter than one window and its last target.
        """
        super().__init__(shards, context_length=context_length, seed=seed)
        if learn == "replies":
            raise ConfigError(
                "learn is 'replies', but windows of text have no replies; give dialogues, or "
                "choose learn = 'everything'"
            )
        part = whole(shards) if part is None else part
        self.n_tokens = part.n_tokens
        if self.n_tokens < context_length + 1:
            raise DataError(
                f"the text has {self.n_tokens} tokens and one sequence needs {context_length + 1} "
                f"(context length {context_length} + 1). Give more text, or a shorter --context "
                f"(at most {max(self.n_tokens - 1, 0)})"
            )
        starts, stops = part.stretches.T
        self._runs = np.cumsum(stops - starts) - (stops - starts)  # in the part as one stream
        self._shifts = starts - self._runs  # from there to the shards
        self._steps = np.arange(context_length + 1)

    def offset(self, epoch: int) -> int:
        """How many tokens are left out before the first window of an epoch."""
        room = min(self.context_length, self.n_tokens - self.context_length)
        return hash64(self._seed, epoch, self.context_length) % room if epoch else 0

    def n_samples(self, epoch: int) -> int:
        """How many windows this epoch has."""
        return (self.n_tokens - self.offset(epoch) - 1) // self.context_length

    def _keys(self, epoch: int, first: int, stop: int) -> NDArray[np.int64]:
        return self.offset(epoch) + super()._keys(epoch, first, stop) * self.context_length

    def _gather(self, epoch: int, keys: NDArray[np.int64]) -> Batch:
        ids = self._shards.take(self._places(keys))  # [B, T + 1]
        return ids[:, :-1].astype(np.int64), ids[:, 1:].astype(np.int64), None

    def _target_places(self, epoch: int, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._places(keys)[:, 1:].reshape(-1)

    def _places(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the shards the tokens of the windows lie that begin at `keys`: [B, T + 1]."""
        places = keys[:, None] + self._steps
        first = self._run_of(keys)
        for row in np.flatnonzero(self._run_of(keys + self.context_length) != first):
            places[row] += self._shifts[self._run_of(places[row])]  # it goes over a gap
            first[row] = -1
        inside = first >= 0
        places[inside] += self._shifts[first[inside]][:, None]
        return places

    def _run_of(self, at: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(self._runs, at, side="right") - 1


def _joined(parts: list[Batch]) -> Batch:
    """Batches of neighbouring epochs as one."""
    tokens, targets, documents = zip(*parts, strict=True)
    known = [item for item in documents if item is not None]
    return (
        np.concatenate(tokens),
        np.concatenate(targets),
        np.concatenate(known) if known else None,
    )
