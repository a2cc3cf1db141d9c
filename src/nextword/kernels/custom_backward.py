"""RMS norm and rotation with backward passes of their own, where there is no C compiler.

torch works both out as chains of small operations on a CPU, and differentiates link by link.
Written as one step each they take less than half of the operations (docs/lab-log.md). The results
are those of `model/norm.py` and `model/positions.py` up to rounding; on other devices, and where
nothing is to be learned, those are used. A gradient of the gradient is refused: torch says so.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class RMSNormStep(torch.autograd.Function):
    """x / sqrt(mean(x²) + ε) · weight in float32, returned in x's dtype.

    With n = x / sqrt(mean(x²) + ε) and g the gradient times weight, the gradient of x is
    (g − n · mean(g · n)) / sqrt(mean(x²) + ε).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """`x` [..., width], `weight` broadcast to it."""
        full = x.float()
        length = torch.linalg.vector_norm(full, dim=-1, keepdim=True)  # [..., 1]
        inverse = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()  # [..., 1]
        normed = full * inverse
        ctx.save_for_backward(normed, inverse, weight)
        ctx.dtype = x.dtype
        scaled: Tensor = normed * weight
        return scaled.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradients of x and weight."""
        normed, inverse, weight = ctx.saved_tensors
        gradient = gradients[0].float()
        by_weight = (gradient * normed).sum_to_size(weight.shape)
        gradient = gradient * weight
        mean = (gradient * normed).sum(dim=-1, keepdim=True).div_(-normed.shape[-1])  # [..., 1]
        by_x = gradient.addcmul_(normed, mean).mul_(inverse)
        return by_x.to(ctx.dtype), by_weight, None


class RotateStep(torch.autograd.Function):
    """Each pair (d, d + D/2) turned by its angle; backwards it is turned back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """`x` [..., D]; `cos` and `sin` broadcast to it, their second half repeating the first."""
        half = x.shape[-1] // 2
        cos, sin = cos[..., :half].to(x.dtype), sin[..., :half].to(x.dtype)
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x."""
        cos, sin = ctx.saved_tensors
        return _turned(gradients[0], cos, -sin), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(a, b) → (a cos − b sin, b cos + a sin); `cos` and `sin` [..., D/2]."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.empty_like(x)
    above, below = turned.chunk(2, dim=-1)
    torch.mul(first, cos, out=above).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=below).addcmul_(first, sin)
    return turned


def pays(x: Tensor) -> bool:
    """Whether the steps here are the faster way for `x`: learning, eagerly, on a CPU."""
    return x.is_cpu and torch.is_grad_enabled() and not torch.compiler.is_compiling()
