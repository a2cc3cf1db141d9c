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
from nextword.model.positions import check_learned, rotary_rates

Tap = Callable[[str, Tensor], Tensor]
Attend = Callable[[Tensor, Tensor, Tensor, Tap], Tensor]  # query, key, value → context


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
    residual = word_vectors(decoder, token_ids, tap)  # [T, M]
    for layer, block in enumerate(decoder.blocks):
        assert isinstance(block, Block)
        residual = run_block(block, residual, config, layer, within(layer, tap))  # [T, M]
    logits = read_off(decoder, residual, tap)  # [T, V]
    tap("probabilities", softmax(logits))
    return logits


def within(layer: int, tap: Tap) -> Tap:
    """The tap for a block, which calls its values by the part of the name after `blocks.N.`."""
    return lambda name, value: tap(f"blocks.{layer}.{name}", value)


def word_vectors(decoder: Decoder, token_ids: Tensor, tap: Tap = untouched) -> Tensor:
    """word_vector_i = embedding of the token + encoding of the position i, [T, M].

    With token shift, shares of the embeddings of the words just before are added, too.
    """
    config = decoder.config
    vectors = tap("token_embedding", decoder.token_embedding.weight[token_ids].float())  # [T, M]
    if decoder.token_shift is not None:
        shares = decoder.token_shift.weight.float()  # [K, M]
        vectors = vectors + tap("token_shift", _from_earlier(shares, vectors))
    places = torch.arange(len(token_ids), device=token_ids.device)  # [T]
    if config.position == "sinusoidal":
        vectors = vectors + tap("position", _sinusoidal(places, config.d_model))
    if config.position == "learned":
        assert decoder.position_embedding is not None
        check_learned(config, len(token_ids) - 1)
        vectors = vectors + tap("position", decoder.position_embedding.weight[places].float())
    return tap("residual", vectors)


def _from_earlier(shares: Tensor, vectors: Tensor) -> Tensor:
    """token_shift_i = Σ_k share_k ⊙ embedding_{i−k}; words before the first one add nothing."""
    added = torch.zeros_like(vectors)  # [T, M]
    for back, share in enumerate(shares, start=1):
        earlier = torch.zeros_like(vectors)
        earlier[back:] = vectors[: max(0, len(vectors) - back)]
        added = added + share * earlier
    return added


def read_off(decoder: Decoder, residual: Tensor, tap: Tap = untouched) -> Tensor:
    """The logits that the last norm and the fully connected layer make of a residual [T, M]."""
    config = decoder.config
    if config.final_norm:
        residual = tap("final_norm", norm(decoder.final_norm, residual, config))  # [T, M]
    logits = linear(decoder.unembedding, residual)  # [T, V]: the fully connected layer
    if config.logit_soft_cap is not None:
        logits = soft_cap(logits, config.logit_soft_cap)
    return tap("logits", logits)


def run_block(
    block: Block,
    residual: Tensor,
    config: ModelConfig,
    layer: int,
    tap: Tap,
    *,
    places: Tensor | None = None,
    attend: Attend | None = None,
) -> Tensor:
    """Masked self-attention, then the feed-forward if there is one, each with a residual link.

    Args:
        block: whose weights are used.
        residual: [T, M], what enters.
        config, layer: the model's, and the block's number.
        tap: called by the names of the points of a block.
        places: [T], where the rows of `residual` stand; None: 0 … T - 1.
        attend: how context is found; None: `look_back` over the rows themselves.

    Returns:
        [T, M], what leaves.
    """
    residual = tap("residual_pre", residual)
    before, after = config.norm_placement == "before", config.norm_placement == "after"
    normed = config.norm != "none"

    entering = residual
    if normed and before:
        entering = tap("attention_norm", norm(block.attention_norm, residual, config))
    found = _attention(block.attention, entering, config, layer, tap, places, attend)  # [T, M]
    residual = residual + found  # the residual link
    if normed and after:
        residual = tap("attention_norm", norm(block.attention_norm, residual, config))
    residual = tap("residual_mid", residual)

    if block.feed_forward is not None:
        assert block.feed_forward_norm is not None
        entering = residual
        if normed and before:
            entering = tap("feed_forward_norm", norm(block.feed_forward_norm, residual, config))
        residual = residual + _feed_forward(block.feed_forward, entering, config, tap)
        if normed and after:
            residual = tap("feed_forward_norm", norm(block.feed_forward_norm, residual, config))
    return tap("residual_post", residual)


def _attention(
    attention: Attention,
    x: Tensor,
    config: ModelConfig,
    layer: int,
    tap: Tap,
    places: Tensor | None,
    attend: Attend | None,
) -> Tensor:
    """vector_with_context(i): the sum of the earlier values, each by how related its word is."""
    query, key, value = make_query_key_value(attention, x, config, tap, places=places)
    if attend is None:
        context = look_back(query, key, value, config, layer, tap)  # [H, T, D]
    else:
        context = attend(query, key, value, tap)
    joined = context.transpose(0, 1).reshape(len(x), -1)  # [T, H·D]
    output = joined if attention.output is None else linear(attention.output, joined)
    return tap("attention.output", output)  # [T, M]


def make_query_key_value(
    attention: Attention, x: Tensor, config: ModelConfig, tap: Tap, *, places: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """What each token asks [H, T, D], is found by and passes on [K, S, D], as they are used."""
    query = tap("attention.query", _heads(linear(attention.query, x), config.n_heads))  # [H, T, D]
    key = tap("attention.key", _heads(linear(attention.key, x), config.kv_heads))  # [K, S, D]
    value = tap("attention.value", _heads(linear(attention.value, x), config.kv_heads))
    if config.query_key_norm:
        assert attention.query_norm is not None
        assert attention.key_norm is not None
        epsilon = config.norm_epsilon
        query = tap("attention.query_norm", _rms(attention.query_norm, query, epsilon))
        key = tap("attention.key_norm", _rms(attention.key_norm, key, epsilon))
    if config.position == "rotary":
        places = torch.arange(len(x), device=x.device) if places is None else places
        query = tap("attention.query_rotated", _rotate(query, config, places))
        key = tap("attention.key_rotated", _rotate(key, config, places))
    return query, key, value


def look_back(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    config: ModelConfig,
    layer: int,
    tap: Tap,
    *,
    places: Tensor | None = None,
) -> Tensor:
    """The context of each query: the values before it, each times how related its word is.

    Args:
        query: [H, T, D]; key, value: [K, S, D], H a multiple of K: so many heads share one.
        config, layer: the model's, and the number of the layer, whose window it is.
        tap: called by the names of the points of a block.
        places: [T], where the queries stand among the keys; None: 0 … T - 1.

    Returns:
        [H, T, D].
    """
    if places is None:
        places = torch.arange(query.shape[1], device=query.device)
    sharing = len(query) // len(key)  # heads that share one key/value head
    key = key.repeat_interleave(sharing, dim=0)  # [H, S, D]
    value = value.repeat_interleave(sharing, dim=0)  # [H, S, D]

    scores = tap("attention.scores", query @ key.transpose(-1, -2))  # [H, T, S]
    scores = _scaled(scores, config, tap)
    scores = tap("attention.masked_scores", _masked(scores, places, config.window(layer)))
    weights = tap("attention.attention_weights", softmax(scores))  # [H, T, S], rows sum to 1
    return tap("attention.context", weights @ value)  # [H, T, D]


def _scaled(scores: Tensor, config: ModelConfig, tap: Tap) -> Tensor:
    """Long vectors have large dot products; dividing keeps the softmax from saturating."""
    if not config.scaled_scores and config.attention_soft_cap is None:
        return scores
    scores = scores * config.score_scale
    if config.attention_soft_cap is not None:
        scores = soft_cap(scores, config.attention_soft_cap)
    return tap("attention.scaled_scores", scores)


def _masked(scores: Tensor, places: Tensor, window: int | None) -> Tensor:
    """A token looks at itself and at those before it (within the window), never at a later one."""
    keys = torch.arange(scores.shape[-1], device=scores.device)  # [S]
    back = places.unsqueeze(1) - keys  # [T, S]: how far key s lies behind query t
    hidden = back < 0
    if window is not None:
        hidden = hidden | (back >= window)
    return scores.masked_fill(hidden, -math.inf)


def _feed_forward(layer: FeedForward, x: Tensor, config: ModelConfig, tap: Tap) -> Tensor:
    """down(act(up(x))), or down(act(gate(x)) · up(x)) when gated."""
    activation = ACTIVATIONS[config.feed_forward]
    if layer.gate is not None:
        gate = tap("feed_forward.gate", linear(layer.gate, x))  # [T, F]
        up = tap("feed_forward.up", linear(layer.up, x))  # [T, F]
        hidden = activation(gate) * up
    else:
        hidden = activation(tap("feed_forward.up", linear(layer.up, x)))
    hidden = tap("feed_forward.hidden", hidden)  # [T, F]
    return tap("feed_forward.output", linear(layer.down, hidden))  # [T, M]


def linear(layer: Linear, x: Tensor) -> Tensor:
    """y = x Wᵀ + b."""
    y = x @ layer.weight.float().T
    return y if layer.bias is None else y + layer.bias.float()


def _heads(x: Tensor, heads: int) -> Tensor:
    """[T, heads·D] → [heads, T, D]."""
    return x.reshape(len(x), heads, -1).transpose(0, 1)


def softmax(x: Tensor) -> Tensor:
    """exp(x) / Σ exp(x), with the largest taken off first so that nothing overflows."""
    powers = (x - x.max(dim=-1, keepdim=True).values).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def soft_cap(x: Tensor, cap: float) -> Tensor:
    """cap · tanh(x / cap): no value beyond ±cap."""
    return cap * torch.tanh(x / cap)


def norm(layer: torch.nn.Module, x: Tensor, config: ModelConfig) -> Tensor:
    """Layer norm or RMS norm, as the model has it."""
    if config.norm == "rms":
        return _rms(layer, x, config.norm_epsilon)
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    y = centred / (variance + config.norm_epsilon).sqrt() * _weight(layer)
    return y if layer.bias is None else y + layer.bias.float()  # type: ignore[operator]


def _rms(layer: torch.nn.Module, x: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + ε) · weight."""
    return x / (x.square().mean(dim=-1, keepdim=True) + epsilon).sqrt() * _weight(layer)


def _weight(layer: torch.nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight.float()


def _sinusoidal(places: Tensor, width: int) -> Tensor:
    """sin and cos of the place at ever slower rates, in turn (Vaswani et al. 2017)."""
    columns = []
    for dimension in range(width):
        rate = 10000.0 ** (-(dimension - dimension % 2) / width)
        wave = torch.sin if dimension % 2 == 0 else torch.cos
        columns.append(wave(places.float() * rate))
    return torch.stack(columns, dim=-1)  # [T, M]


def _rotate(x: Tensor, config: ModelConfig, places: Tensor) -> Tensor:
    """Turn each pair (d, d + D/2) of `x` [H, T, D] by place × rate."""
    rates, scale = rotary_rates(config)
    angles = places.float().unsqueeze(1) * rates.to(x.device)  # [T, D/2]
    cos, sin = angles.cos() * scale, angles.sin() * scale
    first, second = x.chunk(2, dim=-1)  # [H, T, D/2] each
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
