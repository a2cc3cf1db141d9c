"""How the weights of a lesson are adjusted. What was chosen was measured (docs/lab-log.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from nextword.teach.config import Scope
from nextword.training.optim.adamw import AdamW
from nextword.training.optim.muon import Muon

MOMENTUM = 0.9
BETAS = (0.9, 0.99)  # of AdamW


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to go about a lesson.

    Attributes:
        rule: how a gradient becomes a step.
        speed: of the lesson's learning rate.
        rehearsal: of the lesson's rehearsal weight.
        slack: how far beyond the margin, as a share of the rest to 1, a target is still pulled.
    """

    rule: Literal["momentum", "muon", "adam"]
    speed: float = 1.0
    rehearsal: float = 1.0
    slack: float = 0.2


GENTLE = Method(rule="momentum")
FIRM = Method(rule="muon", rehearsal=1 / 300, slack=0.6)
BOLD = Method(rule="adam", rehearsal=1 / 300, slack=0.6)
ADAPTING = Method(rule="adam")


def methods(scope: Scope) -> tuple[Method, ...]:
    """The ways to try, one after the other.

    The gentle one moves little else, but cannot tell two sentences apart that the model, as it is,
    takes for nearly the same; the firm one then can. Where attention looks at one word alone, so
    that hardly any gradient comes through to the others, it takes the bold one, which makes a
    small gradient as long as a large one, number by number.
    """
    return (ADAPTING,) if scope == "adapter" else (GENTLE, FIRM, BOLD)


class Rule(Protocol):
    """How a gradient becomes a step."""

    def step(self, share: float) -> None:
        """Adjust every weight by its gradient, with `share` of the learning rate."""


class Momentum:
    """Gradient descent with momentum: step = momentum · earlier step + gradient.

    Its steps shrink as the gradient does, so it ends gently where AdamW, whose steps keep their
    size, would run past the nearest weights that are right.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, rate: float) -> None:
        self._parameters: list[Tensor] = list(parameters)
        self._rate = rate
        self._steps = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Adjust every weight by its gradient and its earlier ones."""
        gradients = [parameter.grad for parameter in self._parameters]
        torch._foreach_mul_(self._steps, MOMENTUM)
        torch._foreach_add_(self._steps, gradients)  # type: ignore[arg-type]
        torch._foreach_add_(self._parameters, self._steps, alpha=-self._rate * share)


class MuonAndAdam:
    """Muon for the matrices of the blocks, AdamW at 0.3 of its rate for all else."""

    def __init__(
        self, matrices: Sequence[nn.Parameter], others: Sequence[nn.Parameter], *, rate: float
    ) -> None:
        self._rules: list[Rule] = []
        if matrices:
            shares = {1.0: matrices}
            self._rules.append(Muon(shares, rate=rate, momentum=MOMENTUM, weight_decay=0.0))
        if others:
            self._rules.append(AdamW([], others, rate=0.3 * rate, betas=BETAS, weight_decay=0.0))

    def step(self, share: float) -> None:
        """Adjust every weight by its gradient and its earlier ones."""
        for rule in self._rules:
            rule.step(share)


def make_rule(
    method: Method, parameters: Sequence[nn.Parameter], inner: set[nn.Parameter], *, rate: float
) -> Rule:
    """What adjusts the weights of a lesson.

    Args:
        parameters: all that learn.
        inner: those of them that are in the blocks.
        rate: the lesson's learning rate.
    """
    rate *= method.speed
    if method.rule == "momentum":
        return Momentum(parameters, rate=rate)
    if method.rule == "adam":
        return AdamW([], parameters, rate=rate, betas=BETAS, weight_decay=0.0)
    matrices = [item for item in parameters if item in inner and item.dim() == 2]
    others = [item for item in parameters if not (item in inner and item.dim() == 2)]
    return MuonAndAdam(matrices, others, rate=rate)
