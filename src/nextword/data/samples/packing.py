"""Which documents share a row: best fit, the longest first, from their lengths alone."""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.splits import Part

LOOKAHEAD = 256  # documents among which the longest get their rows first
OPEN_ROWS = 256  # rows that may still take a document; fewer would close those of the longest


@dataclass(frozen=True, eq=False)
class Packing:
    """Segments (documents, or pieces of long ones) in the rows that they share.

    Row r holds the segments first[r] … first[r+1] - 1, from its left edge on, without gaps.
    """

    first: NDArray[np.int64]  # [n_rows + 1]
    start: NDArray[np.int64]  # [n_segments], the token where a segment begins
    length: NDArray[np.int64]  # [n_segments], at least 1
    goes_on: NDArray[np.bool_]  # [n_segments], whether the document goes on after it
    lead: NDArray[np.int64]  # [n_segments], tokens at its beginning that are seen and not learned
    column: NDArray[np.int64]  # [n_segments], where in the row it begins

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.first) - 1


@dataclass(frozen=True, eq=False)
class Segments:
    """Documents, and pieces of those that are longer than a row, each with at least one target."""

    start: NDArray[np.int64]  # [n]
    length: NDArray[np.int64]  # [n]
    goes_on: NDArray[np.bool_]  # [n], whether the document goes on after it
    is_piece: NDArray[np.bool_]  # [n], whether its document was cut
    lead: NDArray[np.int64]  # [n], tokens at its beginning that are seen and not learned

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Segments":
        """Those that are chosen, by a mask or, in an order of their own, by their numbers."""
        return Segments(
            self.start[chosen],
            self.length[chosen],
            self.goes_on[chosen],
            self.is_piece[chosen],
            self.lead[chosen],
        )


def cut_documents(part: Part, capacity: int) -> tuple[Segments, int]:
    """The documents of a part as segments of at most `capacity` tokens, and how many were cut.

    A document of n tokens has n - 1 targets, so it becomes ceil((n - 1) / capacity) segments: the
    last token, which has no target, gets no segment for itself, and a lone token gets none.
    """
    begin, end = part.spans[:, 0], part.spans[:, 1]
    pieces = np.maximum(-(-(end - begin - 1) // capacity), 0)  # [n_documents]
    document = np.repeat(np.arange(len(begin)), pieces)  # [n_segments]
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = begin[document] + number * capacity
    stop = np.minimum(start + capacity, end[document])
    is_piece = pieces[document] > 1
    lead = np.zeros(len(start), dtype=np.int64)
    segments = Segments(start, stop - start, stop < end[document], is_piece, lead)
    return segments, int((pieces > 1).sum())


def pack(segments: Segments, capacity: int) -> Packing:
    """Give each segment a row; a row's segments stay in their order."""
    rows = np.array(assign_rows(segments.length.tolist(), capacity), dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    length = segments.length[order]
    n_rows = int(rows.max()) + 1 if len(rows) else 0
    first = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=first[1:])
    before = np.cumsum(length) - length  # tokens of all segments before this one
    column = before - np.repeat(before[first[:-1]], np.diff(first))
    goes_on, lead = segments.goes_on[order], segments.lead[order]
    return Packing(first, segments.start[order], length, goes_on, lead, column)


def assign_rows(lengths: Sequence[int], capacity: int) -> list[int]:
    """The row of each segment; rows are numbered in the order in which they are opened.

    Of LOOKAHEAD segments at a time the longest comes first, of equals the earlier. It goes to the
    open row in which it leaves the least room. If it fits into none it opens a row, and when more
    than OPEN_ROWS are open the fullest is closed.

    Args:
        lengths: tokens of each segment, 1 … capacity.
        capacity: tokens of a row.
    """
    rows = [0] * len(lengths)
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    opened = 0
    for segment in _longest_first(lengths):
        length = lengths[segment]
        at = bisect.bisect_left(room, (length, 0))
        if at < len(room):
            left, row = room.pop(at)
        else:
            left, row = capacity, opened
            opened += 1
        rows[segment] = row
        if left > length:
            bisect.insort(room, (left - length, row))
            if len(room) > OPEN_ROWS:
                del room[0]
    return rows


def _longest_first(lengths: Sequence[int]) -> Iterator[int]:
    """The numbers of all segments, of LOOKAHEAD at a time the longest first."""
    for first in range(0, len(lengths), LOOKAHEAD):
        ahead = range(first, min(first + LOOKAHEAD, len(lengths)))
        yield from sorted(ahead, key=lambda segment: -lengths[segment])
