"""A run's losses as one self-contained picture: an SVG that any browser shows, light or dark.

A noisy series is drawn as faint points under its smoothed line. Each line carries its name and
its final value at its end and has a dash pattern of its own: colour is never the only cue.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from nextword.common.svg_chart import Point, nice_ticks, smooth, spread, thin

WIDTH, HEIGHT = 720, 400  # of the picture, in SVG units (pixels at its own size)
LEFT, TOP, RIGHT, BOTTOM = 72.0, 48.0, 560.0, 346.0  # of the plot; labels stand right of it
LABEL_LETTERS = 16
DRAWABLE, SMALLEST = 1e100, 1e-90  # beyond and below these, a loss is no number to draw
DASHES = ("", "8 4", "2 3", "10 3 2 3", "5 2", "12 5")
EMPTY = "no points yet"
COLOURS = (  # on white, on near-black; contrast at least 4.5 : 1 on its ground
    ("#1d5fc4", "#7fb2ff"),
    ("#b3400a", "#ffa25c"),
    ("#1a7a45", "#6fd39b"),
    ("#8a3ab0", "#d6a0f2"),
    ("#a1195b", "#ff8fbf"),
    ("#5c6370", "#b4bcc8"),
)


@dataclass(frozen=True)
class Series:
    """One line of the picture.

    Args:
        name: its label, e.g. "held-out".
        points: (x, y) in any order; a point that is not finite is left out.
        noisy: whether to draw a smoothed line over faint points, as for a loss of every step.
    """

    name: str
    points: Sequence[Point]
    noisy: bool = False


@dataclass(frozen=True)
class Axis:
    """Where values stand: `low` at `start`, `high` at `stop`, in SVG units."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The place of `value`."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


@dataclass(frozen=True)
class Line:
    """A series made ready to be drawn."""

    name: str
    line: list[Point]
    dots: list[Point]  # faint, under the line; none unless the series is noisy
    n_points: int  # before thinning
    look: int  # which colour and dash pattern


def curves_svg(series: Sequence[Series], *, title: str, x_label: str, y_label: str) -> str:
    """Draw curves, e.g. training and held-out loss over the steps.

    Args:
        series: the lines; one without a finite point is left out.
        title: what the picture shows.
        x_label: name and unit of x, e.g. "steps".
        y_label: name and unit of y, e.g. "loss (nats per token)".

    Returns:
        An SVG document of 720 × 400, the same text for the same input.
    """
    lines = [line for look, item in enumerate(series) if (line := _ready(item, look))]
    x_axis = _x_axis([x for line in lines for x, _ in (*line.line, *line.dots)])
    y_axis = _y_axis([y for line in lines for y in (*_bulk(line.dots), *(y for _, y in line.line))])
    body = [
        *_frame(x_axis, y_axis, title, x_label, y_label),
        *(piece for line in lines for piece in _curve(line, x_axis, y_axis)),
        *_labels(lines, x_axis, y_axis),
    ]
    if not lines:
        body.append(_text((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, EMPTY, "quiet middle"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" role="img" '
        f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
    )
    told = [f"<title>{_safe(title)}</title>", f"<desc>{_safe(_in_words(lines, x_label))}</desc>"]
    return "\n".join([head, *told, _style(), *body, "</svg>"]) + "\n"


def _ready(series: Series, look: int) -> Line | None:
    """Sorted, without what cannot be drawn, thinned; None when nothing is left."""
    points = sorted(
        (x, y)
        for x, y in series.points
        if abs(x) < DRAWABLE and abs(y) < DRAWABLE  # false for NaN
    )
    if not points:
        return None
    line = smooth(points) if series.noisy else thin(points)
    dots = thin(points) if series.noisy and len(points) > 1 else []
    return Line(series.name, line, dots, len(points), look)


def _bulk(dots: Sequence[Point]) -> list[float]:
    """The smallest and the largest y, but for one in fifty at either side: a spike may leave."""
    ys = sorted(y for _, y in dots)
    return [ys[len(ys) // 50], ys[-1 - len(ys) // 50]] if ys else []


def _x_axis(values: Sequence[float]) -> Axis:
    """From the first value, or from 0 when that is near, to the last; no half steps."""
    low, high = _ends(values, margin=1.0)
    if 0 < low <= 0.05 * high:
        low = 0.0
    whole = values and all(float(value).is_integer() for value in values)
    most = min(8, round(high - low)) if whole else 8
    return Axis(low, high, LEFT, RIGHT, nice_ticks(low, high, most=most))


def _y_axis(values: Sequence[float]) -> Axis:
    """From the tick below all values to the tick above them."""
    low, high = _ends(values)
    ticks = nice_ticks(low, high)
    step = ticks[1] - ticks[0]
    below = [ticks[0] - step] if ticks[0] > low else []
    above = [ticks[-1] + step] if ticks[-1] < high else []
    ticks = (*below, *ticks, *above)
    return Axis(ticks[0], ticks[-1], BOTTOM, TOP, ticks)


def _ends(values: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    """The smallest and the largest value, moved apart by `margin`, or a tenth, if they are one."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low > max(1e-9 * max(abs(low), abs(high)), SMALLEST):
        return low, high
    margin = max(margin, 0.1 * abs(low) if abs(low) > 10 * SMALLEST else 0.5)
    return low - margin, high + margin


def _frame(x_axis: Axis, y_axis: Axis, title: str, x_label: str, y_label: str) -> list[str]:
    """Ground, grid, tick labels, title and the names of the axes."""
    middle_x, middle_y = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    pieces = [
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        _text(LEFT, 28, _shortened(title, 76), "title"),
    ]
    for tick, label in zip(y_axis.ticks, _tick_labels(y_axis.ticks), strict=True):
        y = y_axis.at(tick)
        pieces.append(f'<path class="grid" d="M{LEFT:g} {y:.1f}H{RIGHT:g}"/>')
        pieces.append(_text(LEFT - 8, y + 4, label, "tick end"))
    for tick, label in zip(x_axis.ticks, _tick_labels(x_axis.ticks), strict=True):
        x = x_axis.at(tick)
        pieces.append(f'<path class="axis" d="M{x:.1f} {BOTTOM:g}v5"/>')
        pieces.append(_text(x, BOTTOM + 20, label, "tick middle"))
    pieces.append(f'<path class="axis" d="M{LEFT:g} {BOTTOM:g}H{RIGHT:g}"/>')
    pieces.append(_text(middle_x, BOTTOM + 42, _shortened(x_label, 60), "quiet middle"))
    turned = f' transform="rotate(-90 16 {middle_y:g})"'
    pieces.append(_text(16, middle_y, _shortened(y_label, 40), "quiet middle", turned))
    return pieces


def _curve(line: Line, x_axis: Axis, y_axis: Axis) -> list[str]:
    """Faint points, the line over them, and a mark at its end."""
    look = line.look % len(COLOURS)
    pieces = []
    inside = [(x, y) for x, y in line.dots if y_axis.low <= y <= y_axis.high]
    if inside:
        dots = "".join(f"M{x_axis.at(x):.1f} {y_axis.at(y):.1f}h0" for x, y in inside)
        pieces.append(f'<path class="dots stroke{look}" d="{dots}"/>')
    places = [f"{x_axis.at(x):.1f} {y_axis.at(y):.1f}" for x, y in line.line]
    if len(places) > 1:
        path = f"M{places[0]}L{' '.join(places[1:])}"
        pieces.append(f'<path class="line stroke{look} dash{look}" d="{path}"/>')
    x, y = places[-1].split()
    pieces.append(f'<circle class="fill{look}" cx="{x}" cy="{y}" r="3"/>')
    return pieces


def _labels(lines: Sequence[Line], x_axis: Axis, y_axis: Axis) -> list[str]:
    """At each line's end: a sample of its dashes, its name, its final value."""
    pieces = []
    ends = [y_axis.at(line.line[-1][1]) for line in lines]
    for line, end, place in zip(lines, ends, spread(ends, TOP, BOTTOM), strict=True):
        look = line.look % len(COLOURS)
        start = x_axis.at(line.line[-1][0]) + 5
        sample = RIGHT + 14
        pieces.append(f'<path class="lead" d="M{start:.1f} {end:.1f}L{sample - 3:g} {place:.1f}"/>')
        pieces.append(
            f'<path class="line stroke{look} dash{look}" d="M{sample:g} {place:.1f}h26"/>'
        )
        pieces.append(
            _text(sample + 32, place + 4, _shortened(line.name, LABEL_LETTERS), f"text{look}")
        )
        pieces.append(_text(sample + 32, place + 18, _number(line.line[-1][1], "#"), "value"))
    return pieces


def _in_words(lines: Sequence[Line], x_label: str) -> str:
    """The picture in words, for those who do not see it."""
    told = [
        f"{line.name}: {line.n_points} points, from {_number(line.line[0][1])} at "
        f"{_number(line.line[0][0])} to {_number(line.line[-1][1])} at "
        f"{_number(line.line[-1][0])} {x_label}."
        for line in lines
    ]
    return " ".join(told) or EMPTY


def _style() -> str:
    """Colours for light and dark; every rule is bound to this picture, even inside a page."""
    light = {"ground": "#ffffff", "ink": "#1b2430", "quiet": "#4d5a6a", "grid": "#e4e8ee"}
    dark = {"ground": "#12171f", "ink": "#eef2f7", "quiet": "#a9b5c4", "grid": "#2a3340"}
    dashes = "\n".join(
        f".curves .dash{look}{{stroke-dasharray:{dash}}}"
        for look, dash in enumerate(DASHES)
        if dash
    )
    return f"""<style>
.curves text{{font:12px system-ui,-apple-system,"Segoe UI",sans-serif}}
.curves .title{{font-size:15px;font-weight:600}}
.curves .value{{font-variant-numeric:tabular-nums}}
.curves .middle{{text-anchor:middle}}
.curves .end{{text-anchor:end}}
.curves path{{fill:none}}
.curves .line{{stroke-width:2;stroke-linejoin:round}}
.curves .dots{{stroke-width:2;stroke-linecap:round;opacity:.28}}
{dashes}
{_palette(light, 0)}
@media (prefers-color-scheme:dark){{
{_palette(dark, 1)}
}}
</style>"""


def _palette(colours: dict[str, str], ground: int) -> str:
    rules = [
        f".curves .ground{{fill:{colours['ground']}}}",
        f".curves text{{fill:{colours['ink']}}}",
        f".curves .quiet,.curves .tick{{fill:{colours['quiet']}}}",
        f".curves .grid{{stroke:{colours['grid']}}}",
        f".curves .axis,.curves .lead{{stroke:{colours['quiet']}}}",
    ]
    for look, colour in enumerate(pair[ground] for pair in COLOURS):
        rules.append(f".curves .stroke{look}{{stroke:{colour}}}")
        rules.append(f".curves .fill{look},.curves .text{look}{{fill:{colour}}}")
    return "\n".join(rules)


def _text(x: float, y: float, text: str, look: str, more: str = "") -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}"{more}>{_safe(text)}</text>'


def _safe(text: str) -> str:
    """Text for XML: escaped, and without the characters that XML cannot hold."""
    return escape(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text))


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _number(value: float, keep_zeros: str = "") -> str:
    """A value for people: four significant digits, thousands apart."""
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{keep_zeros}.4g}"


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """All with the same number of decimals, as many as their step needs."""
    largest = max(map(abs, ticks))
    step = ticks[1] - ticks[0]
    if largest >= 1e9 or step < 0.9e-3:
        return [f"{tick:.6g}" for tick in ticks]
    if largest >= 1e6:
        return [f"{tick / 1e6:.6g}M" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:,.{decimals}f}" for tick in ticks]
