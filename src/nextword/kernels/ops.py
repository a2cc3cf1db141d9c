"""Steps of training on a CPU that go through steps.c: one pass over a tensor instead of many.

Each gives what the chain of torch's operations gives, up to rounding: tests/parity/test_kernels.py.
A gradient of the gradient is refused: torch says so.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nextword.kernels.build import kernels
from nextword.kernels.custom_backward import pays


def reaches(x: Tensor) -> bool:
    """Whether the steps here can be taken for `x`: learning, eagerly, on a CPU, and compiled."""
    return pays(x) and kernels(x.dtype) is not None


class RMSNormStep(torch.autograd.Function):
    """x / sqrt(mean(x²) + ε) · weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """`x` [..., width], `weight` [width] float32."""
        x, weight = x.contiguous(), weight.contiguous()
        normed = torch.empty_like(x)
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        inverse = x.new_empty(rows, dtype=torch.float32)
        _library(x).rms_norm(*_places(x, weight, normed, inverse), rows, width, epsilon)
        ctx.save_for_backward(x, weight, inverse)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradients of x and weight."""
        x, weight, inverse = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_x, by_weight = torch.empty_like(x), torch.zeros_like(weight)
        places = _places(gradient, x, weight, inverse, by_x, by_weight)
        _library(x).rms_norm_back(*places, len(inverse), x.shape[-1])
        return by_x, by_weight, None


class DealHeadsStep(torch.autograd.Function):
    """Queries, keys and values out of one product: dealt out, normed if asked, turned if asked."""

    @staticmethod
    def forward(
        ctx: Any,
        joined: Tensor,
        query_weight: Tensor | None,
        key_weight: Tensor | None,
        cos: Tensor | None,
        sin: Tensor | None,
        heads: int,
        shared: int,
        epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Deal out.

        Args:
            joined: [B, T, (H + 2K)·D].
            query_weight, key_weight: [D] float32, of the RMS norms; None: none.
            cos, sin: [T, D] or [B, 1, T, D] float32, their second half repeating the first; None:
                nothing is turned.
            heads, shared: H and K.
            epsilon: of the norms.

        Returns:
            query [B, H, T, D], key and value [B, K, T, D], laid out as [B, T, ·, D].
        """
        joined = joined.contiguous()
        batch, tokens = joined.shape[:2]
        width = joined.shape[2] // (heads + 2 * shared)
        if cos is not None and sin is not None:
            cos, sin = (part[..., : width // 2].contiguous() for part in (cos, sin))
        places = tokens if cos is None else cos.numel() // (width // 2)
        query = joined.new_empty(batch, tokens, heads, width)
        key, value = joined.new_empty(2, batch, tokens, shared, width)
        inverse = joined.new_empty(batch * tokens, heads + shared, dtype=torch.float32)
        sizes = (batch * tokens, places, heads, shared, width)
        given = (joined, query_weight, key_weight, cos, sin)
        _library(joined).deal_heads(*_places(*given, query, key, value, inverse), *sizes, epsilon)
        ctx.save_for_backward(*given, inverse)
        ctx.sizes = sizes
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of joined and the two weights."""
        joined, query_weight, key_weight, cos, sin, inverse = ctx.saved_tensors
        by_heads = [gradient.transpose(1, 2).contiguous() for gradient in gradients]
        by_joined = torch.empty_like(joined)
        by_weights = [
            None if weight is None else torch.zeros_like(weight)
            for weight in (query_weight, key_weight)
        ]
        given = (joined, query_weight, key_weight, cos, sin, inverse)
        places = _places(*by_heads, *given, by_joined, *by_weights)
        _library(joined).deal_heads_back(*places, *ctx.sizes)
        return by_joined, *by_weights, None, None, None, None, None


class SwiGLUStep(torch.autograd.Function):
    """silu(gate) · up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        """Two tensors of one shape and dtype."""
        gate, up = gate.contiguous(), up.contiguous()
        hidden = torch.empty_like(gate)
        _library(gate).swiglu(*_places(gate, up, hidden), gate.numel())
        ctx.save_for_backward(gate, up)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of gate and up."""
        gate, up = ctx.saved_tensors
        gradient = gradients[0].contiguous()  # by name: C reads it after `_places` has returned
        by_gate, by_up = torch.empty_like(gate), torch.empty_like(up)
        places = _places(gradient, gate, up, by_gate, by_up, None)
        _library(gate).swiglu_back(*places, gate.numel())
        return by_gate, by_up


class GELUStep(torch.autograd.Function):
    """GPT-2's GELU, the one with tanh."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """`x` of any shape."""
        x = x.contiguous()
        result = torch.empty_like(x)
        _library(x).gelu_tanh(*_places(x, result), x.numel())
        ctx.save_for_backward(x)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient of x."""
        (x,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_x = torch.empty_like(x)
        places = _places(gradient, x, by_x, None)
        _library(x).gelu_tanh_back(*places, x.numel())
        return by_x


def _library(x: Tensor) -> ctypes.CDLL:
    library = kernels(x.dtype)
    assert library is not None, "`reaches` was asked first"
    return library


def _places(*tensors: Tensor | None) -> list[int | None]:
    """Where tensors lie in memory, for C; each is contiguous."""
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]
