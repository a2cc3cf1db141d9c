"""The equations of the values within a block."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from nextword.config import ModelConfig
from nextword.interpret.explained_terms import (
    EquationStep,
    Parts,
    added_up,
    by_steps,
    normed,
    summed,
    times_matrix,
)
from nextword.interpret.points import norm_after
from nextword.interpret.walkthrough_steps import activation, capped, quoted
from nextword.model.decoder import Block
from nextword.model.feed_forward import ACTIVATIONS
from nextword.model.positions import rotary_rates

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Place:
    """One number of a block's value.

    Attributes:
        trace, layer, block, config: where it is.
        position: whose row it is in, and `rows` that position's values by short name.
        head: of a value with an axis of heads (for keys and values, the key/value head), else 0.
        last: its place on the value's last axis.
    """

    trace: "Trace"
    layer: int
    block: Block
    config: ModelConfig
    position: int
    rows: dict[str, Tensor]
    head: int
    last: int

    @property
    def shared(self) -> int:
        """The key/value head that `head` uses."""
        return self.head // self.trace.sharing

    @property
    def after(self) -> bool:
        """Whether norms come after the sublayers."""
        return norm_after(self.config)

    @property
    def entering(self) -> tuple[str, Tensor]:
        """What queries, keys and values are made of."""
        if self.config.norm != "none" and not self.after:
            return "normed", self.rows["attention_norm"]
        return "residual" if self.layer else "word_vector", self.rows["residual_pre"]

    @property
    def into_feed_forward(self) -> tuple[str, Tensor]:
        """What the feed-forward works on."""
        if self.config.norm != "none" and not self.after:
            return "normed", self.rows["feed_forward_norm"]
        return "residual", self.rows["residual_mid"]


def block_equation(place: Place, name: str) -> Parts:
    """The equation of a number of the point `name` (its part after `blocks.N.`)."""
    kind, _, part = name.partition(".")
    if kind == "attention" and part in ("query", "key", "value"):
        return _made(place, part)
    if part in ("query_norm", "key_norm"):
        return _at_standard_length(place, part.removesuffix("_norm"))
    if part in ("query_rotated", "key_rotated"):
        return _rotated(place, part.removesuffix("_rotated"))
    return _EQUATIONS[name](place)


def _made(place: Place, part: str) -> Parts:
    """A number of a query, key or value."""
    what, x = place.entering
    attention = place.block.attention
    layer = {"query": attention.query, "key": attention.key, "value": attention.value}[part]
    letter, word = {"query": ("q", "i"), "key": ("k", "j"), "value": ("v", "j")}[part]
    row = place.head * place.config.head_width + place.last
    formula = f"{part}({word}) = M{letter} × {what}({word})"
    return times_matrix(formula, layer, row, x, what)


def _at_standard_length(place: Place, part: str) -> Parts:
    attention = place.block.attention
    norm = attention.query_norm if part == "query" else attention.key_norm
    assert norm is not None
    x = place.rows[f"attention.{part}"][place.head]
    return normed(place.config, norm, x, place.last, rms=True)


def _rotated(place: Place, part: str) -> Parts:
    """A pair (d, d + D/2) turned by the angle position × rate(d)."""
    before = f"attention.{part}_norm" if place.config.query_key_norm else f"attention.{part}"
    x = place.rows[before][place.head]
    half, rates = len(x) // 2, rotary_rates(place.config)
    pair = place.last % half
    angle = place.position * rates[0][pair].item()
    cos, sin = math.cos(angle) * rates[1], math.sin(angle) * rates[1]
    first = place.last < half
    other = pair + half if first else pair
    turn = x.new_tensor([cos, -sin if first else sin])
    both = x[[place.last, other]]
    formula = (
        "turned(d) = x(d) × cos − x(d + D/2) × sin"
        if first
        else "turned(d + D/2) = x(d + D/2) × cos + x(d) × sin"
    )
    names = (f"{part}[{place.last}]", f"{part}[{other}]")
    ways = (("angle in radians", angle), ("cos", cos), ("sin", sin))
    steps = [EquationStep(label=label, value=value) for label, value in ways]
    return summed(formula, names.__getitem__, both, turn, steps=steps)


def _score(place: Place) -> Parts:
    basis = place.trace.basis.layers[place.layer]
    query = basis.query_used[place.head, place.position]
    key = basis.key_used[place.shared, place.last]
    formula = "score(i, j) = query(i) · key(j)"
    return summed(formula, lambda d: f"dimension {d}", query, key)


def _scaled(place: Place) -> Parts:
    config = place.config
    score = place.rows["attention.scores"][place.head, place.last]
    pairs: list[tuple[str, float | Tensor]] = [("score", score)]
    formula = "scaled(i, j) = score"
    if config.scaled_scores:
        formula += f" / √{config.head_width}"
        pairs.append((f"√{config.head_width}", math.sqrt(config.head_width)))
        pairs.append(("scaled", score * config.score_scale))
    if config.attention_soft_cap is not None:
        formula = capped(formula, config.attention_soft_cap)
        pairs.append(("soft cap", config.attention_soft_cap))
    return by_steps(formula, *pairs)


def _masked(place: Place) -> Parts:
    scaled = place.rows.get("attention.scaled_scores", place.rows["attention.scores"])
    pairs: list[tuple[str, float | Tensor]] = [("score", scaled[place.head, place.last])]
    window = place.config.window(place.layer)
    if place.last > place.position:
        pairs.append((f"masked: word {place.last} comes later", -math.inf))
    elif window is not None and place.position - place.last >= window:
        pairs.append((f"masked: word {place.last} is outside the window of {window}", -math.inf))
    return by_steps("score(i, j) = -∞ for every j that is masked", *pairs)


def _weight(place: Place) -> Parts:
    scores = place.rows["attention.masked_scores"][place.head]
    powers = (scores - scores.max()).exp()
    return by_steps(
        "weight(i, j) = exp(score(i, j) − largest) / sum",
        ("score", scores[place.last]),
        ("largest", scores.max()),
        ("exp", powers[place.last]),
        ("sum", powers.sum()),
    )


def _context(place: Place) -> Parts:
    seen = place.position + 1
    weights = place.rows["attention.attention_weights"][place.head, :seen]
    values = place.trace.basis.layers[place.layer].value[place.shared, :seen, place.last]
    formula = "context(i) = Σ weight(i, j) × value(j)"
    return summed(formula, lambda j: f"{quoted(place.trace.tokens[j])} ({j})", weights, values)


def _output(place: Place) -> Parts:
    joined, width = place.rows["attention.context"].flatten(), place.config.head_width
    layer = place.block.attention.output
    if layer is None:
        label = f"context[{place.last % width}] of head {place.last // width}"
        return added_up("output(i) = context(i)", (label, joined[place.last]))
    what = "context" if place.config.n_heads == 1 else "joined"
    return times_matrix(f"output(i) = Mo × {what}(i)", layer, place.last, joined, what)


def _attention_norm(place: Place) -> Parts:
    x = place.rows["residual_pre"]
    x = x + place.rows["attention.output"] if place.after else x
    rms = place.config.norm == "rms"
    return normed(place.config, place.block.attention_norm, x, place.last, rms=rms)


def _feed_forward_norm(place: Place) -> Parts:
    x, norm = place.rows["residual_mid"], place.block.feed_forward_norm
    assert norm is not None
    x = x + place.rows["feed_forward.output"] if place.after else x
    return normed(place.config, norm, x, place.last, rms=place.config.norm == "rms")


def _pre(place: Place) -> Parts:
    number = place.rows["residual_pre"][place.last]
    if place.layer == 0:
        return added_up("residual(i) = word_vector(i)", ("word vector", number))
    label = f"residual leaving layer {place.layer - 1}"
    return added_up("residual(i) = what left the layer before", (label, number))


def _linked(place: Place, before: str, added: str, what: str) -> Parts:
    """The residual link: what was there, and what is added to it."""
    numbers = place.rows[before][place.last], place.rows[added][place.last]
    pairs = zip(("residual", what.replace("_", " ")), numbers, strict=True)
    return added_up(f"residual(i) = residual(i) + {what}(i)", *pairs)


def _mid(place: Place) -> Parts:
    if place.after:
        number = place.rows["attention_norm"][place.last]
        return added_up("residual(i) = normed(i)", ("normed", number))
    return _linked(place, "residual_pre", "attention.output", "attention_output")


def _post(place: Place) -> Parts:
    if place.block.feed_forward is None:
        number = place.rows["residual_mid"][place.last]
        return added_up("residual(i) = residual(i)", ("residual", number))
    if place.after:
        number = place.rows["feed_forward_norm"][place.last]
        return added_up("residual(i) = normed(i)", ("normed", number))
    return _linked(place, "residual_mid", "feed_forward.output", "feed_forward")


def _gate(place: Place) -> Parts:
    what, x = place.into_feed_forward
    assert place.block.feed_forward is not None
    assert place.block.feed_forward.gate is not None
    layer = place.block.feed_forward.gate
    return times_matrix(f"gate(i) = Mgate × {what}(i)", layer, place.last, x, what)


def _up(place: Place) -> Parts:
    what, x = place.into_feed_forward
    assert place.block.feed_forward is not None
    layer = place.block.feed_forward.up
    return times_matrix(f"up(i) = Mup × {what}(i)", layer, place.last, x, what)


def _hidden(place: Place) -> Parts:
    kind = activation(place.config)
    up = place.rows["feed_forward.up"][place.last]
    if not place.config.gated:
        return by_steps(f"hidden(i) = {kind}(up(i))", ("up", up))
    gate = place.rows["feed_forward.gate"][place.last]
    opened = ACTIVATIONS[place.config.feed_forward](gate)
    formula = f"hidden(i) = {kind}(gate(i)) · up(i)"
    steps = [EquationStep(label="gate", value=gate.item())]
    return summed(formula, lambda _: f"{kind}(gate) × up", opened[None], up[None], steps=steps)


def _down(place: Place) -> Parts:
    assert place.block.feed_forward is not None
    layer, hidden = place.block.feed_forward.down, place.rows["feed_forward.hidden"]
    return times_matrix("output(i) = Mdown × hidden(i)", layer, place.last, hidden, "hidden")


_EQUATIONS: dict[str, Callable[[Place], Parts]] = {
    "residual_pre": _pre,
    "attention_norm": _attention_norm,
    "attention.scores": _score,
    "attention.scaled_scores": _scaled,
    "attention.masked_scores": _masked,
    "attention.attention_weights": _weight,
    "attention.context": _context,
    "attention.output": _output,
    "residual_mid": _mid,
    "feed_forward_norm": _feed_forward_norm,
    "feed_forward.gate": _gate,
    "feed_forward.up": _up,
    "feed_forward.hidden": _hidden,
    "feed_forward.output": _down,
    "residual_post": _post,
}
