"""The arithmetic of a chart: ticks, fewer points, a quieter line, labels that do not touch."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

LARGEST = 1000  # points drawn for one series
LABEL_GAP = 34.0  # between two labels at the lines' ends

Point = tuple[float, float]


def nice_ticks(low: float, high: float, *, most: int = 8) -> tuple[float, ...]:
    """Values from `low` to `high`, at most `most` steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(nice for nice in (1, 2, 5, 10, 20) if nice * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(float(f"{number * step:.12g}") for number in range(first, last + 1))


def thin(points: Sequence[Point], largest: int = LARGEST) -> list[Point]:
    """At most `largest` of the points, evenly chosen, the first and the last among them."""
    if len(points) <= largest:
        return list(points)
    stride = (len(points) - 1) / (largest - 1)
    return [points[round(index * stride)] for index in range(largest)]


def smooth(points: Sequence[Point], largest: int = LARGEST) -> list[Point]:
    """A quieter line: medians over about 4 % of the points, which one spike does not move.

    The window reaches equally far both ways, so a steep fall stays where it is: it is narrow at
    the beginning. At the end it reaches back only, and the last value is no single noisy point.
    """
    means = _bucket_means(points, largest)
    reach = len(means) // 50
    line = []
    for index, (x, _) in enumerate(means):
        back = min(index, reach)
        window = [y for _, y in means[index - back : index + back + 1]]
        line.append((x, median(window)))
    return line


def _bucket_means(points: Sequence[Point], largest: int) -> list[Point]:
    """At most `largest` points: each stands at the last x of its bucket, with the mean y."""
    n_buckets = min(len(points), largest)
    edges = [len(points) * index // n_buckets for index in range(n_buckets + 1)]
    return [
        (points[stop - 1][0], math.fsum(y for _, y in points[start:stop]) / (stop - start))
        for start, stop in pairwise(edges)
    ]


def spread(places: Sequence[float], top: float, bottom: float) -> list[float]:
    """The same places, moved apart so that labels there do not overlap.

    Their order stays. Where there are too many for the room, they stand closer.
    """
    gap = min(LABEL_GAP, (bottom - top) / max(1, len(places) - 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [0.0] * len(places)
    lowest = top
    for index in order:  # downwards: each at least a gap below the one before
        moved[index] = max(places[index], lowest)
        lowest = moved[index] + gap
    highest = bottom
    for index in reversed(order):  # and back up from the bottom edge
        moved[index] = min(moved[index], highest)
        highest = moved[index] - gap
    return moved
