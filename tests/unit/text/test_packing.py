"""Packing, by hand."""

from collections.abc import Sequence

import numpy as np

from nextword.text.packing import OPEN_ROWS, assign_rows


def test_best_fit_by_hand() -> None:
    #  7 opens row 0 (3 left), 5 opens row 1 (5 left), 3 fills row 0, 4 goes to row 1 (1 left),
    #  2 opens row 2 (8 left), 1 goes to the fullest: row 1, 10 opens row 3
    assert assign_rows([7, 5, 3, 4, 2, 1, 10], 10) == [0, 1, 0, 1, 2, 1, 3]


def test_the_fullest_row_is_closed_when_too_many_are_open() -> None:
    lengths = [6, *[7] * OPEN_ROWS, 4, 3]
    rows = assert_fits(lengths, 10)
    assert rows[-2] == 0  # the 4 still fits into row 0
    assert rows[-1] == 2  # row 1 was closed by the last 7, so the 3 goes to the next


def assert_fits(lengths: Sequence[int], capacity: int) -> list[int]:
    rows = assign_rows(lengths, capacity)
    assert np.bincount(rows, weights=lengths).max() <= capacity
    return rows
