"""A loss over a whole run, small enough to keep and to draw."""

import itertools
import math

BLOCKS = "▁▂▃▄▅▆▇█"


class Curve:
    """A loss over a run of any length, in bounded memory; shown smoothed and as a sparkline.

    Points that do not fit are merged in pairs, so that the whole run stays in sight.
    """

    def __init__(self, *, capacity: int = 256, memory: float = 0.95) -> None:
        assert capacity % 2 == 0
        self._capacity = capacity
        self._memory = memory  # how much of the mean the next value leaves
        self._weighted = self._weight = 0.0
        self._points: list[float] = []
        self._stride = 1  # values in a point
        self._open: list[float] = []  # values of the next point

    def add(self, value: float) -> None:
        """Take the next value in; one that is not finite is left out."""
        if not math.isfinite(value):
            return
        self._weighted = self._memory * self._weighted + (1 - self._memory) * value
        self._weight = self._memory * self._weight + (1 - self._memory)
        self._open.append(value)
        if len(self._open) == self._stride:
            self._points.append(sum(self._open) / self._stride)
            self._open = []
        if len(self._points) == self._capacity:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(first + second) / 2 for first, second in pairs]
            self._stride *= 2

    @property
    def smoothed(self) -> float:
        """The mean in which each value counts `memory` times as much as the one after it."""
        return self._weighted / self._weight if self._weight else math.nan

    def sparkline(self, width: int) -> str:
        """The curve in at most `width` characters, on a logarithmic scale if all are positive."""
        points = self._points or self._open
        count = min(width, len(points))
        edges = [len(points) * i // count for i in range(count + 1)] if count else []
        means = [
            sum(points[start:stop]) / (stop - start) for start, stop in itertools.pairwise(edges)
        ]
        if all(mean > 0 for mean in means):
            means = [math.log(mean) for mean in means]
        low, high = min(means, default=0.0), max(means, default=0.0)
        scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
        return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)
