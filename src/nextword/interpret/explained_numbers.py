"""How one number of the forward comes about, with the values put in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from nextword.errors import ConfigError
from nextword.interpret.contributions import quoted
from nextword.interpret.explained_block import Place, block_equation
from nextword.interpret.explained_terms import (
    Equation,
    EquationStep,
    Parts,
    added_up,
    by_steps,
    normed,
    summed,
    times_matrix,
)
from nextword.interpret.logit_attribution import uncapped
from nextword.interpret.points import check_place, check_point, points_of, split_name
from nextword.interpret.token_shift_parts import earlier_words
from nextword.interpret.walkthrough_steps import capped

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@torch.no_grad()
def make_equation(trace: "Trace", name: str, index: Sequence[int]) -> Equation:
    """The sum, or the steps, that one number of a value comes from.

    Args:
        trace: of the sentence.
        name: of the point.
        index: which number, in the point's own letters: of `H T D`, head, position, dimension.

    Raises:
        ConfigError: there is no such point or number, or the trace is out of date.
    """
    points, config = points_of(trace.config), trace.config
    check_point(name, points)
    letters = points[name].shape.split()
    sizes = points[name].sizes(config, len(trace.token_ids))
    if len(index) != len(letters):
        raise ConfigError(
            f"{name} has the axes {', '.join(letters)}: give {len(letters)} numbers, not "
            f"{len(index)}"
        )
    places = [
        check_place(f"{name}: index {letter}", number, size)
        for letter, number, size in zip(letters, index, sizes, strict=True)
    ]
    head = places[0] if len(places) == 3 else 0
    position, last = places[-2:]
    if name.startswith("blocks."):
        layer, short = split_name(name)
        rows = trace.rows(layer, position)
        place = Place(
            trace=trace, layer=layer, block=trace.block(layer), config=config,
            position=position, rows=rows, head=head, last=last,
        )  # fmt: skip
        parts, row = block_equation(place, short), rows[short]
        result = row[head, last] if row.dim() == 2 else row[last]
    else:
        parts = _outside(trace, name, position, last)
        result = trace.row(name, position)[last]
    return Equation(name=name, index=tuple(places), result=result.item(), **vars(parts))


def _outside(trace: "Trace", name: str, position: int, last: int) -> Parts:
    """The equations of the values before the first block and after the last one."""
    config = trace.config
    if name == "token_embedding":
        token_id = int(trace.token_ids[position])
        return by_steps("embedding(token) = row of the token's number", ("token", token_id))
    if name == "token_shift":
        return _token_shift(trace, position, last)
    if name == "position":
        return _position(trace, position, last)
    if name == "residual":
        return _word_vector(trace, position, last)
    if name == "final_norm":
        x, rms = trace.basis.last[position], config.norm == "rms"
        return normed(config, trace.decoder.final_norm, x, last, rms=rms)
    if name == "logits":
        return _logit(trace, position, last)
    row = trace.logits([position])[0]
    powers = (row - row.max()).exp()
    return by_steps(
        "probability(word) = exp(logit(word) − largest) / sum",
        ("logit", row[last]),
        ("largest", row.max()),
        ("exp", powers[last]),
        ("sum", powers.sum()),
    )


def _token_shift(trace: "Trace", position: int, last: int) -> Parts:
    found = list(earlier_words(trace, position))
    if not found:
        return by_steps("token_shift(i) = 0: no word stands before", ("position", position))
    return summed(
        f"token_shift(i) = Σ share(k) × embedding(i − k), k = 1 … {len(found)}",
        lambda place: f"{quoted(trace.tokens[found[place].source])}, {place + 1} before",
        torch.stack([word.share[last] for word in found]),
        torch.stack([word.vector[last] for word in found]),
    )


def _position(trace: "Trace", position: int, last: int) -> Parts:
    if trace.config.position == "learned":
        return by_steps("position(i) = row of the position's number", ("position", position))
    wave = "cos" if last % 2 else "sin"
    rate = 10000.0 ** (-(last - last % 2) / trace.config.d_model)
    return by_steps(
        f"position(i) = {wave}(i × rate)",
        ("position", position),
        ("rate", rate),
        ("angle in radians", position * rate),
    )


def _word_vector(trace: "Trace", position: int, last: int) -> Parts:
    parts = {
        "token_embedding": ("embedding(token)", "embedding"),
        "token_shift": ("token_shift(i)", "token shift"),
        "position": ("position(i)", "position"),
    }
    there = {name: part for name, part in parts.items() if name in trace}
    formula = "word_vector(i) = " + " + ".join(term for term, _ in there.values())
    pairs = [(label, trace.row(name, position)[last]) for name, (_, label) in there.items()]
    return added_up(formula, *pairs)


def _logit(trace: "Trace", position: int, token: int) -> Parts:
    config = trace.config
    what, x = "residual" if config.n_layers else "word_vector", trace.basis.last[position]
    if config.final_norm:
        what, x = "normed", trace.row("final_norm", position)
    layer, formula = trace.decoder.unembedding, f"logit(word) = weights(word) · {what}(i)"
    parts = times_matrix(formula, layer, token, x, what)
    if config.logit_soft_cap is None:
        return parts
    cap, before = config.logit_soft_cap, uncapped(trace, position, token)
    steps = (
        EquationStep(label="before the soft cap", value=before),
        EquationStep(label="soft cap", value=cap),
    )
    return replace(parts, formula=capped(parts.formula, cap), steps=steps)
