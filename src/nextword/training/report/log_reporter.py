"""A training run as lines in a log: plain ones for people, JSON for programs."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from nextword.common.text_format import duration, progress, rate, share, small, time_left, visible
from nextword.evaluate.metrics import Scores, Update

Clock = Callable[[], float]  # seconds, never going back
PREPARING_PAUSE = 5.0  # seconds between two lines before training


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
        if not self._is_due(update):
            return
        peak = "" if update.peak_share is None else f"  {share(update.peak_share)} of peak"
        self._write(
            f"step {update.step}/{update.steps}  loss {update.loss:.4f}"
            f"  learning rate {small(update.learning_rate)}"
            f"  gradient {small(update.gradient_norm)}"
            f"  {rate(update.tokens_per_second)} tokens/s{peak}"
            f"  {time_left(update.seconds_left)}"
        )

    def _is_due(self, update: Update) -> bool:
        """Return True if it is time for a line about a step, which is then written."""
        now = self._clock()
        silence = max(5.0, 0.05 * (now - self._started))
        last = update.step >= update.steps
        if update.step < self._next_step and now - self._written < silence and not last:
            return False
        self._written = now
        self._next_step = update.step + max(1, update.steps // 50)
        return True

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


class JsonLines(Lines):
    """One JSON object a line, each with its `event`, for programs; as often as plain lines."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """Nothing that a program would need."""

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Write the facts; the lines that belong to one name stand in one list."""
        self._started = self._written = self._clock()
        grouped: dict[str, list[str]] = {}
        latest = ""
        for name, value in facts:
            latest = name or latest
            grouped.setdefault(latest, []).append(value)
        self._event("start", facts=grouped)

    def update(self, update: Update) -> None:
        """Write the measures of a step, if it is time for a line."""
        if self._is_due(update):
            self._event("step", **dataclasses.asdict(update))

    def evaluated(self, step: int, scores: Scores) -> None:
        """Write the scores."""
        self._event("evaluation", step=step, **dataclasses.asdict(scores))

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """Write prompt and reply."""
        self._event("sample", step=step, prompt=prompt, reply=reply)

    def note(self, text: str) -> None:
        """Write the note."""
        self._event("note", text=text)

    def finish(self, lines: Sequence[str]) -> None:
        """Write the lines, and how long it took."""
        self._event("finish", seconds=self._clock() - self._started, lines=list(lines))

    def _event(self, event: str, **values: Any) -> None:
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        ascii_only = not (getattr(self._stream, "encoding", None) or "").lower().startswith("utf")
        line = json.dumps({"event": event} | finite, ensure_ascii=ascii_only)
        print(line, file=self._stream, flush=True)
