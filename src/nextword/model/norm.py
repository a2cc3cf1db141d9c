"""Bringing a vector to a standard length before it is used: layer norm and RMS norm."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.config import ModelConfig
from nextword.kernels import custom_backward, ops


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + ε) · weight over the last dimension, computed in float32.

    Args:
        x: [..., width].
        weight: [width], or anything that broadcasts to x.
        epsilon: keeps it from dividing by zero.

    Returns:
        The shape and dtype of x.
    """
    weight = weight.float()
    if weight.dim() == 1 and ops.reaches(x):
        return ops.RMSNormStep.apply(x, weight, epsilon)  # type: ignore[no-untyped-call,no-any-return]
    if custom_backward.pays(x):
        return custom_backward.RMSNormStep.apply(x, weight, epsilon)  # type: ignore[no-untyped-call,no-any-return]
    return (F.rms_norm(x.float(), x.shape[-1:], eps=epsilon) * weight).to(x.dtype)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + ε) · weight, computed in float32 (arXiv 1910.07467)."""

    def __init__(self, width: int, *, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """`x` [..., width] → the same shape and dtype."""
        return rms_norm(x, self.weight, self.epsilon)


class LayerNorm(nn.Module):
    """(x − mean) / sqrt(variance + ε) · weight + bias, in float32 (arXiv 1607.06450)."""

    def __init__(self, width: int, *, epsilon: float, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """`x` [..., width] → the same shape and dtype."""
        weight = self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), weight.shape, weight, bias, self.epsilon).to(x.dtype)


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm over the residual that `config` asks for; the identity when it asks for none."""
    if config.norm == "layer":
        return LayerNorm(config.d_model, epsilon=config.norm_epsilon, bias=config.norm_bias)
    if config.norm == "rms":
        return RMSNorm(config.d_model, epsilon=config.norm_epsilon)
    return nn.Identity()
