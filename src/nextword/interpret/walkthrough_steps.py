"""What the chain of one position is made of: steps with lines of numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nextword.config import ModelConfig

FEW_TERMS = 4  # a sum of so many products is written out, term by term


@dataclass(frozen=True, kw_only=True)
class Line:
    """Numbers that belong together, within a step.

    Attributes:
        name: what they are; for a token's, the token.
        numbers: a vector, or one number for each of the step's columns.
        sign: how it is joined to the lines above: "+", "−", "÷", "×", "=", or "".
        position: the position of the token whose numbers they are.
        factor: what was multiplied by, divided by or taken off to get them.
        products: where the only number is a sum of few products, those.
        added: what is added to the products (the bias).
        masked: why the query does not see this token; such a line has no numbers.
    """

    name: str
    numbers: tuple[float, ...] = ()
    sign: str = ""
    position: int | None = None
    factor: float | None = None
    products: tuple[tuple[float, float], ...] = ()
    added: float | None = None
    masked: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the chain.

    Attributes:
        name: stable, for programs; the same as the point's of the trace where there is one.
        title: a few words.
        sentence: what happens here, in the article's words.
        formula: the same as an equation; "" where there is nothing to work out.
        lines: the numbers.
        columns: headings of the lines' numbers; none where the lines are vectors.
    """

    name: str
    title: str
    sentence: str
    formula: str
    lines: tuple[Line, ...]
    columns: tuple[str, ...] = ()


def norm_step(config: ModelConfig, name: str, norm: nn.Module, x: Tensor, y: Tensor) -> Step:
    """Layer norm or RMS norm of the residual `x` [M] to `y` [M], worked out line by line."""
    lines = [vector_line("residual", x)]
    formula, what = "normed = residual / sqrt(mean(residual²) + ε) × weight", "root mean square"
    if config.norm == "layer":
        mean = x.mean()
        x, what = x - mean, "standard deviation"
        lines.append(vector_line("mean", x, sign="−", factor=mean.item()))
        formula = "normed = (residual − mean) / sqrt(variance + ε) × weight"
    size = (x.square().mean() + config.norm_epsilon).sqrt()
    lines.append(vector_line(what, x / size, sign="÷", factor=size.item()))
    for sign, part in (("×", norm.weight), ("+", getattr(norm, "bias", None))):
        if isinstance(part, Tensor):
            lines.append(vector_line("weight" if sign == "×" else "bias", part, sign=sign))
            formula += " + bias" if sign == "+" else ""
    lines.append(vector_line("normed", y, sign="="))
    sentence = "The numbers are brought to a standard size before they are used."
    if config.norm_placement == "after":
        sentence = "The sum is brought to a standard size."
    return step(name, "Norm", sentence, formula, lines)


def step(
    name: str,
    title: str,
    sentence: str,
    formula: str,
    lines: Sequence[Line],
    *,
    columns: tuple[str, ...] = (),
) -> Step:
    return Step(
        name=name,
        title=title,
        sentence=sentence,
        formula=formula,
        lines=tuple(lines),
        columns=columns,
    )


def vector_line(
    name: str,
    vector: Tensor,
    *,
    sign: str = "",
    position: int | None = None,
    factor: float | None = None,
) -> Line:
    numbers = tuple(vector.float().tolist())
    return Line(name=name, numbers=numbers, sign=sign, position=position, factor=factor)


def equations(layer: nn.Linear, x: Tensor, y: Tensor, rows: slice, name: str) -> Iterator[Line]:
    """How each number of `y` = matrix × `x` is a sum, where the sums are short."""
    if len(x) > FEW_TERMS:
        return
    matrix = layer.weight[rows].float()
    for d, number in enumerate(y):
        bias = None if layer.bias is None else layer.bias[rows][d].item()
        terms = products(matrix[d], x)
        yield Line(name=f"{name}[{d}]", numbers=(number.item(),), products=terms, added=bias)


def products(weights: Tensor, x: Tensor) -> tuple[tuple[float, float], ...]:
    """The factors of weights · x, where they are few."""
    if len(x) > FEW_TERMS:
        return ()
    return tuple(zip(weights.tolist(), x.tolist(), strict=True))


def layers(first: int, stop: int) -> str:
    return f"layer {first}" if stop == first + 1 else f"layers {first} to {stop - 1}"


def activation(config: ModelConfig) -> str:
    """What formulas call the function that switches the hidden units."""
    return {"swiglu": "silu", "geglu": "gelu"}.get(config.feed_forward, config.feed_forward)


def capped(formula: str, cap: float) -> str:
    """A formula with a soft cap over its right side."""
    return formula.replace("= ", f"= {cap:g} × tanh((") + f") / {cap:g})"


def quoted(token: str) -> str:
    return f"“{token}”"
