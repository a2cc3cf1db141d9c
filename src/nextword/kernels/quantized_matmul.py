"""Matrix products of short factors, as blocks and loss take them: see shorten.c, multiply.c."""

import ctypes
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from nextword.kernels.build import POINTER, WHOLE, kernels

LONGEST = 2**16  # numbers of a vector whose products of bytes add up exactly
SIDE = 512  # of the square matrices by whose product the peak is measured


class Factor(ctypes.Structure):
    """`Factor` of short.h."""

    _fields_ = [
        ("at", POINTER),
        *((name, WHOLE) for name in ("step", "count", "length", "across", "dithered", "bytes")),
        *(("packed", POINTER), ("scale", POINTER), ("sums", POINTER), ("in_panels", WHOLE)),
    ]


def is_fast() -> bool:
    """Whether the processor multiplies more of them at a time than floats."""
    library = kernels(torch.float32)
    return library is not None and bool(library.short_is_fast())


def product(left: Tensor, right: Tensor, *, bits: int = 16, dithered: bool = False) -> Tensor:
    """left · rightᵀ by numbers that are rounded to 1/2896 or 1/127 of the largest of their row.

    Args:
        left: [n, k] float32; rows or columns side by side in memory, rows where they become bytes.
        right: [m, k], likewise, its rows or columns.
        bits: 16 or 8.
        dithered: whether the left one's are rounded up or down by turns.

    Returns:
        [n, m] float32.
    """
    return _multiplier(left, right, bits=bits, dithered=dithered)()


def _multiplier(
    left: Tensor, right: Tensor, *, bits: int = 16, dithered: bool = False
) -> Callable[[], Tensor]:
    """What multiplies two matrices that are short already, each time it is called."""
    library = kernels(torch.float32)
    assert library is not None, "is_fast was asked first"
    factors: list[Factor] = []
    rooms: list[Tensor] = []
    for matrix, shorten in ((left, library.shorten_left), (right, library.shorten_right)):
        across = matrix.stride(1) != 1
        assert bits == 16 or not (dithered or (across and not factors)), "not of bytes"
        step = matrix.stride(1) if across else matrix.stride(0)
        turns = dithered and not factors
        factor = Factor(matrix.data_ptr(), step, *matrix.shape, across, turns, bits == 8)
        room = matrix.new_empty(library.short_room(*matrix.shape))
        shorten(ctypes.byref(factor), room.data_ptr())
        factors.append(factor)
        rooms.append(room)
    out = left.new_empty(len(left), len(right))

    def multiply() -> Tensor:
        assert len(rooms) == 2, "their memory is in use"
        library.multiply_short(*map(ctypes.byref, factors), out.data_ptr(), out.stride(0), 0)
        return out

    return multiply


@functools.cache
def peak(threads: int, bits: int = 16, seconds: float = 0.15) -> float:
    """The fastest that large products ran here on so many threads at once, in operations/s.

    Of matrices that are short already. Measured once per process; a multiplication and an addition
    are two operations.
    """
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(_fastest, [bits] * threads, [seconds] * threads))


def _fastest(bits: int, seconds: float) -> float:
    """Operations per second of the fastest of the products that one thread works out."""
    draws = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, SIDE, SIDE, generator=draws, dtype=torch.float32)
    multiply = _multiplier(left, right, bits=bits)
    end, best = time.perf_counter() + seconds, 0.0
    while time.perf_counter() < end or not best:
        start = time.perf_counter()
        multiply()
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - start))
    return best
