"""What a training run tells people: on a terminal, in a log, or in TensorBoard."""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from rich.console import Console

from nextword.errors import MissingExtraError
from nextword.learn.display import Display
from nextword.learn.readable import (
    duration,
    progress,
    rate,
    share,
    small,
    time_left,
    visible,
)
from nextword.learn.scores import Scores, Update

Clock = Callable[[], float]  # seconds, never going back
PREPARING_PAUSE = 5.0  # seconds between two lines before training


class Reporter(Protocol):
    """Whoever wants to hear how training goes.

    A run calls `start` once, then the others as things happen, `finish` if it reaches its end,
    and `close` in every case: `with contextlib.closing(reporter):`.
    """

    def preparing(self, what: str, done: int, total: int) -> None:
        """Before training, `done` of `total` bytes are worked through."""

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Training begins; `facts` are names and values: sizes, data, device, precision, …"""

    def update(self, update: Update) -> None:
        """A step is done."""

    def evaluated(self, step: int, scores: Scores) -> None:
        """The held-out part was measured after `step`."""

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """The decoder replied to a prompt after `step`."""

    def note(self, text: str) -> None:
        """Something worth knowing happened."""

    def finish(self, lines: Sequence[str]) -> None:
        """Training reached its end; `lines` sum it up."""

    def close(self) -> None:
        """Give back terminal and files; after `finish`, or after an error instead of it."""


class Quiet:
    """Tells nobody."""

    def preparing(self, what: str, done: int, total: int) -> None: ...

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None: ...

    def update(self, update: Update) -> None: ...

    def evaluated(self, step: int, scores: Scores) -> None: ...

    def sample(self, step: int, prompt: str, reply: str) -> None: ...

    def note(self, text: str) -> None: ...

    def finish(self, lines: Sequence[str]) -> None: ...

    def close(self) -> None: ...


class Lines:
    """Plain lines, for a log or a pipe: no control codes, each line flushed as it is written.

    A line comes at every 2 % of the steps, and between them after 5 seconds of silence, or after
    5 % of the time so far where that is longer: a long run's log stays short.
    """

    def __init__(self, stream: IO[str], *, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = self._written = clock()
        self._next_step = 0

    def preparing(self, what: str, done: int, total: int) -> None:
        """Write a line, if there was none for a while."""
        if self._clock() - self._written >= PREPARING_PAUSE:
            self._written = self._clock()
            self._write(progress(what, done, total))

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Write the title and one line per fact."""
        self._started = self._written = self._clock()
        width = max((len(name) for name, _ in facts), default=0)
        self._write(title)
        for name, value in facts:
            self._write(f"  {name:<{width}}  {value}")

    def update(self, update: Update) -> None:
        """Write a line, if it is time for one."""
        now = self._clock()
        silence = max(5.0, 0.05 * (now - self._started))
        last = update.step >= update.steps
        if update.step < self._next_step and now - self._written < silence and not last:
            return
        self._written = now
        self._next_step = update.step + max(1, update.steps // 50)
        peak = "" if update.peak_share is None else f"  {share(update.peak_share)} of peak"
        self._write(
            f"step {update.step}/{update.steps}  loss {update.loss:.4f}"
            f"  learning rate {small(update.learning_rate)}"
            f"  gradient {small(update.gradient_norm)}"
            f"  {rate(update.tokens_per_second)} tokens/s{peak}"
            f"  {time_left(update.seconds_left)}"
        )

    def evaluated(self, step: int, scores: Scores) -> None:
        """Write the scores in one line."""
        bits = scores.bits_per_byte
        self._write(
            f"step {step}  held-out loss {scores.loss:.4f}  perplexity {scores.perplexity:.2f}"
            + ("" if bits is None else f"  bits per byte {bits:.4f}")
            + f"  top-1 {share(scores.top1)}  top-5 {share(scores.top5)}"
        )

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """Write prompt and reply in one line, cropped."""
        self._write(f"step {step}  sample: {_crop(prompt)} -> {_crop(reply)}")

    def note(self, text: str) -> None:
        """Write the note."""
        self._write(text)

    def finish(self, lines: Sequence[str]) -> None:
        """Write the lines, and how long it took."""
        self._write(f"done in {duration(self._clock() - self._started)}")
        for line in lines:
            self._write(line)

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, text: str) -> None:
        print(visible(text, keep="\n"), file=self._stream, flush=True)


def _crop(text: str, *, length: int = 120) -> str:
    """`text` in one line of at most `length` characters."""
    shown = visible(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


class TensorBoard:
    """Curves and samples as event files, for TensorBoard.

    Raises:
        MissingExtraError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "tensorboard", "writing curves") from error
        self._make: Callable[[], Any] = partial(SummaryWriter, str(folder))
        self._writer: Any = None  # made at the start: before it, the folder may be refused

    def preparing(self, what: str, done: int, total: int) -> None:
        """Curves begin with training."""

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Make the folder, and write the facts as a text."""
        self._writer = self._make()
        lines = [f"{name}: {value}" for name, value in facts]
        self._writer.add_text("run", "\n\n".join([title, *lines]))

    def update(self, update: Update) -> None:
        """Write one point of each curve."""
        self._scalars(
            update.step,
            {
                "loss/training": update.loss,
                "training/learning_rate": update.learning_rate,
                "training/gradient_norm": update.gradient_norm,
                "speed/tokens_per_second": update.tokens_per_second,
                "speed/peak_share": update.peak_share,
            },
        )

    def evaluated(self, step: int, scores: Scores) -> None:
        """Write one point of each held-out curve."""
        self._scalars(
            step,
            {
                "loss/held_out": scores.loss,
                "held_out/perplexity": scores.perplexity,
                "held_out/bits_per_byte": scores.bits_per_byte,
                "held_out/top1": scores.top1,
                "held_out/top5": scores.top5,
            },
        )

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """Write prompt and reply as a text."""
        self._writer.add_text("sample", f"{visible(prompt)} → {visible(reply)}", step)

    def note(self, text: str) -> None:
        """Notes have no place in curves."""

    def finish(self, lines: Sequence[str]) -> None:
        """Write the lines as a text."""
        self._writer.add_text("summary", "\n\n".join(lines))

    def close(self) -> None:
        """Flush and close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _scalars(self, step: int, values: dict[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)


class Several:
    """Tells every one of several reporters, in their order."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def preparing(self, what: str, done: int, total: int) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.preparing(what, done, total)

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.start(title, facts)

    def update(self, update: Update) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.update(update)

    def evaluated(self, step: int, scores: Scores) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.evaluated(step, scores)

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.sample(step, prompt, reply)

    def note(self, text: str) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.note(text)

    def finish(self, lines: Sequence[str]) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.finish(lines)

    def close(self) -> None:
        """Close every one, even if another's closing fails."""
        with contextlib.ExitStack() as stack:
            for reporter in reversed(self._reporters):
                stack.callback(reporter.close)


def reporter_for(
    console: Console, *, quiet: bool = False, tensorboard: Path | None = None
) -> Reporter:
    """The reporter that suits a console: live on a terminal that can show it, else plain lines.

    Args:
        console: where to write.
        quiet: write nothing there.
        tensorboard: also write event files into this folder.

    Raises:
        MissingExtraError: `tensorboard` is given and the package is not installed.
    """
    # FORCE_COLOR makes rich call a pipe a terminal, so the stream itself is asked too.
    live = console.is_interactive and console.file.isatty() and not console.options.ascii_only
    spoken: Reporter = Quiet() if quiet else Display(console) if live else Lines(console.file)
    return spoken if tensorboard is None else Several([spoken, TensorBoard(tensorboard)])


__all__ = [
    "Display",
    "Lines",
    "Quiet",
    "Reporter",
    "Scores",
    "Several",
    "TensorBoard",
    "Update",
    "reporter_for",
]
