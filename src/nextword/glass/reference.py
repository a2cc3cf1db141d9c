"""The article in code: one sentence from words to next word, every value named.

This is the readable twin of `nextword.model`. It uses the live decoder's weights, follows the
article's order, and passes each value through `tap(name, value)`, which may keep it, or hand back
another in its place. It is differentiable. Tests hold it equal to the fast decoder for every
setting of ModelConfig. One sentence at a time, so there is no batch dimension.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nextword.config import ModelConfig
from nextword.model.attention import Attention
from nextword.model.decoder import Block, Decoder
from nextword.model.feed_forward import ACTIVATIONS, FeedForward
from nextword.model.linear import Linear
from nextword.model.position import check_learned, rotary_rates

Tap = Callable[[str, Tensor], Tensor]


def untouched(_: str, value: Tensor) -> Tensor:
    """The tap that only lets values pass."""
    return value


def forward(decoder: Decoder, token_ids: Tensor, tap: Tap = untouched) -> Tensor:
    """The logits of the next token at every position of one sentence.

    Args:
        decoder: whose weights are used, in float32.
        token_ids: [T] int64.
        tap: called as `tap(name, value)` at every point of `points_of(decoder.config)`, in order;
            what it returns is used from there on.

    Returns:
        logits [T, V].

    Raises:
        ContextError: more tokens than learned positions.
    """
    config = decoder.config
    residual = tap("residual", _word_vectors(decoder, token_ids, tap))  # [T, M]
    for layer, block in enumerate(decoder.blocks):
        assert isinstance(block, Block)

        def tap_block(name: str, value: Tensor, layer: int = layer) -> Tensor:
            return tap(f"blocks.{layer}.{name}", value)

        residual = _block(block, residual, config, layer, tap_block)  # [T, M]
    if config.final_norm:
        residual = tap("final_norm", _norm(decoder.final_norm, residual, config))  # [T, M]
    logits = _linear(decoder.unembedding, residual)  # [T, V]: the fully connected layer
    if config.logit_soft_cap is not None:
        logits = _soft_cap(logits, config.logit_soft_cap)
    logits = tap("logits", logits)
    tap("probabilities", _softmax(logits))
    return logits


def _word_vectors(decoder: Decoder, token_ids: Tensor, tap: Tap) -> Tensor:
    """word_vector_i = embedding of the token + encoding of the position i."""
    config = decoder.config
    vectors = tap("token_embedding", decoder.token_embedding.weight[token_ids].float())  # [T, M]
    places = torch.arange(len(token_ids), device=token_ids.device)  # [T]
    if config.position == "sinusoidal":
        return vectors + tap("position", _sinusoidal(places, config.d_model))
    if config.position == "learned":
        assert decoder.position_embedding is not None
        check_learned(config, len(token_ids) - 1)
        return vectors + tap("position", decoder.position_embedding.weight[places].float())
    return vectors


def _block(block: Block, residual: Tensor, config: ModelConfig, layer: int, tap: Tap) -> Tensor:
    """Masked self-attention, then the feed-forward if there is one, each with a residual link."""
    residual = tap("residual_pre", residual)
    before, after = config.norm_placement == "before", config.norm_placement == "after"
    normed = config.norm != "none"

    entering = residual
    if normed and before:
        entering = tap("attention_norm", _norm(block.attention_norm, residual, config))
    context = _attention(block.attention, entering, config, layer, tap)  # [T, M]
    residual = residual + context  # the residual link
    if normed and after:
        residual = tap("attention_norm", _norm(block.attention_norm, residual, config))
    residual = tap("residual_mid", residual)

    if block.feed_forward is not None:
        assert block.feed_forward_norm is not None
        entering = residual
        if normed and before:
            entering = tap("feed_forward_norm", _norm(block.feed_forward_norm, residual, config))
        residual = residual + _feed_forward(block.feed_forward, entering, config, tap)
        if normed and after:
            residual = tap("feed_forward_norm", _norm(block.feed_forward_norm, residual, config))
    return tap("residual_post", residual)


def _attention(
    attention: Attention, x: Tensor, config: ModelConfig, layer: int, tap: Tap
) -> Tensor:
    """vector_with_context(i): the sum of the earlier values, each by how related its word is."""
    query = tap("attention.query", _heads(_linear(attention.query, x), config.n_heads))  # [H, T, D]
    key = tap("attention.key", _heads(_linear(attention.key, x), config.kv_heads))  # [K, S, D]
    value = tap("attention.value", _heads(_linear(attention.value, x), config.kv_heads))
    if config.query_key_norm:
        assert attention.query_norm is not None
        assert attention.key_norm is not None
        epsilon = config.norm_epsilon
        query = tap("attention.query_norm", _rms(attention.query_norm, query, epsilon))
        key = tap("attention.key_norm", _rms(attention.key_norm, key, epsilon))
    if config.position == "rotary":
        query = tap("attention.query_rotated", _rotate(query, config))
        key = tap("attention.key_rotated", _rotate(key, config))

    sharing = config.n_heads // config.kv_heads  # heads that share one key/value head
    key = key.repeat_interleave(sharing, dim=0)  # [H, S, D]
    value = value.repeat_interleave(sharing, dim=0)  # [H, S, D]

    scores = tap("attention.scores", query @ key.transpose(-1, -2))  # [H, T, S]
    scores = _scaled(scores, config, tap)
    scores = tap("attention.masked_scores", _masked(scores, config.window(layer)))
    weights = tap("attention.attention_weights", _softmax(scores))  # [H, T, S], rows sum to 1
    context = tap("attention.context", weights @ value)  # [H, T, D]

    joined = context.transpose(0, 1).reshape(len(x), -1)  # [T, H·D]
    output = joined if attention.output is None else _linear(attention.output, joined)
    return tap("attention.output", output)  # [T, M]


def _scaled(scores: Tensor, config: ModelConfig, tap: Tap) -> Tensor:
    """Long vectors have large dot products; dividing keeps the softmax from saturating."""
    if not config.scaled_scores and config.attention_soft_cap is None:
        return scores
    scores = scores * config.score_scale
    if config.attention_soft_cap is not None:
        scores = _soft_cap(scores, config.attention_soft_cap)
    return tap("attention.scaled_scores", scores)


def _masked(scores: Tensor, window: int | None) -> Tensor:
    """A token looks at itself and at those before it (within the window), never at a later one."""
    tokens = scores.shape[-1]
    place = torch.arange(tokens, device=scores.device)
    back = place.unsqueeze(1) - place  # [T, S]: how far key s lies behind query t
    hidden = back < 0
    if window is not None:
        hidden = hidden | (back >= window)
    return scores.masked_fill(hidden, -math.inf)


def _feed_forward(layer: FeedForward, x: Tensor, config: ModelConfig, tap: Tap) -> Tensor:
    """down(act(up(x))), or down(act(gate(x)) · up(x)) when gated."""
    activation = ACTIVATIONS[config.feed_forward]
    if layer.gate is not None:
        gate = tap("feed_forward.gate", _linear(layer.gate, x))  # [T, F]
        up = tap("feed_forward.up", _linear(layer.up, x))  # [T, F]
        hidden = activation(gate) * up
    else:
        hidden = activation(tap("feed_forward.up", _linear(layer.up, x)))
    hidden = tap("feed_forward.hidden", hidden)  # [T, F]
    return tap("feed_forward.output", _linear(layer.down, hidden))  # [T, M]


def _linear(layer: Linear, x: Tensor) -> Tensor:
    """y = x Wᵀ + b."""
    y = x @ layer.weight.float().T
    return y if layer.bias is None else y + layer.bias.float()


def _heads(x: Tensor, heads: int) -> Tensor:
    """[T, heads·D] → [heads, T, D]."""
    return x.reshape(len(x), heads, -1).transpose(0, 1)


def _softmax(x: Tensor) -> Tensor:
    """exp(x) / Σ exp(x), with the largest taken off first so that nothing overflows."""
    powers = (x - x.max(dim=-1, keepdim=True).values).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def _soft_cap(x: Tensor, cap: float) -> Tensor:
    """cap · tanh(x / cap): no value beyond ±cap."""
    return cap * torch.tanh(x / cap)


def _norm(norm: torch.nn.Module, x: Tensor, config: ModelConfig) -> Tensor:
    """Layer norm or RMS norm, as the model has it."""
    if config.norm == "rms":
        return _rms(norm, x, config.norm_epsilon)
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    y = centred / (variance + config.norm_epsilon).sqrt() * _weight(norm)
    return y if norm.bias is None else y + norm.bias.float()  # type: ignore[operator]


def _rms(norm: torch.nn.Module, x: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + ε) · weight."""
    return x / (x.square().mean(dim=-1, keepdim=True) + epsilon).sqrt() * _weight(norm)


def _weight(norm: torch.nn.Module) -> Tensor:
    assert isinstance(norm.weight, Tensor)
    return norm.weight.float()


def _sinusoidal(places: Tensor, width: int) -> Tensor:
    """sin and cos of the place at ever slower rates, in turn (Vaswani et al. 2017)."""
    columns = []
    for dimension in range(width):
        rate = 10000.0 ** (-(dimension - dimension % 2) / width)
        wave = torch.sin if dimension % 2 == 0 else torch.cos
        columns.append(wave(places.float() * rate))
    return torch.stack(columns, dim=-1)  # [T, M]


def _rotate(x: Tensor, config: ModelConfig) -> Tensor:
    """Turn each pair (d, d + D/2) of `x` [H, T, D] by place × rate."""
    rates, scale = rotary_rates(config)
    places = torch.arange(x.shape[1], device=x.device).float()  # [T]
    angles = places.unsqueeze(1) * rates.to(x.device)  # [T, D/2]
    cos, sin = angles.cos() * scale, angles.sin() * scale
    first, second = x.chunk(2, dim=-1)  # [H, T, D/2] each
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
