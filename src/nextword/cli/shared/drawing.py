"""Numbers and tokens laid out in lines: for a terminal as wide as it is, for a pipe untruncated."""

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from nextword.common.text_format import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from nextword.interpret.walkthrough_steps import Line, Step

SPACE = "␣"
SHORT_WIDTH = 16  # models up to this d_model have their vectors printed in full
SHOWN = 6  # numbers of a longer vector
MASKED_SHOWN = 6  # words masked for the same reason, one after the other
BAR = 24  # columns of the longest bar to each side
NARROWEST = 30  # columns
INDENT = "  "


def width_of(console: "Console") -> int | None:
    """How many columns there are; None in a pipe, where a line may be as long as it likes."""
    return max(console.width, NARROWEST) if console.is_terminal else None


def show(console: "Console", line: "Text") -> None:
    """Print a line as it is, neither cut nor wrapped."""
    console.print(line, soft_wrap=True)


def tell(console: "Console", text: str, style: str = "") -> None:
    """Print a text in lines as wide as the terminal, with no control characters."""
    from rich.text import Text

    for part in wrapped(visible(text), width_of(console)):
        show(console, Text(part, style))


def token_text(token: str) -> str:
    """A token as people can see it: no control characters, spaces at its ends as ␣."""
    text = visible(token)
    left = len(text) - len(text.lstrip(" "))
    right = len(text) - len(text.rstrip(" ")) if left < len(text) else 0
    return SPACE * left + text[left : len(text) - right] + SPACE * right


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` columns of a terminal: filled with spaces, or cut with …."""
    if cell_len(text) > width > 0:
        return set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def clipped(text: str, width: int | None) -> str:
    """`text`, cut with … where it is wider than the terminal."""
    return text if width is None or cell_len(text) <= width else fitted(text, width)


def wrapped(text: str, width: int | None, *, indent: str = "", more: str = "") -> list[str]:
    """`text` in lines of at most `width` columns; `more` indents all but the first."""
    if width is None or cell_len(indent + text) <= width:
        return [indent + text]
    return textwrap.wrap(
        text, width=width, initial_indent=indent, subsequent_indent=more, break_on_hyphens=False
    )


def percent(value: float) -> str:
    """A probability as `93.1 %`."""
    return f"{100 * value:.1f} %"


def number(value: float) -> str:
    """A number with four decimals; zero has no sign."""
    text = f"{value:.4f}"
    return text[1:] if text == "-0.0000" else text


def bars(rows: Sequence[tuple[str, float]], *, width: int | None) -> Iterator[str]:
    """Labelled numbers with signed bars: to the left of the line below zero, to the right above.

    Args:
        rows: label and number; all bars have one scale, the last row's included.
        width: columns of the terminal; None: bars as long as in a wide one.
    """
    numbers = [f"{number(value):>10}" for _, value in rows]
    size = max(map(len, numbers), default=0)
    labels = [token_text(label) for label, _ in rows]
    longest = max(map(cell_len, labels), default=0)
    room = longest + 2 * BAR if width is None else width - len(INDENT) - size - 5
    half = min(BAR, max((room - longest) // 2, room // 6, 0))
    longest = min(longest, room - 2 * half)
    most = max((abs(value) for _, value in rows), default=0.0)
    for (_, value), label, shown in zip(rows, labels, numbers, strict=True):
        filled = round(half * abs(value) / most) if most and math.isfinite(value / most) else 0
        left = "█" * filled if value < 0 else ""
        right = "█" * filled if value > 0 else ""
        yield f"{INDENT}{fitted(label, longest)}  {shown:>{size}}  {left:>{half}}│{right}"


def step_lines(step: "Step", *, width: int | None, full: bool) -> Iterator[str]:
    """The numbers of a step of a chain, ready to print.

    Numbers stand under each other, so that a sum can be followed down its column.

    Args:
        step: of `nextword.interpret.walkthrough`.
        width: columns of the terminal; None: as long as needed.
        full: all numbers of vectors, not the first few.
    """
    signed = any(line.sign for line in step.lines)
    place = max(
        [len(str(line.position)) for line in step.lines if line.position is not None] or [0]
    )
    most = None if width is None else max(width // 2 - len(INDENT), 12)
    labels = [_label(line, place, signed=signed, most=most) for line in step.lines]
    size = max(map(cell_len, labels), default=0)
    printed = [x for line in step.lines if not line.products for x in _shown(line, full=full)]
    cell = 2 + max(map(len, [*step.columns, *map(number, printed)]), default=0)
    pairs = zip(step.lines, labels, strict=True)
    for kind, group in itertools.groupby(pairs, key=lambda pair: _kind(pair[0])):
        rows = [(fitted(label, size), line) for line, label in group]
        if kind == "equation":
            for label, line in rows:
                yield from _equation(label, line, width)
        elif kind == "numbers":
            room = None if width is None else width - len(INDENT) - size
            yield from _numbers(rows, step.columns, room=room, cell=cell, size=size, full=full)
        else:
            yield from _masked(rows, width)


def _kind(line: "Line") -> str:
    """How a line is drawn; neighbours of a kind are drawn together."""
    return line.masked or ("equation" if line.products else "numbers")


def _label(line: "Line", place: int, *, signed: bool, most: int | None) -> str:
    """What stands before the numbers of a line; only the name in it is cut to fit into `most`."""
    before = f"{line.sign:1} " if signed else ""
    after = "" if line.factor is None else f" {number(line.factor)}"
    if line.position is not None:
        before += f"{line.position:>{place}} "
        after = f" ×{after}" if after else ""
    room = None if most is None else max(most - len(before + after), 3)
    return before + clipped(token_text(line.name), room) + after


def _equation(label: str, line: "Line", width: int | None) -> Iterator[str]:
    """A sum of products, written out."""
    terms = [f"{number(first)} × {number(second)}" for first, second in line.products]
    if line.added is not None:
        terms.append(number(line.added))
    text = f"{label} = {' + '.join(terms)} = {number(line.numbers[0])}"
    if width is None or cell_len(INDENT + text) <= width:
        yield INDENT + text
        return
    yield f"{INDENT}{label}"
    for index, term in enumerate(terms):
        yield f"{INDENT}{INDENT}{'+' if index else '='} {term}"
    yield f"{INDENT}{INDENT}= {number(line.numbers[0])}"


def _masked(rows: Sequence[tuple[str, "Line"]], width: int | None) -> Iterator[str]:
    """Words that the query does not see, all for the same reason."""
    many = len(rows) > MASKED_SHOWN
    shown = [*rows[:2], rows[-1]] if many else rows
    for index, (label, line) in enumerate(shown):
        if many and index == 2:
            yield f"{INDENT}… and {len(rows) - 3} more, masked"
        yield clipped(f"{INDENT}{label}  masked: {line.masked}", width)


def _numbers(
    rows: Sequence[tuple[str, "Line"]],
    headings: Sequence[str],
    *,
    room: int | None,
    cell: int,
    size: int,
    full: bool,
) -> Iterator[str]:
    """Rows of numbers of `cell` columns each, in `room` columns beside labels of `size`.

    Where they do not fit side by side, they come in groups, one below the other.
    """
    if not headings and not full:
        fitting = SHOWN if room is None else max(1, min(SHOWN, (room - 14) // cell))
        for label, line in rows:
            shown = _joined(line.numbers[:fitting] if _is_long(line) else line.numbers, cell)
            yield f"{INDENT}{label}{shown}{_rest(line, room, cell_len(shown))}"
        return
    columns = max(len(line.numbers) for _, line in rows)
    group = columns if room is None else max(1, room // cell)
    for first in range(0, columns, group):
        part = slice(first, first + group)
        if headings:
            yield f"{INDENT}{'':{size}}" + "".join(f"{text:>{cell}}" for text in headings[part])
        elif first:
            yield ""
        for label, line in rows:
            yield f"{INDENT}{label}{_joined(line.numbers[part], cell)}"


def _rest(line: "Line", room: int | None, taken: int) -> str:
    """What stands for the numbers of a long vector that are not printed: its length, if it fits."""
    if not _is_long(line):
        return ""
    rest = f"  … ‖{number(math.hypot(*line.numbers))}‖"
    return rest if room is None or taken + len(rest) <= room else "  …"


def _is_long(line: "Line") -> bool:
    return len(line.numbers) > SHOWN


def _shown(line: "Line", *, full: bool) -> Sequence[float]:
    """The numbers of a line that are printed, if there is room."""
    return line.numbers if full else line.numbers[:SHOWN]


def _joined(values: Sequence[float], cell: int) -> str:
    return "".join(f"{number(value):>{cell}}" for value in values)
