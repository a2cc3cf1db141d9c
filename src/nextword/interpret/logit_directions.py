"""What a logit is sensitive to at each place of the residual, with every norm's scale frozen.

A logit is a dot product with the last residual. Walking backwards from there, through residual
links (which change nothing) and norms (which scale), gives at each place of the forward the
direction u whose dot product with what is added there is what that adds to the logit.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from nextword.config import ModelConfig
from nextword.interpret.points import norm_after

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@dataclass(frozen=True, kw_only=True)
class LayerDirections:
    """The directions within one layer, [M] float64 each.

    Attributes:
        attention: where attention adds its output.
        after_attention: after the norm over that sum, if there is one; else the same.
        feed_forward, after_feed_forward: the same of the feed-forward.
        rows: the layer's values at the position, by short name.
    """

    attention: Tensor
    after_attention: Tensor
    feed_forward: Tensor
    after_feed_forward: Tensor
    rows: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Directions:
    """All of them: at the word vector, in each layer, before and after the final norm."""

    entry: Tensor
    layers: tuple[LayerDirections, ...]
    exit: Tensor


def make_directions(trace: "Trace", position: int, exit: Tensor) -> Directions:
    """Walk backwards from the fully connected layer to the word vector.

    Args:
        trace: of the forward, whose norms' scales are used.
        position: whose logit it is.
        exit: [M] float64, the row of the fully connected layer (or a difference of two).
    """
    config, u = trace.config, exit
    if config.final_norm:
        u = through_norm(trace.decoder.final_norm, trace.basis.last[position], u, config)
    after = norm_after(config)
    layers: list[LayerDirections] = []
    for number in reversed(range(config.n_layers)):
        block, rows = trace.block(number), trace.rows(number, position)
        after_feed_forward = u
        if after and block.feed_forward is not None and block.feed_forward_norm is not None:
            total = rows["residual_mid"] + rows["feed_forward.output"]
            u = through_norm(block.feed_forward_norm, total, u, config)
        feed_forward = after_attention = u
        if after:
            total = rows["residual_pre"] + rows["attention.output"]
            u = through_norm(block.attention_norm, total, u, config)
        layers.append(
            LayerDirections(
                attention=u,
                after_attention=after_attention,
                feed_forward=feed_forward,
                after_feed_forward=after_feed_forward,
                rows=rows,
            )
        )
    return Directions(entry=u, layers=tuple(reversed(layers)), exit=exit)


def through_norm(norm: nn.Module, x: Tensor, u: Tensor, config: ModelConfig) -> Tensor:
    """The direction before a norm over `x` [M], from the one after it; [M] float64.

    u · (x ⊙ weight / σ) = (u ⊙ weight / σ) · x; layer norm takes the mean off as well.
    """
    x = x.double()
    if config.norm == "layer":
        x = x - x.mean()
    assert isinstance(norm.weight, Tensor)
    scale = (x.square().mean() + config.norm_epsilon).sqrt()
    u = u * norm.weight.detach().double() / scale
    return u - u.mean() if config.norm == "layer" else u


def of_bias(layer: nn.Module | None, u: Tensor) -> float | None:
    """What the bias of a layer or norm adds, by the direction behind it; None: there is none."""
    bias = getattr(layer, "bias", None)
    return (u @ bias.detach().double()).item() if isinstance(bias, Tensor) else None


def carried_by_heads(
    trace: "Trace", layer: int, directions: LayerDirections
) -> Tensor:  # [H, S] float64
    """What each head carried to the logit from each word: weight × (value · O_hᵀ u)."""
    config, basis = trace.config, trace.basis.layers[layer]
    output, u = trace.block(layer).attention.output, directions.attention
    back = u if output is None else output.weight.double().T @ u  # [H·D]
    back = back.view(config.n_heads, config.head_width)  # [H, D]
    back = back.view(config.kv_heads, trace.sharing, -1)  # [K, H/K, D]
    values = back @ basis.value.double().transpose(1, 2)  # [K, H/K, S]
    weights = directions.rows["attention.attention_weights"].double()  # [H, S]
    return weights * values.reshape(config.n_heads, -1)
