"""The matrices that are learned in short form (shorten.c), made once for all threads.

Of a small model each thread makes them itself, one after the other in the same place: so they stay
in its cache, which counts for more.
"""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from nextword.kernels.build import kernels
from nextword.kernels.c_structs import ShortStruct
from nextword.kernels.quantized_matmul import Factor

WORDS = 512  # whose logits are worked with together: a part of the unembedding
LINE = 16  # floats of a line of the cache; each form begins with a whole one

Job = tuple[Factor, int]  # what is made short, and where to


class ShortForms:
    """Short forms of matrices, either way round, and the memory that they are in.

    Args:
        weights: float32 and contiguous; matrices [n, k] are made short, vectors and None not.
        words: the unembedding, [V, M], in parts of `WORDS`; None: there is none.
        bits: of a number, 16 or 8; of what goes back from the logits 16 always.
        pieces: on how many threads they are made.

    Attributes:
        places: for each of the weights where its forms are.
        words: where those of the unembedding's parts are, one behind the other.
        pieces: the numbers of what can be made at the same time.
    """

    def __init__(
        self,
        weights: Sequence[Tensor | None],
        words: Tensor | None = None,
        *,
        bits: int = 16,
        pieces: int = 1,
    ) -> None:
        self._library: Any = kernels(torch.float32)
        assert self._library is not None, "`exist` was asked first"
        self._memory: list[Tensor] = []
        self._jobs: list[Job] = []
        self.places = [
            ShortStruct()
            if each is None or each.dim() == 1
            else self._both_ways(each, len(each), bits, bits)
            for each in weights
        ]
        self.words = ShortStruct() if words is None else self._both_ways(words, WORDS, bits, 16)
        self._pieces = [
            ((Factor * len(jobs))(*(job[0] for job in jobs)), _pointers(job[1] for job in jobs))
            for jobs in _deal(self._jobs, pieces)
        ]
        self.pieces = range(len(self._pieces))

    def renew(self, piece: int) -> None:
        """Make a piece of them anew, after the matrices have changed."""
        factors, rooms = self._pieces[piece]
        self._library.shorten_all(factors, rooms, len(factors))

    def _both_ways(self, matrix: Tensor, part: int, bits: int, bits_back: int) -> ShortStruct:
        assert matrix.is_contiguous()
        assert matrix.dtype == torch.float32
        forward = self._one_way(matrix, part, bits, back=False)
        return ShortStruct(forward, self._one_way(matrix, part, bits_back, back=True))

    def _one_way(self, matrix: Tensor, part: int, bits: int, *, back: bool) -> int:
        """Where the forms of each `part` of its rows will be, of the rows, or back of columns."""
        count, width = matrix.shape
        part = min(part, count)
        needed = self._library.short_room(*((width, part) if back else (part, width)))
        room = -(-needed // LINE) * LINE
        firsts = range(0, count, part)
        memory = torch.empty(len(firsts) * room, dtype=torch.float32)
        self._memory.append(memory)
        for number, first in enumerate(firsts):
            rows, at = min(part, count - first), matrix.data_ptr() + 4 * first * width
            sizes = (width, rows, 1) if back else (rows, width, 0)
            factor = Factor(at, width, *sizes, 0, bits == 8)
            self._jobs.append((factor, memory.data_ptr() + 4 * number * room))
        return memory.data_ptr()


def _deal(jobs: Sequence[Job], count: int) -> list[list[Job]]:
    """The jobs in parts of about as much work, and no empty one."""
    parts: list[list[Job]] = [[] for _ in range(count)]
    work = [0] * count
    for job in sorted(jobs, key=lambda job: -job[0].count * job[0].length):
        least = work.index(min(work))
        parts[least].append(job)
        work[least] += job[0].count * job[0].length
    return [part for part in parts if part]


def _pointers(places: Iterable[int]) -> Any:
    every = list(places)
    return (ctypes.c_void_p * len(every))(*every)
