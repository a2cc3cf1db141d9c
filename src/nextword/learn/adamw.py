"""AdamW: each weight by its own gradient, measured against that gradient's usual size.

Loshchilov and Hutter 2017 (arXiv 1711.05101), through the fused kernel of torch. torch.optim.AdamW
calls the same one, but making one first loads torch's compiler, which takes longer than a small
model's first hundred steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class AdamW:
    """AdamW over weights with decay and weights without.

    Attributes:
        state: what is remembered of each weight: its mean gradient, `exp_avg`, the mean of its
            square, `exp_avg_sq`, and how many `step`s it took; float32. Empty before the first.
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
        self._groups = [(list(decaying), weight_decay), (list(lasting), 0.0)]
        self._rate, self._betas = rate, betas
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Adjust every weight by its gradient, with `share` of the learning rate."""
        for parameters, weight_decay in self._groups:
            if not parameters:
                continue
            states = [self._state(parameter) for parameter in parameters]
            counts = [state["step"] for state in states]
            torch._foreach_add_(counts, 1)
            torch._fused_adamw_(
                list[Tensor](parameters),
                [_gradient(parameter) for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                counts,
                lr=self._rate * share,
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=weight_decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )

    def _state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None  # every weight of a decoder takes part in the loss
    return parameter.grad
