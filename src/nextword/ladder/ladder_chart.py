"""The ladder as one self-contained picture: a line for each rung, a dot for each seed.

An SVG that any browser shows, light or dark. What a rung did is told by shape and words, too:
colour is never the only cue. A loss that is far above the others stands at the edge, as an arrow
with its number, so that the differences between the others can be seen.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from nextword.common.svg_chart import nice_ticks
from nextword.ladder.findings_text import MARKS, signed
from nextword.ladder.result import Ladder, Step
from nextword.training.report.loss_chart import Axis

WIDTH, ROW = 760, 34  # SVG units (pixels at its own size)
LEFT, RIGHT, TOP, FOOT = 208.0, 590.0, 64.0, 56.0  # the plot; names stand left, numbers right
FAR = 2.5  # spans of the first and last rung that the axis has room for; what is above, is far
LIGHT = {
    "ground": "#ffffff",
    "ink": "#1b2430",
    "quiet": "#4d5a6a",
    "grid": "#e4e8ee",
    "better": "#1a7a45",
    "worse": "#b3400a",
    "open": "#5c6370",
    "first": "#1d5fc4",
}
DARK = {
    "ground": "#12171f",
    "ink": "#eef2f7",
    "quiet": "#a9b5c4",
    "grid": "#2a3340",
    "better": "#6fd39b",
    "worse": "#ffa25c",
    "open": "#b4bcc8",
    "first": "#7fb2ff",
}


def ladder_svg(ladder: Ladder) -> str:
    """Draw the held-out loss of every rung, with the spread over its seeds.

    Returns:
        An SVG document, 760 wide, the same text for the same ladder.
    """
    steps = ladder.steps()
    bottom = TOP + ROW * len(steps)
    axis = _axis(steps)
    body = [
        *_frame(axis, bottom, ladder),
        *_staircase(steps, axis),
        *(piece for number, step in enumerate(steps) for piece in _rung(number, step, axis)),
    ]
    height = bottom + FOOT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" role="img" width="{WIDTH}" '
        f'height="{height:g}" viewBox="0 0 {WIDTH} {height:g}">'
    )
    told = [
        f"<title>{escape(_title(ladder))}</title>",
        f"<desc>{escape(' '.join(_in_words(steps)))}</desc>",
    ]
    ground = f'<rect class="ground" width="{WIDTH}" height="{height:g}" rx="6"/>'
    return "\n".join([head, *told, _style(), ground, *body, "</svg>"]) + "\n"


def _title(ladder: Ladder) -> str:
    times = "" if ladder.seeds == 1 else f", {ladder.seeds} seeds"
    return f"Held-out loss of each rung after {ladder.seconds:g} seconds{times}"


def _axis(steps: Sequence[Step]) -> Axis:
    """From below the smallest loss to above the largest that is not far away."""
    losses = [loss for step in steps for loss in step.losses] or [0.0, 1.0]
    ends = [*steps[0].losses, *steps[-1].losses] or losses
    low = min(losses)
    far = low + FAR * (max(ends) - low)
    high = max([loss for loss in losses if loss <= far], default=low)
    pad = 0.06 * max(high - low, 0.05)
    low, high = low - pad, high + pad
    return Axis(low, high, LEFT, RIGHT, nice_ticks(low, high, most=6))


def _frame(axis: Axis, bottom: float, ladder: Ladder) -> Iterator[str]:
    """Title, grid and axis."""
    yield _text(16, 30, _title(ladder), "title")
    yield _text(RIGHT + 16, TOP - 12, "mean", "quiet")
    yield _text(WIDTH - 16, TOP - 12, "change", "quiet end")
    step = axis.ticks[1] - axis.ticks[0] if len(axis.ticks) > 1 else 1.0
    decimals = 0 if step >= 1 else 1 if step >= 0.1 - 1e-9 else 2 if step >= 0.01 - 1e-9 else 3
    for tick in axis.ticks:
        x = axis.at(tick)
        yield f'<path class="grid" d="M{x:.1f} {TOP - 4:g}V{bottom:g}"/>'
        yield _text(x, bottom + 18, f"{tick:.{decimals}f}", "quiet middle")
    words = "nats per token, lower is better; a dot for each seed, a bar for their mean"
    yield _text((LEFT + RIGHT) / 2, bottom + 40, words, "quiet middle")


def _staircase(steps: Sequence[Step], axis: Axis) -> Iterator[str]:
    """The way from mean to mean."""
    for number, (before, step) in enumerate(pairwise(steps), start=1):
        if before.loss is not None and step.loss is not None:
            y, here, there = _y(number), _x(axis, before.loss), _x(axis, step.loss)
            yield f'<path class="way" d="M{here:.1f} {y - ROW + 9:g}V{y:g}H{there:.1f}"/>'


def _rung(number: int, step: Step, axis: Axis) -> Iterator[str]:
    """Name, dots, mean and numbers of one rung."""
    y, look = _y(number), step.verdict
    yield _text(16, y + 4, f"{number}", "quiet")
    yield _text(38, y + 4, step.rung.name, "name")
    if step.loss is None:
        yield _text(LEFT + 8, y + 4, "training broke off", f"text-{look}")
        return
    low, high, mean = (_x(axis, value) for value in (min(step.losses), max(step.losses), step.loss))
    yield f'<path class="range stroke-{look}" d="M{low:.1f} {y:g}H{high:.1f}"/>'
    for loss in step.losses:
        yield _dot(loss, y, look, axis)
    if step.loss <= axis.high:
        yield f'<path class="mean stroke-{look}" d="M{mean:.1f} {y - 9:g}v18"/>'
    yield _text(RIGHT + 16, y + 4, f"{step.loss:.3f}", "number")
    if step.change is not None:
        words = f"{signed(step.change)} {MARKS[look]}".strip()
        yield _text(WIDTH - 16, y + 4, words, f"number end text-{look}")


def _dot(loss: float, y: float, look: str, axis: Axis) -> str:
    """A seed: filled where the verdict is clear, hollow where it is open, an arrow where far."""
    x = _x(axis, loss)
    if loss > axis.high:
        return f'<path class="fill-{look}" d="M{x - 8:.1f} {y - 5:g}l9 5l-9 5z"/>'
    hollow = " hollow" if look == "open" else ""
    return f'<circle class="dot fill-{look} stroke-{look}{hollow}" cx="{x:.1f}" cy="{y:g}" r="4"/>'


def _y(number: int) -> float:
    return TOP + ROW * (number + 0.5)


def _x(axis: Axis, loss: float) -> float:
    return axis.at(min(loss, axis.high))


def _in_words(steps: Sequence[Step]) -> Iterator[str]:
    """The picture for those who do not see it."""
    for step in steps:
        loss = "broke off" if step.loss is None else f"{step.loss:.3f}"
        change = "" if step.change is None else f", {signed(step.change)}, {step.verdict}"
        yield f"{step.rung.name}: {loss}{change}."


def _text(x: float, y: float, text: str, look: str) -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _style() -> str:
    """Colours for light and dark; every rule is bound to this picture, even inside a page."""
    return f"""<style>
.ladder text{{font:13px system-ui,-apple-system,"Segoe UI",sans-serif}}
.ladder .title{{font-size:15px;font-weight:600}}
.ladder .number{{font-variant-numeric:tabular-nums}}
.ladder .middle{{text-anchor:middle}}
.ladder .end{{text-anchor:end}}
.ladder .quiet{{font-size:12px}}
.ladder .way{{fill:none;stroke-width:1.5;stroke-dasharray:2 3}}
.ladder .range{{stroke-width:3;opacity:.45}}
.ladder .mean{{stroke-width:2.5}}
.ladder .dot{{stroke-width:1.5}}
{_palette(LIGHT)}
@media (prefers-color-scheme:dark){{
{_palette(DARK)}
}}
</style>"""


def _palette(colours: dict[str, str]) -> str:
    rules = [
        f".ladder .ground{{fill:{colours['ground']}}}",
        f".ladder text{{fill:{colours['ink']}}}",
        f".ladder .quiet{{fill:{colours['quiet']}}}",
        f".ladder .grid{{stroke:{colours['grid']}}}",
        f".ladder .way{{stroke:{colours['quiet']}}}",
    ]
    for look in MARKS:
        rules.append(f".ladder .stroke-{look}{{stroke:{colours[look]}}}")
        rules.append(f".ladder .fill-{look},.ladder .text-{look}{{fill:{colours[look]}}}")
    return "\n".join([*rules, f".ladder .hollow{{fill:{colours['ground']}}}"])
