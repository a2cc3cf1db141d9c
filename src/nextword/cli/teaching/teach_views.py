"""How `nextword teach` draws a lesson: its steps while they come, then before and after."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import cell_len

from nextword.cli.inspecting import look_account
from nextword.cli.shared import drawing
from nextword.cli.shared.command import console
from nextword.common.text_format import visible
from nextword.teach import lesson_text

if TYPE_CHECKING:
    from rich.console import Console

    from nextword.interpret.contributions import Contribution
    from nextword.teach.config import TeachingConfig
    from nextword.teach.evaluation.metrics import (
        JudgedPosition,
        JudgedSentence,
        Side,
        TeachingStep,
        WordAccount,
    )
    from nextword.teach.lesson import Lesson

Tell = Callable[["TeachingStep | str"], None]  # a step, or what is being done

PAUSE = 0.1  # seconds between two draws of the live line
STACKED_BELOW = 56  # columns; a narrower terminal has a sentence for each position
WIDE = 96  # columns from which on the probability of what was said is shown, too
BAR = 10  # columns of the live bar
NARROWEST = 9  # columns of a column: a mark and a percentage
LONG, FEW = 24, 3  # rows of a sentence: of a longer one those with a wrong word, or a few
ACCOUNT = 6  # contributions shown on each side
UNIT = re.compile(r"(?<=\d) (?=%|s\b|nats)")  # between a number and what it counts
STYLES = {"✓": "green", "✗": "red"}


@contextmanager
def live(config: "TeachingConfig") -> Iterator[Tell]:
    """Tells on standard error, on a terminal, in one line that goes when the lesson is over."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda what: None
        return
    from rich.live import Live
    from rich.text import Text

    next_draw = 0.0
    with Live(console=screen, auto_refresh=False, transient=True) as line:

        def tell(what: "TeachingStep | str") -> None:
            nonlocal next_draw
            if isinstance(what, str):
                line.update(Text(what, "dim"), refresh=True)
            elif time.monotonic() >= next_draw:
                line.update(Text(step_line(what, config, width=screen.width)), refresh=True)
                next_draw = time.monotonic() + PAUSE

        yield tell


def step_line(step: "TeachingStep", config: "TeachingConfig", *, width: int) -> str:
    """Step, loss, the least likely of the right words, and how far what it knew has moved."""
    least = drawing.percent(step.least)
    parts = [f"step {step.step}", f"loss {step.loss:.4f}", f"least likely {least}"]
    if width >= WIDE:
        goal = drawing.percent(config.margin)
        parts[2] += f" {_bar(step.least, config.margin)} of {goal}"
        parts.insert(2, f"{step.n_right} of {step.n_targets} right")
    parts.append(f"moved {drawing.number(step.rehearsal_kl)}")
    return drawing.clipped(" · ".join(parts), width)


def _bar(value: float, goal: float) -> str:
    """A bar from 0 to 1, with a line at the goal."""
    filled = round(BAR * value)
    cells = ["█" if at < filled else "░" for at in range(BAR)]
    return "".join([*cells[: round(BAR * goal)], "│", *cells[round(BAR * goal) :]])


def show_lesson(screen: "Console", lesson: "Lesson") -> None:
    """Print the whole report; of a lesson that was not learned, how far it came."""
    for sentence in lesson.sentences:
        show_sentence(screen, sentence, learned=lesson.learned)
    lines = [*lesson_text.replies(lesson), lesson_text.measures(lesson)]
    if lesson.outcome == "learned":
        lines += lesson_text.newly_wrong(lesson)
    for line in [*lines, lesson_text.course(lesson), *lesson_text.changes(lesson)]:
        _show_line(screen, line)
    if lesson.account is not None and lesson.learned:
        drawing.tell(screen, "")
        show_account(screen, lesson.account)


def show_sentence(screen: "Console", sentence: "JudgedSentence", *, learned: bool) -> None:
    """Print one sentence, its positions before and after side by side, and what is replied."""
    heading = lesson_text.title(sentence)
    if sentence.role == "phrasing":
        heading = f"Asked otherwise, not trained on: {heading}"
    drawing.tell(screen, heading, "bold")
    width = drawing.width_of(screen)
    shown = notable(sentence.positions)
    stacked = width is not None and width < STACKED_BELOW
    lines = [lesson_text.position_told(at) for at in shown] if stacked else None
    for line in lines or table(shown, width, learned=learned):
        _show_line(screen, line)
    if len(shown) < len(sentence.positions):
        rest = len(sentence.positions) - len(shown)
        _show_line(screen, f"… and {lesson_text.number(rest, 'word')} right before and after")
    for name, reply in _replies(sentence, learned=learned):
        _show_line(screen, f"{name:<9} {reply.strip()}", more=" " * 10)
    drawing.tell(screen, "")


def notable(positions: Sequence["JudgedPosition"]) -> Sequence["JudgedPosition"]:
    """Of a long sentence those that are or were wrong; where there are none, the first few."""
    if len(positions) <= LONG:
        return positions
    wrong = [at for at in positions if not (at.before.right and at.after.right)]
    return wrong or positions[:FEW]


def _replies(sentence: "JudgedSentence", *, learned: bool) -> Iterator[tuple[str, str]]:
    """What the model says to the prompt by itself."""
    before, after = sentence.reply_before, sentence.reply_after
    if before is None or after is None:
        return
    if before == after:
        yield "It says", before
    else:
        yield "It said", before
        yield "Now says" if learned else "Came to", after


def _show_line(screen: "Console", line: str, *, more: str = "    ") -> None:
    """Print a line, wrapped where the terminal is narrow, rights and wrongs in colours."""
    from rich.text import Text

    whole = UNIT.sub("\N{NO-BREAK SPACE}", visible(line))  # no line ends between 3 and %
    for part in drawing.wrapped(whole, drawing.width_of(screen), more=more):
        text = Text(part.replace("\N{NO-BREAK SPACE}", " "))
        for mark, style in STYLES.items():
            text.highlight_regex(f"{mark} +[0-9.]+ %", style)
        drawing.show(screen, text)


def table(
    positions: Sequence["JudgedPosition"], width: int | None, *, learned: bool
) -> Iterator[str]:
    """A line for each position: where, the right word, how likely it was and is, what was said.

    Args:
        positions: of one sentence.
        width: columns of the terminal; None: as many as needed.
        learned: whether the second side is the model as it is now.
    """
    spelled = width is None or width >= WIDE
    place = max(len(str(at.position)) for at in positions)
    columns = [
        ["after", *(drawing.token_text(at.after_token) for at in positions)],
        ["right word", *(drawing.token_text(at.token) for at in positions)],
        ["before", *(_side(at.before, spelled=spelled) for at in positions)],
        ["now" if learned else "reached", *(_side(at.after, spelled=spelled) for at in positions)],
    ]
    sizes = fitting([max(map(cell_len, column)) for column in columns], width, fixed=place + 8)
    places = ["", *(str(at.position) for at in positions)]
    for number, *cells in zip(places, *columns, strict=True):
        fitted = (drawing.fitted(cell, size) for cell, size in zip(cells, sizes, strict=True))
        yield "  ".join([f"{number:>{place}}", *fitted]).rstrip()


def _side(side: "Side", *, spelled: bool) -> str:
    """Right or wrong, how likely the right word is, and what was said in its place."""
    chance = f"{lesson_text.mark(side.right)} {drawing.percent(side.probability):>7}"
    if side.right:
        return chance
    share = f" {drawing.percent(side.predicted_probability)}" if spelled else ""
    return f"{chance}  {drawing.token_text(side.predicted)}{share}"


def fitting(sizes: Sequence[int], width: int | None, *, fixed: int) -> list[int]:
    """The columns' widths: the longest are cut until all fit beside `fixed` others."""
    fit = list(sizes)
    while width is not None and sum(fit) + fixed > width and max(fit) > NARROWEST:
        fit[fit.index(max(fit))] -= 1
    return fit


def show_account(screen: "Console", account: "WordAccount") -> None:
    """Print what the logit of the right word against the other is made of, before and now."""
    right, other = lesson_text.named(account.token), lesson_text.named(account.against)
    heading = f"Why {right} and not {other} at position {account.position}"
    drawing.tell(screen, f"{heading}: the difference of their logits", "bold")
    sides = (
        ("before", account.before, account.before_logit),
        ("now", account.after, account.after_logit),
    )
    for name, parts, logit in sides:
        drawing.tell(screen, f"{name}: {logit:+.4f}")
        look_account.show_bars(screen, account_rows(parts, logit))


def account_rows(parts: Sequence["Contribution"], logit: float) -> list[tuple[str, float]]:
    """The largest contributions, what all others come to, and the sum."""
    rows = [(part.label, part.amount) for part in parts[:ACCOUNT]]
    rest = logit - sum(amount for _, amount in rows)
    return [*rows, ("all others", rest), ("sum", logit)]
