"""AdamW: each weight by its own gradient, measured against that gradient's usual size.

Loshchilov and Hutter 2017 (arXiv 1711.05101), through the fused kernel of torch. torch.optim.AdamW
calls the same one, but making one first loads torch's compiler, which takes longer than a small
model's first hundred steps. What is remembered is laid out once, so that a step has nothing to
gather but the gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EPSILON = 1e-8


@dataclass(frozen=True)
class _Group:
    """Weights that decay alike, and what is remembered of them, in the same order.

    Attributes:
        counts: [n] the steps that each weight took; `steps` are its elements, as tensors.
    """

    parameters: list[nn.Parameter]
    weight_decay: float
    means: list[Tensor]
    squares: list[Tensor]
    counts: Tensor
    steps: list[Tensor]


class AdamW:
    """AdamW over weights with decay and weights without.

    Attributes:
        state: what is remembered of each weight: its mean gradient, `exp_avg`, the mean of its
            square, `exp_avg_sq`, and how many `step`s it took; float32. To be changed in place.
    """

    def __init__(
        self,
        decaying: Sequence[nn.Parameter],
        lasting: Sequence[nn.Parameter],
        *,
        rate: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        """Begin with nothing remembered.

        Args:
            decaying, lasting: weights with weight decay, and without.
            rate: the learning rate.
            betas: how much of the mean gradient and of the mean square is kept per step.
            weight_decay: per step and learning rate.
        """
        decays = ((decaying, weight_decay), (lasting, 0.0))
        self._groups = [_group(weights, decay) for weights, decay in decays if weights]
        self._rate, self._betas = rate, betas
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {
            parameter: {"step": step, "exp_avg": mean, "exp_avg_sq": square}
            for group in self._groups
            for parameter, step, mean, square in zip(
                group.parameters, group.steps, group.means, group.squares, strict=True
            )
        }

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Adjust every weight by its gradient, with `share` of the learning rate."""
        for group in self._groups:
            group.counts.add_(1)
            torch._fused_adamw_(
                list[Tensor](group.parameters),
                [_gradient(parameter) for parameter in group.parameters],
                group.means,
                group.squares,
                [],
                group.steps,
                lr=self._rate * share,
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=group.weight_decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )


def _group(parameters: Sequence[nn.Parameter], weight_decay: float) -> _Group:
    counts = torch.zeros(len(parameters), device=parameters[0].device)
    return _Group(
        parameters=list(parameters),
        weight_decay=weight_decay,
        means=[torch.zeros_like(each) for each in parameters],
        squares=[torch.zeros_like(each) for each in parameters],
        counts=counts,
        steps=list(counts.unbind()),
    )


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None  # every weight of a decoder takes part in the loss
    return parameter.grad
