"""What a training run tells people: on a terminal, in a log, or in TensorBoard."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from nextword.common.text_format import visible
from nextword.errors import MissingExtraError
from nextword.evaluate.metrics import Scores, Update
from nextword.training.report.live_display import Display
from nextword.training.report.log_reporter import JsonLines, Lines


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
    console: Console,
    *,
    quiet: bool = False,
    as_json: bool = False,
    tensorboard: Path | None = None,
) -> Reporter:
    """The reporter that suits a console: live on a terminal that can show it, else plain lines.

    Args:
        console: where to write.
        quiet: write nothing there.
        as_json: write JSON there, one event a line.
        tensorboard: also write event files into this folder.

    Raises:
        MissingExtraError: `tensorboard` is given and the package is not installed.
    """
    # FORCE_COLOR makes rich call a pipe a terminal, so the stream itself is asked too.
    live = console.is_interactive and console.file.isatty() and not console.options.ascii_only
    spoken: Reporter
    if quiet:
        spoken = Quiet()
    elif as_json:
        spoken = JsonLines(console.file)
    else:
        spoken = Display(console) if live else Lines(console.file)
    return spoken if tensorboard is None else Several([spoken, TensorBoard(tensorboard)])


__all__ = [
    "Display",
    "JsonLines",
    "Lines",
    "Quiet",
    "Reporter",
    "Scores",
    "Several",
    "TensorBoard",
    "Update",
    "reporter_for",
]
