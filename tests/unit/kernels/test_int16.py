"""Products of whole numbers of 16 bits are what their format says, however factors lie."""

import ctypes
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextword.kernels import int16, native
from nextword.kernels.native import find_compiler

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

LARGEST, STRETCH = 2896.0, 256
SIZES = [
    (1, 1, 1),
    (5, 3, 7),
    (17, 2, 33),
    (9, 300, 65),
    (50, 513, 40),
    (8, 256, 32),
    (530, 600, 270),
]


def drawn(rows: int, columns: int, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draws) * torch.logspace(-3, 3, rows)[:, None]


def shortened(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The whole numbers of each row, and what they are to be multiplied by."""
    largest = matrix.abs().amax(1, keepdim=True)
    return torch.round(matrix * (LARGEST / largest)).double(), largest / LARGEST


def by_definition(left: Tensor, right: Tensor) -> Tensor:
    (a, a_scale), (b, b_scale) = shortened(left), shortened(right)
    return (a @ b.T * a_scale * b_scale.T).float()


def lying(matrix: Tensor, way: str) -> Tensor:
    """The same numbers, those of its rows or its columns side by side in memory."""
    return matrix.contiguous() if way == "rows" else matrix.T.contiguous().T


@pytest.mark.parametrize(
    "way", ["rows, rows", "rows, columns", "columns, rows", "columns, columns"]
)
@pytest.mark.parametrize(("rows", "length", "columns"), SIZES)
def test_it_is_the_product_of_rounded_numbers(
    rows: int, length: int, columns: int, way: str
) -> None:
    left, right = drawn(rows, length, 0), drawn(columns, length, 1)
    expected = by_definition(left, right)
    one, other = way.split(", ")
    found = int16.product(lying(left, one), lying(right, other))
    scale = left.abs().amax(1, keepdim=True) * right.abs().amax(1, keepdim=True).T * length**0.5
    # Numbers halfway between two whole ones may be rounded to either.
    assert float(((found - expected).abs() / scale).max()) < 4 / LARGEST**1.5
    assert float((found - left @ right.T).norm() / (left @ right.T).norm()) < 2e-3


def test_the_largest_sums_do_not_overflow() -> None:
    ones = torch.ones(3, 4 * STRETCH)
    torch.testing.assert_close(int16.product(ones, -ones), torch.full((3, 3), -4.0 * STRETCH))


@pytest.mark.parametrize("way", ["rows", "columns"])
def test_of_many_small_numbers_beside_a_large_one_a_share_remains(way: str) -> None:
    """Each is below half of what one rounded number is worth; all together they are much."""
    small = 0.1 / LARGEST
    left = torch.full((40, 4001), small)
    left[:, 0] = 1.0
    right = torch.ones(2, 4001)
    right[:, 0] = 0.0
    gone = int16.product(lying(left, way), right)
    assert not bool(gone.any())
    found = int16.product(lying(left, way), right, dithered=True)
    torch.testing.assert_close(found, torch.full((40, 2), 4000 * small), rtol=0.01, atol=0.0)


def test_dithered_numbers_are_near() -> None:
    left, right = drawn(50, 513, 0), drawn(40, 513, 1)
    found, exact = int16.product(left, right, dithered=True), left @ right.T
    assert not torch.equal(found, int16.product(left, right))
    assert float((found - exact).norm() / exact.norm()) < 2e-3


def test_vectors_of_zeros_and_of_tiny_numbers() -> None:
    left = torch.stack([torch.zeros(10), torch.full((10,), 1e-30), torch.full((10,), 1e-41)])
    found = int16.product(left, torch.ones(2, 10))
    torch.testing.assert_close(found[:2], left[:2] @ torch.ones(10, 2))
    assert bool((found[2].abs() < 1e-38).all())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("way", ["rows", "columns"])
def test_what_is_not_finite_stays_so(bad: float, way: str) -> None:
    left, right = drawn(4, 6, 0), drawn(3, 6, 1)
    left[2, 5] = bad
    found = int16.product(lying(left, way), right)
    assert not bool(found[2].isfinite().any())
    assert bool(found[[0, 1, 3]].isfinite().all())
    assert not bool(int16.product(right, lying(left, way))[:, 2].isfinite().any())


def test_every_processor_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same source for a processor of which nothing is known."""
    left, right = drawn(30, 300, 0), drawn(20, 300, 1)
    expected = int16.product(left, right)
    monkeypatch.setattr(native, "FOR_THIS", ((),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = native._load(torch.float32)
    assert isinstance(plain, ctypes.CDLL)
    assert not plain.int16_is_fast()
    monkeypatch.setitem(native._loaded, torch.float32, plain)
    torch.testing.assert_close(int16.product(left, right), expected, rtol=1e-5, atol=1e-3)
    assert not int16.is_fast()


def test_without_a_compiler_it_is_not_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(native._loaded, torch.float32, None)
    assert not int16.is_fast()


def test_the_peak_is_a_speed() -> None:
    int16.peak.cache_clear()
    assert 1e7 < int16.peak(1, seconds=0.01) < 1e15
    int16.peak.cache_clear()
