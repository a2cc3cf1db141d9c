"""How training goes, drawn live on a terminal."""

import atexit
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nextword.common.text_format import duration, progress, rate, share, small, time_left, visible
from nextword.evaluate.metrics import Scores, Update
from nextword.training.report.loss_history import Curve

SHORTEST_PAUSE = 0.1  # seconds between two draws
LARGEST_SHARE = 0.02  # of the time that drawing may take from training
WIDE = 90  # columns from which on two measures stand side by side
NARROW = 56  # columns below which the bar and its words take a line each
MARGIN = 2  # columns left of everything
LABEL = 13  # columns of the measures' names
LONGEST_CURVE = 72

Row = tuple[str, Text]  # a measure's name and its value


@dataclass
class State:
    """What is known of a run so far."""

    curve: Curve = field(default_factory=Curve)
    update: Update | None = None
    scores: Scores | None = None
    best: tuple[float, int] | None = None  # smallest held-out loss and its step
    sample: tuple[int, str, str] | None = None  # step, prompt, reply


class Display:
    """Title and facts, then one live picture; only for a terminal.

    It draws when it is told something and it is time: at most 10 times a second, and less often
    where drawing is slow. No thread runs beside the training.

    Args:
        console: the terminal.
        clock: seconds, never going back.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False)
        self._state = State()
        self._started = self._next_draw = clock()

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Print title and facts; the live picture follows below."""
        self._started = self._clock()
        rows = [(visible(name), Text(visible(value))) for name, value in facts]
        self._console.print(Text(visible(title), style="bold"))
        self._console.print(Padding(_grid(rows), (0, 0, 1, MARGIN)))
        self._go_live()
        self._draw(now=True)

    def preparing(self, what: str, done: int, total: int) -> None:
        """Show how far the work before training is."""
        self._go_live()
        if self._clock() >= self._next_draw:
            self._live.update(_indent(Text(progress(what, done, total), style="dim")), refresh=True)
            self._next_draw = self._clock() + SHORTEST_PAUSE

    def _go_live(self) -> None:
        if not self._live.is_started:
            atexit.register(self.close)  # the cursor comes back even if nobody closes this
            self._live.start()

    def update(self, update: Update) -> None:
        """A step is done; the last one is always drawn."""
        self._state.update = update
        self._state.curve.add(update.loss)
        self._draw(now=update.step >= update.steps)

    def evaluated(self, step: int, scores: Scores) -> None:
        """The held-out part was measured."""
        self._state.scores = scores
        if self._state.best is None or scores.loss < self._state.best[0]:
            self._state.best = (scores.loss, step)
        self._draw()

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """The decoder replied to a prompt."""
        self._state.sample = (step, visible(prompt), visible(reply))
        self._draw()

    def note(self, text: str) -> None:
        """Print a line above the picture, where it stays."""
        self._console.print(Text(visible(text, keep="\n"), style="yellow"))

    def finish(self, lines: Sequence[str]) -> None:
        """Replace the live picture by a summary."""
        seconds = self._clock() - self._started
        end = summary(self._state, lines, seconds=seconds, width=self._console.width)
        self._live.update(end, refresh=True)
        self.close()

    def close(self) -> None:
        """Give the terminal back; the last picture stays."""
        self._live.stop()
        atexit.unregister(self.close)

    def _draw(self, *, now: bool = False) -> None:
        start = self._clock()
        if self._live.is_started and (now or start >= self._next_draw):
            self._live.update(picture(self._state, width=self._console.width), refresh=True)
            end = self._clock()
            self._next_draw = end + max(SHORTEST_PAUSE, (end - start) / LARGEST_SHARE)


def picture(state: State, *, width: int) -> RenderableType:
    """The run as it stands, for a terminal of `width` columns."""
    if state.update is None:
        return _indent(Text("preparing the first step …", style="dim"))
    parts = [_bar(state.update, width=width - 2 * MARGIN), Text(), _measures(state, width=width)]
    if state.sample:
        parts += [Text(), _sample(*state.sample)]
    return _indent(Group(*parts))


def summary(state: State, lines: Sequence[str], *, seconds: float, width: int) -> RenderableType:
    """What stays on the terminal when the run has reached its end."""
    done = Text.assemble(("✓ ", "bold green"), (f"done in {duration(seconds)}", "bold"))
    if state.update is not None:
        done.append(f" · step {state.update.step:,} of {state.update.steps:,}")
    parts: list[RenderableType] = [done, Text(), _measures(state, width=width)]
    if state.sample:
        parts += [Text(), _sample(*state.sample)]
    if lines:
        parts += [Text(), *(Text(visible(line)) for line in lines)]
    return _indent(Group(*parts))


def _bar(update: Update, *, width: int) -> RenderableType:
    """Bar, step and time left, in one line where there is room."""
    words = Text.assemble(
        (f"step {update.step:,}", "bold"),
        f" of {update.steps:,} · {time_left(update.seconds_left)}",
    )
    bar = ProgressBar(total=update.steps, completed=update.step, width=width)
    lines = Table.grid(padding=(0, 2, 0, 0))
    if width < NARROW:
        lines.add_row(bar)
        lines.add_row(words)
    else:
        bar.width = width - words.cell_len - 2
        lines.add_row(bar, words)
    return lines


def _measures(state: State, *, width: int) -> RenderableType:
    """Every number that is known, then the curve."""
    rows = [*_quality(state), *_speed(state)]
    curve = Text(state.curve.sparkline(min(LONGEST_CURVE, width - LABEL - 3 * MARGIN)), "cyan")
    if width < WIDE:
        return _grid([*rows, ("curve", curve)])
    half = -(-len(rows) // 2)
    sides = Table.grid(padding=(0, 4, 0, 0))
    sides.add_row(_grid(rows[:half]), _grid(rows[half:]))
    return Group(sides, _grid([("curve", curve)]))


def _quality(state: State) -> Iterator[Row]:
    """How well the decoder predicts."""
    loss = Text(f"{state.curve.smoothed:.3f}", "bold")
    scores = state.scores
    if scores is not None:
        loss.append(" ▸ ", "dim").append(f"{scores.loss:.3f}", "bold cyan").append(" held out")
    yield "loss", loss
    if scores is None:
        return
    if state.best is not None and state.best[0] < scores.loss:
        best, step = state.best
        yield "best held out", Text(f"{best:.3f} at step {step:,}", "yellow")
    if scores.bits_per_byte is None:
        yield "perplexity", Text(f"{scores.perplexity:.2f}")
    else:
        yield "bits per byte", Text(f"{scores.bits_per_byte:.3f}")
    yield "next token", Text(f"{share(scores.top1)} right, {share(scores.top5)} in 5")


def _speed(state: State) -> Iterator[Row]:
    """How fast it learns, and with what learning rate."""
    update = state.update
    if update is None:
        return
    yield "speed", Text(f"{rate(update.tokens_per_second)} tokens/s")
    if update.peak_share is not None:
        yield "machine", Text(f"{share(update.peak_share)} of its matrix peak")
    yield "learning rate", Text(small(update.learning_rate))
    yield "gradient", Text(small(update.gradient_norm))


def _sample(step: int, prompt: str, reply: str) -> RenderableType:
    """The last prompt and reply, each cropped to its line."""
    said = (("prompt", prompt), ("reply", reply))
    lines = [Text.assemble((f"{name:<8}", "dim"), text) for name, text in said]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(Text(f"at step {step:,}", "dim"), *lines)


def _grid(rows: Sequence[Row]) -> Table:
    """Names and values in two columns; names are never broken."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True, min_width=LABEL)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), value)
    return grid


def _indent(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, MARGIN))
