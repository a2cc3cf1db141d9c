"""Every number of the forward from its equation."""

import math

import pytest
import torch
from tests.parity.grid import GRID, config_of
from tests.parity.test_forwards import loud, sentence

from nextword.errors import ConfigError
from nextword.interpret import points_of, record
from nextword.interpret.explained_terms import Equation

TOKENS = 9


def value_of(equation: Equation) -> float:
    """The result, worked out anew from what the equation says."""
    steps = {step.label: step.value for step in equation.steps}
    if equation.n_terms:
        total = math.fsum(term.product for term in equation.terms) + equation.rest
        total += equation.added or 0.0
        if "before the soft cap" in steps:
            cap = steps["soft cap"]
            assert steps["before the soft cap"] == pytest.approx(total, rel=1e-4, abs=1e-5)
            return cap * math.tanh(total / cap)
        return total
    if "at standard size" in steps:
        return steps["at standard size"] * steps["weight"] + steps.get("bias", 0.0)
    if "sum" in steps:
        assert steps["exp"] == pytest.approx(
            math.exp(steps.get("logit", steps.get("score", 0.0)) - steps["largest"]), rel=1e-4
        )
        return steps["exp"] / steps["sum"]
    if equation.formula.startswith("scaled"):
        scaled = steps.get("scaled", steps["score"])
        if "soft cap" not in steps:
            return scaled
        return steps["soft cap"] * math.tanh(scaled / steps["soft cap"])
    if equation.formula.startswith("score"):
        hidden = [step for step in equation.steps if step.label.startswith("masked")]
        return -math.inf if hidden else steps["score"]
    if "angle in radians" in steps:
        angle = steps["angle in radians"]
        return math.cos(angle) if "cos" in equation.formula else math.sin(angle)
    return equation.result  # a row of a table, or an activation


@pytest.mark.parametrize("row", GRID)
def test_every_point_has_an_equation_that_comes_out(row: str) -> None:
    config = config_of(row)
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    generator = torch.Generator().manual_seed(11)
    for name, point in points_of(config).items():
        value = trace[name]
        for _ in range(3):
            sizes = point.sizes(config, TOKENS)
            index = [int(torch.randint(size, (), generator=generator)) for size in sizes]
            equation = trace.equation(name, index)
            assert equation.index == tuple(index)
            assert equation.result == pytest.approx(value[tuple(index)].item(), rel=1e-4, abs=1e-5)
            assert value_of(equation) == pytest.approx(equation.result, rel=1e-3, abs=2e-5), name
            assert equation.formula
            assert equation.terms or equation.steps, name
            assert len(equation.terms) == min(equation.n_terms, 16)


def test_of_a_long_sum_the_largest_terms_are_named_in_order() -> None:
    config = config_of("llama")
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    equation = trace.equation("blocks.0.attention.query", [2, 4, 7])
    x = trace.row("blocks.0.attention_norm", 4)
    weights = trace.block(0).attention.query.weight[2 * 14 + 7].detach()
    products = weights * x
    named = sorted(products.abs().topk(16).indices.tolist())
    assert [term.label for term in equation.terms] == [f"normed[{place}]" for place in named]
    assert equation.n_terms == 23
    others = [place for place in range(23) if place not in named]
    assert equation.rest == pytest.approx(products[others].sum().item(), abs=1e-6)


def test_a_masked_score_says_why() -> None:
    config = config_of("sliding window")  # of 3
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    later = trace.equation("blocks.0.attention.masked_scores", [0, 4, 5])
    assert later.steps[-1].label == "masked: word 5 comes later"
    far = trace.equation("blocks.0.attention.masked_scores", [0, 4, 1])
    assert far.steps[-1].label == "masked: word 1 is outside the window of 3"
    assert later.result == far.result == -math.inf


def test_hidden_units_are_their_activation() -> None:
    config = config_of("relu squared")
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    for unit in range(5):
        equation = trace.equation("blocks.1.feed_forward.hidden", [3, unit])
        assert equation.formula == "hidden(i) = relu2(up(i))"
        assert equation.result == pytest.approx(max(equation.steps[0].value, 0.0) ** 2, abs=1e-6)


def test_what_there_is_not_is_refused() -> None:
    config = config_of("llama")
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    with pytest.raises(ConfigError, match="Did you mean 'logits'"):
        trace.equation("logit", [0, 0])
    with pytest.raises(ConfigError, match="has the axes H, T, D: give 3 numbers, not 2"):
        trace.equation("blocks.0.attention.query", [0, 0])
    with pytest.raises(ConfigError, match="index H is 6"):
        trace.equation("blocks.0.attention.query", [6, 0, 0])
