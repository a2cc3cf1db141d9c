"""The order of samples: fixed forever, and as good as drawn."""

from collections import Counter

import numpy as np

from nextword.data.samples.shuffling import hash64, hash64_each, permuted


def test_hashes_are_those_of_splitmix64() -> None:
    assert hash64(0) == 0xE220A8397B1DCDAF  # the first number of its reference code, seed 0
    numbers = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert hash64_each(hash64(5), numbers).tolist() == [hash64(5, int(n)) for n in numbers]
    assert hash64(-1) == hash64(2**64 - 1)


def test_an_order_is_the_same_forever() -> None:
    assert permuted(np.arange(7), 7, seed=3, epoch=0).tolist() == [0, 2, 3, 5, 4, 6, 1]
    assert permuted(np.arange(5), 1_000_003, seed=3, epoch=2).tolist() == [
        906328,
        758337,
        27726,
        287206,
        523349,
    ]


def test_every_order_of_few_samples_comes_about_as_often() -> None:
    orders = [tuple(permuted(np.arange(4), 4, seed=0, epoch=epoch)) for epoch in range(1200)]
    counts = Counter(orders)
    assert len(counts) == 24
    assert 20 < min(counts.values()) <= max(counts.values()) < 85  # 50 expected


def test_an_order_looks_random() -> None:
    n = 10_007
    order = permuted(np.arange(n), n, seed=1, epoch=1)
    assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 0.03
    steps = np.diff(order)
    assert len(np.unique(steps)) > n / 2
    halves = (order[: n // 2] < n // 2).mean()  # of the first half, how many stay there
    assert abs(halves - 0.5) < 0.02
