"""Muon: every direction of a matrix learns at the same speed (Jordan et al. 2024).

The momentum of each matrix is brought near the orthogonal matrix closest to it before it is taken
off the weights. torch.optim.Muon does the same, one matrix at a time; here all matrices of one
shape are worked out in one batched product, which on a CPU takes about a third of the time
(docs/lab-log.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Of three quintics, each of which brings the singular values as near to 1 as one can that takes up
# where the one before it ended; those above 0.01 of the whole end within 0.73 and 1.27 (Polar
# Express, arXiv 2505.16932). Jordan's quintic does no better in five rounds.
COEFFICIENTS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
EPSILON = 1e-7


@dataclass(frozen=True)
class _Stack:
    """Matrices of one shape that learn at one speed."""

    parameters: list[nn.Parameter]  # n of [rows, columns]
    momentum: Tensor  # [n, rows, columns] float32
    rate: float  # of the schedule's full rate
    dtype: torch.dtype  # that the iteration computes in

    def adjust(self, share: float, momentum: float, weight_decay: float) -> None:
        """One step with `share` of the rate."""
        gradients = torch.stack([parameter.grad for parameter in self.parameters])  # type: ignore[misc]
        self.momentum.lerp_(gradients, 1 - momentum)
        ahead = gradients.lerp_(self.momentum, momentum)  # Nesterov's look ahead
        rows, columns = ahead.shape[1:]
        rate = self.rate * share
        step = orthogonal(ahead, self.dtype).mul_(-rate * math.sqrt(max(1.0, rows / columns)))
        weights: list[Tensor] = list(self.parameters)
        torch._foreach_mul_(weights, 1 - rate * weight_decay)
        torch._foreach_add_(weights, list(step))


class Muon:
    """Muon over matrices, some of which may take a share of the rate."""

    def __init__(
        self,
        shares: Mapping[float, Sequence[nn.Parameter]],
        *,
        rate: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Begin with no momentum.

        Args:
            shares: how much of the rate → the matrices that take it.
            rate: the learning rate.
            momentum: how much of the earlier gradients is kept, 0 … 1.
            weight_decay: per step and learning rate.
            dtype: what a step is worked out in; see `orthogonal`.
        """
        self._momentum, self._weight_decay = momentum, weight_decay
        by_shape: dict[tuple[float, torch.Size], list[nn.Parameter]] = {}
        for share, parameters in shares.items():
            for parameter in parameters:
                by_shape.setdefault((share, parameter.shape), []).append(parameter)
        self._stacks = [
            _Stack(
                alike,
                torch.zeros(len(alike), *shape, device=alike[0].device),
                rate * share,
                dtype,
            )
            for (share, shape), alike in by_shape.items()
        ]
        self.momentum: dict[nn.Parameter, Tensor] = {
            parameter: momentum_of
            for stack in self._stacks
            for parameter, momentum_of in zip(stack.parameters, stack.momentum, strict=True)
        }

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Adjust every matrix by its gradient, with `share` of the learning rate."""
        for stack in self._stacks:
            stack.adjust(share, self._momentum, self._weight_decay)


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Each matrix with its singular values brought near 1, by Newton–Schulz iteration.

    Args:
        matrices: [n, rows, columns].
        dtype: what to compute in; bfloat16 is exact enough, and faster where it is fast.

    Returns:
        [n, rows, columns] float32; singular values above a hundredth of the matrix's Frobenius norm
        lie between about 0.7 and 1.3.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)  # [n, r, c] with r ≤ c
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for a, b, c in COEFFICIENTS:
        gram = torch.bmm(x, x.mT)  # [n, r, r]
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).float()
