"""Every head of every layer at one glance: a small picture, and three numbers to sort by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from nextword.errors import ConfigError
from nextword.interpret.recompute import GROUP_BYTES, look_back_of

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The heads' attention weights, made small.

    Attributes:
        weights: [L, H, s, s] uint8, 255 for a weight of 1; the largest of each part of the map.
        previous: [L, H] float32, mean weight on the word before, over positions from 1.
        first: the same of the first word.
        entropy: mean entropy of the weights in nats: how widely a head looks.
    """

    weights: Tensor
    previous: Tensor
    first: Tensor
    entropy: Tensor


@torch.no_grad()
def make_overview(trace: "Trace", *, size: int = 48) -> Overview:
    """Small pictures of all heads.

    Args:
        trace: of a sentence of T words.
        size: at most so many rows and columns; s = min(size, T).

    Raises:
        ConfigError: size below 1.
    """
    if size < 1:
        raise ConfigError(f"size is {size}; it must be at least 1")
    config, tokens = trace.config, len(trace.token_ids)
    side = min(size, tokens)
    pictures = torch.zeros(config.n_layers, config.n_heads, side, side, dtype=torch.uint8)
    numbers = torch.zeros(3, config.n_layers, config.n_heads)
    group = max(1, GROUP_BYTES // (4 * tokens * tokens))
    for layer, basis in enumerate(trace.basis.layers):
        for first in range(0, config.n_heads, group):
            heads = range(first, min(first + group, config.n_heads))
            name = "attention.attention_weights"
            weights = look_back_of(basis, config, layer, heads, name)  # [h, T, S]
            small = F.adaptive_max_pool2d(weights, (side, side))
            pictures[layer, list(heads)] = (small * 255).round().to(torch.uint8).cpu()
            if tokens > 1:
                numbers[:, layer, list(heads)] = _numbers(weights).cpu()
    previous, start, entropy = numbers
    return Overview(weights=pictures, previous=previous, first=start, entropy=entropy)


def _numbers(weights: Tensor) -> Tensor:
    """Mean weight on the word before and on the first, and mean entropy, of [h, T, S]: [3, h]."""
    later = weights[:, 1:]  # the first word can look at nothing but itself
    previous = later.diagonal(dim1=1, dim2=2).mean(dim=-1)
    entropy = -(torch.xlogy(later, later)).sum(dim=-1).mean(dim=-1)
    return torch.stack((previous, later[:, :, 0].mean(dim=-1), entropy))
