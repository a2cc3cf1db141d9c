"""What an equation is made of: terms of a sum, and steps that are no sum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nextword.config import ModelConfig

MOST_TERMS = 16  # of a longer sum, so many are named


@dataclass(frozen=True, kw_only=True)
class Term:
    """One product of a sum: `left` × `right`; a plain addition has 1 on the right."""

    label: str
    left: float
    right: float
    product: float


@dataclass(frozen=True, kw_only=True)
class EquationStep:
    """A number on the way that is no term of a sum."""

    label: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All of an equation but which number it is for and what comes out.

    Attributes:
        formula: in plain text.
        terms: of the sum, in order; of more than 16, the largest.
        n_terms: how many there are in all, and `rest` the sum of those not named.
        added: the bias; None: there is none.
        steps: what comes before or after the sum, in order; or all, where there is no sum.
    """

    formula: str
    terms: tuple[Term, ...] = ()
    n_terms: int = 0
    rest: float = 0.0
    added: float | None = None
    steps: tuple[EquationStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Equation(Parts):
    """How one number of the forward comes about.

    Attributes:
        name, index: which: the point, and the place in its own letters.
        result: the number.
    """

    name: str
    index: tuple[int, ...]
    result: float


def by_steps(formula: str, *pairs: tuple[str, float | Tensor]) -> Parts:
    """An equation that is no sum."""
    return Parts(
        formula=formula,
        steps=tuple(EquationStep(label=label, value=float(value)) for label, value in pairs),
    )


def summed(
    formula: str,
    label: Callable[[int], str],
    left: Tensor,
    right: Tensor,
    *,
    added: float | None = None,
    steps: Sequence[EquationStep] = (),
) -> Parts:
    """A sum of products left · right, [n] each; the largest are named, in order."""
    products = left.double() * right.double()
    named = list(range(len(products)))
    if len(named) > MOST_TERMS:
        named = sorted(products.abs().topk(MOST_TERMS).indices.tolist())
    terms = tuple(
        Term(
            label=label(place),
            left=left[place].item(),
            right=right[place].item(),
            product=products[place].item(),
        )
        for place in named
    )
    rest = 0.0
    if len(products) > len(named):
        products[named] = 0.0
        rest = products.sum().item()
    return Parts(
        formula=formula,
        terms=terms,
        n_terms=len(products),
        rest=rest,
        added=added,
        steps=tuple(steps),
    )


def added_up(formula: str, *pairs: tuple[str, Tensor]) -> Parts:
    """A plain addition."""
    terms = tuple(
        Term(label=label, left=number.item(), right=1.0, product=number.item())
        for label, number in pairs
    )
    return Parts(formula=formula, terms=terms, n_terms=len(terms))


def times_matrix(formula: str, layer: nn.Linear, row: int, x: Tensor, what: str) -> Parts:
    """One number of matrix × `x`, plus its bias if there is one."""
    bias = None if layer.bias is None else layer.bias[row].item()
    weights = layer.weight[row].detach().float()
    formula += "" if bias is None else " + bias"
    return summed(formula, lambda place: f"{what}[{place}]", weights, x, added=bias)


def normed(config: ModelConfig, norm: nn.Module, x: Tensor, place: int, *, rms: bool) -> Parts:
    """One number of a norm over `x`."""
    weight, bias = norm.weight, getattr(norm, "bias", None)
    assert isinstance(weight, Tensor)
    pairs: list[tuple[str, float | Tensor]] = [("before", x[place])]
    formula, size = "normed = x / sqrt(mean(x²) + ε) × weight", "root mean square"
    if not rms:
        pairs.append(("mean", x.mean()))
        x = x - x.mean()
        formula = "normed = (x − mean) / sqrt(variance + ε) × weight"
        size = "standard deviation"
    scale = (x.square().mean() + config.norm_epsilon).sqrt()
    pairs += [(size, scale), ("at standard size", x[place] / scale), ("weight", weight[place])]
    if isinstance(bias, Tensor):
        pairs.append(("bias", bias[place]))
        formula += " + bias"
    return by_steps(formula, *pairs)
