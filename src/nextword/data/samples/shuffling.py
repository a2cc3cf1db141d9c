"""The order of samples as a pure function of (seed, epoch, index), in constant memory.

Everything here is integer arithmetic on 64 bits that is spelled out, so that an order is the same
on every machine and with every version of numpy, today and when a run is resumed in a year.
"""

import math

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_ROUNDS = 6  # enough that all 720 orders of six samples come equally often


def hash64(*numbers: int) -> int:
    """A well-mixed 64-bit number from integers (splitmix64, Steele et al. 2014)."""
    state = 0
    for number in numbers:
        state = _mix((state ^ (number & _MASK)) & _MASK)
    return state


def hash64_each(key: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`hash64(k, number)` for many numbers at once, where `key` is `hash64(k)`.

    Args:
        key: what comes before the number in the hash, already hashed.
        numbers: uint64, of any shape.
    """
    mixed = (numbers ^ np.uint64(key)) + np.uint64(_GOLDEN)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(_FACTORS[0])
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(_FACTORS[1])
    mixed ^= mixed >> np.uint64(31)
    return mixed


def permuted(index: NDArray[np.int64], n: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Where a permutation of 0 … n-1 that belongs to (seed, epoch) sends each index.

    A number x below a·b, with a = ceil(√n) and b = ceil(n/a), is written as x = left·b + right;
    left and right in turn are shifted, modulo a and b, by a hash of the other. Each shift can be
    undone, so it is a permutation of 0 … a·b-1 (an unbalanced Feistel network; Black and Rogaway
    2002). What lands at n or above, less than 1 in √n, is sent on until it lands below: the walk
    is on a cycle that started below n, so it ends, and no two walks meet.

    Args:
        index: int64, one-dimensional, each 0 ≤ index < n.
        n: how many there are.
        seed: of the whole order.
        epoch: of the pass over the data.
    """
    assert n >= 1 and index.ndim == 1
    a = math.isqrt(n - 1) + 1
    b = -(-n // a)
    keys = [hash64(seed, epoch, half) for half in range(2 * _ROUNDS)]
    out = _shuffled(index.astype(np.uint64), a, b, keys)
    while (outside := out >= n).any():
        out[outside] = _shuffled(out[outside], a, b, keys)
    return out.astype(np.int64)


def _shuffled(x: NDArray[np.uint64], a: int, b: int, keys: list[int]) -> NDArray[np.uint64]:
    left, right = np.divmod(x, np.uint64(b))
    for key in range(0, len(keys), 2):
        left = (left + hash64_each(keys[key], right) % np.uint64(a)) % np.uint64(a)
        right = (right + hash64_each(keys[key + 1], left) % np.uint64(b)) % np.uint64(b)
    return left * np.uint64(b) + right


def _mix(number: int) -> int:
    mixed = (number + _GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _FACTORS[0]) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _FACTORS[1]) & _MASK
    return mixed ^ (mixed >> 31)
