"""All blocks in one call, and the loss in another, where a thread learns alone on a processor.

What is handed to fused_blocks.py and fused_loss.py of kernels/, and when: their C knows most
architectures and not all. Blocks that it does not know go through `Attention` and `FeedForward`,
and all do where it cannot be used. Hooks on a block, on what is in it, on what follows and on a
tied embedding are not called on this way.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from nextword.config import ModelConfig
from nextword.kernels import fused_blocks
from nextword.kernels.block_args import BlockSizes
from nextword.kernels.c_structs import ACTIVATIONS
from nextword.kernels.fused_blocks import BlocksStep, KeptBlocks
from nextword.kernels.fused_loss import LossStep
from nextword.kernels.tied_embedding import TiedEmbedding
from nextword.model.positions import Rotation

if TYPE_CHECKING:
    from nextword.model.decoder import Block, Decoder

NOTHING = (None,) * 8  # in place of the weights of a norm and a feed-forward


def exists(config: ModelConfig, dtype: torch.dtype) -> bool:
    """Whether there is such a way on this machine for this architecture, computed in `dtype`."""
    return has_c(dtype) and knows(config)


def has_c(dtype: torch.dtype) -> bool:
    """Whether there is such a way on this machine for any architecture."""
    return dtype == torch.float32 and fused_blocks.exist()


def reaches(config: ModelConfig, weights: Iterable[Tensor], dtype: torch.dtype) -> bool:
    """Whether it is to be taken now: where there is one, and a thread of its own is learning."""
    if torch.compiler.is_compiling():  # asked first: what follows cannot be compiled
        return False
    return exists(config, dtype) and fused_blocks.reach(weights)


def knows(config: ModelConfig) -> bool:
    """Whether there is C for every part of a block of this architecture."""
    paired = config.head_width % 2 == 0
    changed = config.query_key_norm or config.position == "rotary"
    activated = config.feed_forward == "none" or config.feed_forward in ACTIVATIONS
    before = config.norm_placement == "before" or config.norm == "none"
    capped = config.attention_soft_cap is not None
    return before and activated and (paired or not changed) and config.n_layers > 0 and not capped


def through(
    stack: Iterable[nn.Module],
    residual: Tensor,
    *,
    config: ModelConfig,
    turn: Rotation | None,
    documents: Tensor | None,
    bits: int,
    kept: KeptBlocks | None,
) -> Tensor:
    """The residual [B, T, M] behind the last block; the rest as in `Decoder` and its forward."""
    cos, sin = (None, None) if turn is None else turn
    if documents is not None:
        documents = documents.long().expand(residual.shape[:2])
    weights = [] if kept is not None else weights_of(stack)
    sizes = _sizes(config, bits)
    return BlocksStep.apply(sizes, kept, residual, cos, sin, documents, *weights)  # type: ignore[no-untyped-call,no-any-return]


def embed(decoder: "Decoder", token_ids: Tensor, kept: KeptBlocks | None) -> Tensor:
    """The vectors [B, T, M] of words [B, T]; the rest as in `Decoder.residual`."""
    table = decoder.token_embedding
    if kept is None or not _is_tied(decoder.config):
        return table(token_ids)  # type: ignore[no-any-return]
    return TiedEmbedding.apply(token_ids, table.weight, kept)  # type: ignore[no-untyped-call,no-any-return]


def has_loss(config: ModelConfig) -> bool:
    """Whether there is C for what comes after the blocks of this architecture."""
    return config.logit_soft_cap is None


def _is_tied(config: ModelConfig) -> bool:
    return config.tied_embeddings and has_loss(config)


def loss(
    decoder: "Decoder",
    residual: Tensor,
    targets: Tensor,
    *,
    known: float,
    smoothing: float = 0.0,
    kept: KeptBlocks | None = None,
) -> Tensor:
    """The sum of -log p(next word) behind the last block, divided by `known`.

    Args:
        decoder: of an architecture that `has_loss`.
        residual, targets, known, smoothing: as in `LossStep`.
        kept: what its residual was worked out with.
    """
    config, matrix = decoder.config, decoder.unembedding
    norm = config.norm if config.final_norm else "none"
    weights = (*_of_norm(decoder.final_norm), matrix.weight, matrix.bias)
    settings = norm, config.norm_epsilon, smoothing, known, decoder.short_bits
    tied = kept is not None and _is_tied(config)
    return LossStep.apply(residual, *weights, targets, *settings, kept, tied)  # type: ignore[no-untyped-call,no-any-return]


@functools.lru_cache(maxsize=8)
def _sizes(config: ModelConfig, bits: int) -> BlockSizes:
    feeds = config.feed_forward != "none"
    return BlockSizes(
        norm=config.norm,
        heads=config.n_heads,
        shared=config.kv_heads,
        head_width=config.head_width,
        windows=tuple(config.window(layer) or 0 for layer in range(config.n_layers)),
        scale=config.score_scale,
        epsilon=config.norm_epsilon,
        activation=config.feed_forward if feeds else None,
        inner=config.ff_width if feeds else 0,
        gated=config.gated,
        bits=bits,
    )


def weights_of(stack: Iterable[nn.Module]) -> list[Tensor | None]:
    """The blocks' weights, as `BlocksStep` takes them."""
    return [weight for block in stack for weight in _weights(cast("Block", block))]


def _weights(block: "Block") -> Iterator[Tensor | None]:
    """A block's weights, in the order of `BlocksStep`."""
    attention, feed_forward = block.attention, block.feed_forward
    yield from _of_norm(block.attention_norm)
    yield from _of_matrices(attention.query, attention.key, attention.value, attention.output)
    yield None if attention.query_norm is None else attention.query_norm.weight
    yield None if attention.key_norm is None else attention.key_norm.weight
    if feed_forward is None:
        yield from NOTHING
    else:
        yield from _of_norm(block.feed_forward_norm)
        yield from _of_matrices(feed_forward.gate, feed_forward.up, feed_forward.down)


def _of_matrices(*matrices: nn.Linear | None) -> Iterator[Tensor | None]:
    yield from (None if matrix is None else matrix.weight for matrix in matrices)
    yield from (None if matrix is None else matrix.bias for matrix in matrices)


def _of_norm(norm: nn.Module | None) -> tuple[Tensor | None, Tensor | None]:
    """A norm's weight and bias, as far as it has them."""
    return getattr(norm, "weight", None), getattr(norm, "bias", None)
