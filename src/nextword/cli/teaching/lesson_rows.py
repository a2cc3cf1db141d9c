"""Lessons under each other: a row for each, or two lines where the terminal is narrow."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from nextword.cli.shared import drawing
from nextword.teach import lesson_text

if TYPE_CHECKING:
    from nextword.teach.lesson import Lesson

WIDE = 80  # columns from which on a lesson is one row
COLUMNS = ("reliability", "generality", "locality", "seconds")
TITLE = "lesson"
NUMBER, STATE, GAP = 4, 11, "  "  # columns of a number; of `not learned`


@dataclass(frozen=True, kw_only=True)
class Row:
    """One lesson of a list.

    Attributes:
        number: in the folder; None where it is not kept.
        state: kept, absorbed, undone, already, not learned, …
        title: what was taught.
    """

    number: int | None
    state: str
    title: str
    lesson: "Lesson"


class Rows:
    """Draws rows one by one, so that each can be printed as soon as its lesson is over.

    Args:
        longest: columns of the longest title.
        width: columns of the terminal; None: as many as needed.
    """

    def __init__(self, *, longest: int, width: int | None) -> None:
        self._width = width
        self._stacked = width is not None and width < WIDE
        fixed = NUMBER + STATE + sum(map(len, COLUMNS)) + len(GAP) * (2 + len(COLUMNS))
        room = longest if width is None else min(longest, width - fixed)
        self._title = max(room, len(TITLE))

    def heading(self) -> Iterator[str]:
        """The columns' names, where there are columns."""
        if not self._stacked:
            yield self._line("", "", TITLE, COLUMNS)

    def lines(self, row: Row) -> Iterator[str]:
        """One lesson."""
        values = cells(row.lesson)
        number = "" if row.number is None else str(row.number)
        if not self._stacked:
            yield self._line(number, row.state, row.title, values)
            return
        indent = " " * NUMBER + GAP
        named = [f"{name} {value}" for name, value in zip(COLUMNS[:-1], values, strict=False)]
        measures = " · ".join([row.state, *named, f"{values[-1]} s"])
        yield drawing.clipped(f"{number:>{NUMBER}}{GAP}{row.title}", self._width)
        yield from drawing.wrapped(measures, self._width, indent=indent, more=indent)

    def _line(self, number: str, state: str, title: str, values: tuple[str, ...]) -> str:
        pairs = zip(values, COLUMNS, strict=True)
        right = (f"{value:>{len(name)}}" for value, name in pairs)
        left = (f"{number:>{NUMBER}}", f"{state:<{STATE}}", drawing.fitted(title, self._title))
        return GAP.join([*left, *right])


def cells(lesson: "Lesson") -> tuple[str, ...]:
    """Reliability, generality, locality of what is known, and the seconds of the steps.

    They are of whole replies; where none were generated, of next words, in parentheses.
    """
    found = lesson.known_replies
    return (
        _measure(lesson_text.exact(lesson, "taught"), lesson_text.rights(lesson, "taught")),
        _measure(lesson_text.exact(lesson, "phrasing"), lesson_text.rights(lesson, "phrasing")),
        _measure(
            (found.unchanged, found.n) if found else (0, 0), (lesson.known.kept, lesson.known.n)
        ),
        f"{lesson.seconds:.1f}",
    )


def _measure(replies: tuple[int, int], words: tuple[int, int]) -> str:
    """`98.7 %` of whole replies, else `(99.8 %)` of next words; `–` without either."""
    if replies[1]:
        return lesson_text.part(*replies)
    return f"({lesson_text.part(*words)})" if words[1] else "–"


def longest_of(titles: list[str]) -> int:
    """Columns of the longest title."""
    return max(map(cell_len, titles), default=0)
