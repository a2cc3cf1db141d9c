"""The feed-forward of later models: each position thinks for itself, through a wider layer."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.config import ModelConfig
from nextword.kernels import ops
from nextword.model.linear import Linear

TWICE_ROOT = math.sqrt(8 / math.pi)


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _gelu_tanh(x: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # the same, without the slow tanh: tanh u = 2 sigmoid 2u − 1
        return x * torch.sigmoid(x * (TWICE_ROOT + TWICE_ROOT * 0.044715 * x * x))
    if ops.reaches(x):
        return ops.GELUStep.apply(x)  # type: ignore[no-untyped-call,no-any-return]
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": _relu2,  # arXiv 2109.08668
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,  # GPT-2's
    "silu": F.silu,
    "swiglu": F.silu,  # arXiv 2002.05202
    "geglu": _gelu_tanh,
}


class FeedForward(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) · up(x)) when gated."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner, bias = config.d_model, config.ff_width, config.feed_forward_bias
        self.activation = ACTIVATIONS[config.feed_forward]
        self.swish = config.feed_forward == "swiglu"
        self.gate = Linear(width, inner, bias=bias) if config.gated else None
        self.up = Linear(width, inner, bias=bias)
        self.down = Linear(inner, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [B, T, M] → [B, T, M], what is added to the residual."""
        if self.gate is None:
            hidden = self.activation(self.up(x))  # [B, T, F]
        elif self.swish and ops.reaches(x):
            hidden = ops.SwiGLUStep.apply(self.gate(x), self.up(x))  # type: ignore[no-untyped-call]
        else:
            hidden = self.activation(self.gate(x)) * self.up(x)  # [B, T, F]
        result: Tensor = self.down(hidden)
        return result
