"""Masked self-attention: each token looks back through query, key and value.

Two kernels compute the same thing: torch's fused one, and the explicit chain scores → mask →
softmax → weights × values. `choose_kernel` is the one place that decides, from measurements.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.config import ModelConfig
from nextword.kernels import ops
from nextword.model.kv_cache import KeyValueCache
from nextword.model.linear import Linear
from nextword.model.norm import RMSNorm, rms_norm
from nextword.model.positions import Rotation, rotate

Kernel = Literal["fused", "explicit"]
EXPLICIT_KEYS_TRAINING = 512  # bfloat16 on a CPU; measured, see docs/lab-log.md
EXPLICIT_KEYS_READING = 256


@dataclass(frozen=True)
class Layout:
    """Where the tokens of one forward stand and what they may look at; made once, used by all.

    Attributes:
        rotation: cos and sin for rotary position, else None.
        kernel: which attention kernel works this forward out.
        masks: for each window in use, what is added to the scores: 0 where a query may look at a
            key, minus infinity elsewhere, [T, S] or [B, 1, T, S]; None where the kernel needs no
            mask (T = 1, or it masks plain causality itself).
        documents: the document of each key, [B, S]; None: they are all of one.
        cache: earlier keys and values, or None.
        dropout: share of attention weights and outputs dropped, 0 outside training.
        whole: all blocks are gone through in one call (`model/whole.py`), which needs no masks.
    """

    rotation: Rotation | None
    documents: Tensor | None
    kernel: Kernel = "fused"
    masks: dict[int | None, Tensor | None] = field(default_factory=dict)
    cache: KeyValueCache | None = None
    dropout: float = 0.0
    whole: bool = False


class Attention(nn.Module):
    """Masked self-attention with any number of heads, as `config` has it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.config = config
        self.layer = layer
        width, head = config.d_model, config.head_width
        joined, shared = config.n_heads * head, config.kv_heads * head
        self.query = Linear(width, joined, bias=config.attention_bias)
        self.key = Linear(width, shared, bias=config.attention_bias)
        self.value = Linear(width, shared, bias=config.attention_bias)
        self.query_norm = self.key_norm = None
        if config.query_key_norm:
            self.query_norm = RMSNorm(head, epsilon=config.norm_epsilon)
            self.key_norm = RMSNorm(head, epsilon=config.norm_epsilon)
        self.output = None
        if config.output_projection:
            self.output = Linear(joined, width, bias=config.output_bias)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """`x` [B, T, M] → [B, T, M], what is added to the residual."""
        make = self._make_together if self.training else self._make_apart
        query, key, value = make(x, layout.rotation)  # [B, H, T, D], 2 × [B, K, T, D]
        if layout.cache is not None:
            key, value = layout.cache.append(self.layer, key, value)  # [B, K, S, D]
            key, value = key.to(query.dtype), value.to(query.dtype)
        context = attend(
            query,
            key,
            value,
            kernel=layout.kernel,
            mask=layout.masks[self.config.window(self.layer)],
            scale=self.config.score_scale,
            soft_cap=self.config.attention_soft_cap,
            dropout=layout.dropout,
        )
        context = context.transpose(1, 2).flatten(2)  # [B, T, H·D]
        return context if self.output is None else self.output(context)

    def _make_apart(self, x: Tensor, turn: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Query [B, H, T, D], key and value [B, K, T, D], each through its own matrix."""
        query = self._split(self.query(x), self.config.n_heads)
        key = self._split(self.key(x), self.config.kv_heads)
        value = self._split(self.value(x), self.config.kv_heads)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        return query, key, value

    def _make_together(self, x: Tensor, turn: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """The same through one matrix, that of all three joined: fewer, larger products.

        Joining copies the weights, which pays for the many positions of training only.
        """
        heads, shared = self.config.n_heads, self.config.kv_heads
        layers = (self.query, self.key, self.value)
        weight = torch.cat([layer.weight for layer in layers]).to(x.dtype)  # [(H + 2K)·D, M]
        bias = None
        if self.query.bias is not None:
            bias = torch.cat([layer.bias for layer in layers]).to(x.dtype)
        product = F.linear(x, weight, bias)  # [B, T, (H + 2K)·D]
        if self._is_changed(turn) and ops.reaches(product):
            return self._deal_out(product, turn)
        joined = self._split(product, heads + 2 * shared)  # [B, H + 2K, T, D]
        looking, value = torch.split(joined, [heads + shared, shared], dim=1)
        if self.query_norm is not None and self.key_norm is not None:
            scale = torch.cat(
                [
                    self.query_norm.weight.expand(heads, 1, -1),
                    self.key_norm.weight.expand(shared, 1, -1),
                ]
            )  # [H + K, 1, D]
            looking = rms_norm(looking, scale, self.config.norm_epsilon)
        if turn is not None:
            looking = rotate(looking, turn)
        query, key = torch.split(looking, [heads, shared], dim=1)
        return query, key, value

    def _is_changed(self, turn: Rotation | None) -> bool:
        """Whether queries and keys are normed or turned, in heads of whole pairs of dimensions."""
        changed = self.query_norm is not None or turn is not None
        return changed and self.config.head_width % 2 == 0

    def _deal_out(self, joined: Tensor, turn: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value out of `joined` [B, T, (H + 2K)·D], in one pass."""
        query_weight = None if self.query_norm is None else self.query_norm.weight.float()
        key_weight = None if self.key_norm is None else self.key_norm.weight.float()
        cos, sin = (None, None) if turn is None else turn
        heads, shared, epsilon = self.config.n_heads, self.config.kv_heads, self.config.norm_epsilon
        return ops.DealHeadsStep.apply(  # type: ignore[no-untyped-call,no-any-return]
            joined, query_weight, key_weight, cos, sin, heads, shared, epsilon
        )

    def _split(self, x: Tensor, heads: int) -> Tensor:
        """[B, T, heads·D] → [B, heads, T, D]."""
        return x.view(*x.shape[:2], heads, self.config.head_width).transpose(1, 2)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    kernel: Kernel,
    mask: Tensor | None,
    scale: float,
    soft_cap: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """The weighted sum of the values: softmax(query·key · scale + mask) × value.

    Args:
        query: [B, H, T, D]; key, value: [B, K, S, D] with H a multiple of K.
        kernel: which one computes it; the fused one has no soft cap.
        mask: 0 or minus infinity, [T, S] or [B, 1, T, S]; None: T = 1, or the fused kernel's
            own causal mask with T = S.
        scale: what query·key is multiplied by.
        soft_cap: c · tanh(scores / c) before the mask, if given.
        dropout: share of the weights set to 0.

    Returns:
        context [B, H, T, D].
    """
    if kernel == "explicit":
        return _explicit(query, key, value, mask, scale, soft_cap, dropout)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None and query.shape[2] > 1,
        dropout_p=dropout,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def choose_kernel(
    *, device: str, dtype: torch.dtype, keys: int, training: bool, soft_cap: float | None
) -> Kernel:
    """The faster kernel, as measured by benchmarks/attention_kernels.py.

    The fused kernel has no soft cap. On a CPU its bfloat16 backward pass is slow, so short
    sequences are worked out explicitly there; everywhere else the fused one wins.
    """
    if soft_cap is not None:
        return "explicit"
    if device == "cpu" and dtype == torch.bfloat16:
        limit = EXPLICIT_KEYS_TRAINING if training else EXPLICIT_KEYS_READING
        return "explicit" if keys <= limit else "fused"
    return "fused"


def _explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    soft_cap: float | None,
    dropout: float,
) -> Tensor:
    """The chain written out. Heads that share a key/value head are laid side by side in T."""
    batch, heads, tokens, width = query.shape
    shared, keys = key.shape[1], key.shape[2]
    query = query.reshape(batch * shared, -1, width)  # [B·K, H/K·T, D]
    key = key.reshape(batch * shared, keys, width).transpose(1, 2)  # [B·K, D, S]
    if mask is not None and mask.dim() == 2 and soft_cap is None:
        added = mask.repeat(heads // shared, 1)  # [H/K·T, S]: one pass for scale and mask
        scores = torch.baddbmm(added, query, key, alpha=scale)
    else:
        scores = torch.bmm(query * scale, key)
        if soft_cap is not None:
            scores = soft_cap * torch.tanh(scores / soft_cap)
        if mask is not None:
            scores = (scores.view(batch, heads, tokens, keys) + mask).view_as(scores)
    weights = scores.softmax(dim=-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    context = torch.bmm(weights, value.reshape(batch * shared, keys, width))  # [B·K, H/K·T, D]
    return context.view(batch, heads, tokens, width)


def make_mask(
    tokens: int,
    keys: int,
    *,
    kernel: Kernel,
    window: int | None = None,
    query_documents: Tensor | None = None,
    key_documents: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor | None:
    """What is added to the scores so that a query sees itself and what is before it, only.

    Args:
        tokens: T queries, the last of the S `keys`.
        kernel: the fused one masks plain causality itself.
        window: tokens a query looks back on, itself included; None: all.
        query_documents, key_documents: [B, T] and [B, S]; a query sees its own document only.

    Returns:
        0 or minus infinity, [T, S] or [B, 1, T, S]; None where no mask is needed.
    """
    in_window = window is not None and window < keys
    causal_by_kernel = tokens == 1 or (kernel == "fused" and tokens == keys)
    if query_documents is None and not in_window and causal_by_kernel:
        return None
    visible = torch.ones(tokens, keys, dtype=torch.bool, device=device).tril(keys - tokens)
    if window is not None and in_window:
        visible &= ~visible.tril(keys - tokens - window)
    if query_documents is not None and key_documents is not None:
        same = query_documents.unsqueeze(-1) == key_documents.unsqueeze(-2)  # [B, T, S]
        visible = (visible & same).unsqueeze(1)  # [B, 1, T, S]
    mask = torch.zeros(visible.shape, dtype=dtype, device=device)
    return mask.masked_fill_(~visible, -math.inf)
