"""Products of short factors are what their format says, however those lie."""

import ctypes
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextword.kernels import build, quantized_matmul
from nextword.kernels.build import find_compiler
from nextword.kernels.quantized_matmul import LONGEST

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

LARGEST = {16: 2896.0, 8: 127.0}  # bits → what the largest number of a vector becomes
OFF = {16: 2e-3, 8: 3e-2}  # of the product's size, at most
STRETCH = 256  # of products of 16 bits that are added up as whole numbers
SIZES = [
    (1, 1, 1),
    (5, 3, 7),
    (17, 2, 33),
    (9, 300, 65),
    (50, 513, 40),
    (8, 256, 32),
    (530, 600, 270),
    (40, 3001, 70),
    (530, 1100, 270),
]


def drawn(rows: int, columns: int, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draws) * torch.logspace(-3, 3, rows)[:, None]


def shortened(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The whole numbers of each row, and what they are to be multiplied by."""
    largest, becomes = matrix.abs().amax(1, keepdim=True), LARGEST[bits]
    return torch.round(matrix * (becomes / largest)).double(), largest / becomes


def by_definition(left: Tensor, right: Tensor, bits: int) -> Tensor:
    (a, a_scale), (b, b_scale) = shortened(left, bits), shortened(right, bits)
    return (a @ b.T * a_scale * b_scale.T).float()


def lying(matrix: Tensor, way: str) -> Tensor:
    """The same numbers, those of its rows or its columns side by side in memory."""
    return matrix.contiguous() if way == "rows" else matrix.T.contiguous().T


@pytest.mark.parametrize(
    ("bits", "way"),
    [
        *((16, "rows, rows"), (16, "rows, columns")),
        *((16, "columns, rows"), (16, "columns, columns")),
        *((8, "rows, rows"), (8, "rows, columns")),
    ],
)
@pytest.mark.parametrize(("rows", "length", "columns"), SIZES)
def test_it_is_the_product_of_rounded_numbers(
    rows: int, length: int, columns: int, bits: int, way: str
) -> None:
    left, right = drawn(rows, length, 0), drawn(columns, length, 1)
    expected = by_definition(left, right, bits)
    one, other = way.split(", ")
    found = quantized_matmul.product(lying(left, one), lying(right, other), bits=bits)
    scale = left.abs().amax(1, keepdim=True) * right.abs().amax(1, keepdim=True).T * length**0.5
    # Numbers halfway between two whole ones may be rounded to either.
    assert float(((found - expected).abs() / scale).max()) < 4 / LARGEST[bits] ** 1.5
    assert float((found - left @ right.T).norm() / (left @ right.T).norm()) < OFF[bits]


def test_the_largest_sums_do_not_overflow() -> None:
    ones = torch.ones(3, 4 * STRETCH)
    negative = torch.full((3, 3), -4.0 * STRETCH)
    torch.testing.assert_close(quantized_matmul.product(ones, -ones), negative)


def test_the_longest_sums_of_bytes_do_not_overflow() -> None:
    ones = torch.ones(2, LONGEST)
    for sign in (1.0, -1.0):
        found = quantized_matmul.product(ones, sign * ones, bits=8)
        torch.testing.assert_close(found, torch.full((2, 2), sign * LONGEST))
        found = quantized_matmul.product(-ones, sign * ones, bits=8)
        torch.testing.assert_close(found, torch.full((2, 2), -sign * LONGEST))


@pytest.mark.parametrize("way", ["rows", "columns"])
def test_of_many_small_numbers_beside_a_large_one_a_share_remains(way: str) -> None:
    """Each is below half of what one rounded number is worth; all together they are much."""
    small = 0.1 / LARGEST[16]
    left = torch.full((40, 4001), small)
    left[:, 0] = 1.0
    right = torch.ones(2, 4001)
    right[:, 0] = 0.0
    gone = quantized_matmul.product(lying(left, way), right)
    assert not bool(gone.any())
    found = quantized_matmul.product(lying(left, way), right, dithered=True)
    torch.testing.assert_close(found, torch.full((40, 2), 4000 * small), rtol=0.01, atol=0.0)


def test_dithered_numbers_are_near() -> None:
    left, right = drawn(50, 513, 0), drawn(40, 513, 1)
    found, exact = quantized_matmul.product(left, right, dithered=True), left @ right.T
    assert not torch.equal(found, quantized_matmul.product(left, right))
    assert float((found - exact).norm() / exact.norm()) < 2e-3


@pytest.mark.parametrize("bits", [16, 8])
def test_vectors_of_zeros_and_of_tiny_numbers(bits: int) -> None:
    left = torch.stack([torch.zeros(10), torch.full((10,), 1e-30), torch.full((10,), 1e-41)])
    found = quantized_matmul.product(left, torch.ones(2, 10), bits=bits)
    torch.testing.assert_close(found[:2], left[:2] @ torch.ones(10, 2))
    assert bool((found[2].abs() < 1e-38).all())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("bits", "way"), [(16, "rows"), (16, "columns"), (8, "rows")])
def test_what_is_not_finite_stays_so(bad: float, bits: int, way: str) -> None:
    left, right = drawn(4, 6, 0), drawn(3, 6, 1)
    left[2, 5] = bad
    found = quantized_matmul.product(lying(left, way), right, bits=bits)
    assert not bool(found[2].isfinite().any())
    assert bool(found[[0, 1, 3]].isfinite().all())
    for each in ("rows", "columns"):
        found = quantized_matmul.product(right, lying(left, each), bits=bits)
        assert not bool(found[:, 2].isfinite().any())


@pytest.mark.parametrize("bits", [16, 8])
def test_every_processor_gives_the_same(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same source for a processor of which nothing is known."""
    left, right = drawn(30, 300, 0), drawn(20, 300, 1)
    expected = quantized_matmul.product(left, right, bits=bits)
    monkeypatch.setattr(build, "FOR_THIS", ((),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = build._load(torch.float32)
    assert isinstance(plain, ctypes.CDLL)
    assert not plain.short_is_fast()
    monkeypatch.setitem(build._loaded, torch.float32, plain)
    found = quantized_matmul.product(left, right, bits=bits)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
    assert not quantized_matmul.is_fast()


def test_without_a_compiler_it_is_not_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build._loaded, torch.float32, None)
    assert not quantized_matmul.is_fast()


def test_the_peak_is_a_speed() -> None:
    quantized_matmul.peak.cache_clear()
    for bits in (16, 8):
        assert 1e7 < quantized_matmul.peak(1, bits, seconds=0.01) < 1e15
    quantized_matmul.peak.cache_clear()
