"""Packing, by hand."""

from collections.abc import Sequence

import numpy as np

from nextword.data.samples.packing import LOOKAHEAD, OPEN_ROWS, assign_rows


def test_best_fit_by_hand() -> None:
    #  10 fills row 0, 7 opens row 1 (3 left), 5 opens row 2 (5 left), 4 goes to row 2 (1 left),
    #  3 fills row 1, 2 opens row 3 (8 left), 1 goes to the fullest: row 2
    assert assign_rows([7, 5, 3, 4, 2, 1, 10], 10) == [1, 2, 1, 2, 3, 2, 0]


def test_of_equals_the_earlier_comes_first() -> None:
    assert assign_rows([6, 6, 4, 4], 10) == [0, 1, 0, 1]


def test_the_longest_come_first_among_so_many_only() -> None:
    # the 9 is one too far ahead: the 2s have filled their rows by then, five in each
    lengths = [*[2] * LOOKAHEAD, 9]
    rows = assert_fits(lengths, 10)
    assert rows[:-1] == [number // 5 for number in range(LOOKAHEAD)]
    assert rows[-1] == -(-LOOKAHEAD // 5)


def test_the_fullest_row_is_closed_when_too_many_are_open() -> None:
    # the first documents open OPEN_ROWS rows with 3 left, the next one more, with 4 left: then
    # row 0 is closed. The 4 still fits into the last row, and the 3 goes to row 1.
    lengths = [*[7] * OPEN_ROWS, 6, 4, 3]
    rows = assert_fits(lengths, 10)
    assert rows[-3:] == [OPEN_ROWS, OPEN_ROWS, 1]


def assert_fits(lengths: Sequence[int], capacity: int) -> list[int]:
    rows = assign_rows(lengths, capacity)
    assert np.bincount(rows, weights=lengths).max() <= capacity
    return rows
