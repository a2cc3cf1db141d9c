"""The decoder: one stack for every architecture that a ModelConfig can describe."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.config import ModelConfig
from nextword.kernels.fused_blocks import KeptBlocks
from nextword.model import whole
from nextword.model.attention import Attention, Layout, choose_kernel, make_mask
from nextword.model.feed_forward import FeedForward
from nextword.model.initialise import initialise
from nextword.model.kv_cache import KeyValueCache
from nextword.model.linear import Linear
from nextword.model.norm import make_norm
from nextword.model.positions import check_learned, rotation, sinusoidal
from nextword.model.token_shift import TokenShift


class Block(nn.Module):
    """Attention, then the feed-forward if there is one, each added to the residual."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.norm_after = config.norm_placement == "after"
        self.attention_norm = make_norm(config)
        self.attention = Attention(config, layer)
        self.feed_forward_norm: nn.Module | None = None
        self.feed_forward: FeedForward | None = None
        if config.feed_forward != "none":
            self.feed_forward_norm = make_norm(config)
            self.feed_forward = FeedForward(config)

    def forward(self, residual: Tensor, layout: Layout, dtype: torch.dtype) -> Tensor:
        """`residual` [B, T, M] → [B, T, M]; `dtype` is what the sublayers compute in."""
        norm, attention = self.attention_norm, self.attention
        if self.norm_after:
            added = F.dropout(attention(residual.to(dtype), layout), layout.dropout)
            residual = norm(residual + added)
        else:
            added = attention(norm(residual).to(dtype), layout)
            residual = residual + F.dropout(added, layout.dropout)
        if self.feed_forward is None or self.feed_forward_norm is None:
            return residual
        norm, feed_forward = self.feed_forward_norm, self.feed_forward
        if self.norm_after:
            added = F.dropout(feed_forward(residual.to(dtype)), layout.dropout)
            return norm(residual + added)  # type: ignore[no-any-return]
        added = feed_forward(norm(residual).to(dtype))
        return residual + F.dropout(added, layout.dropout)


class Decoder(nn.Module):
    """Token ids to logits.

    Args:
        config: the architecture.
        seed: of the first weights.

    Attributes:
        compute_dtype: what the matrix products are computed in; the weights keep theirs.
        short_bits: of the whole numbers that blocks and loss, in one call each, multiply: 16 or 8;
            0: floats.
        dropout: share dropped while `training`; 0 by default.
    """

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.short_bits = 0
        self.dropout = 0.0
        self.token_embedding = _embedding(config.vocab_size, config.d_model)
        self.token_shift: TokenShift | None = None
        if config.token_shift:
            self.token_shift = TokenShift(config.token_shift, config.d_model)
        self.position_embedding: nn.Embedding | None = None
        if config.position == "learned":
            self.position_embedding = _embedding(config.context_length, config.d_model)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.final_norm = make_norm(config) if config.final_norm else nn.Identity()
        self.unembedding = Linear(config.d_model, config.vocab_size, bias=config.unembedding_bias)
        if config.tied_embeddings:
            self.unembedding.weight = self.token_embedding.weight
        initialise(self, config, seed=seed)

    @property
    def n_parameters(self) -> int:
        """How many numbers the decoder learns; tied ones count once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def precision(self) -> str:
        """What it computes in while it learns: float32, bfloat16, int16 or int8."""
        bits = self.short_bits
        return f"int{bits}" if bits else str(self.compute_dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.token_embedding.weight.device

    def forward(
        self,
        token_ids: Tensor,
        *,
        cache: KeyValueCache | None = None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """The logits of the next token at every position.

        Args:
            token_ids: [B, T] int64.
            cache: earlier keys and values; the new ones are appended and its length moves on.
            positions: [B, T] place of each token; None: counted from the cache's length, or from
                0 within each document.
            documents: [B, T] whole numbers; tokens see only earlier ones with the same number.
            last_only: leave out the logits of all positions but the last, T = 1 in the result.

        Returns:
            logits [B, T, V] in `compute_dtype`.

        Raises:
            ContextError: more tokens than learned positions or than the cache has room for.
        """
        residual = self.residual(token_ids, cache=cache, positions=positions, documents=documents)
        if last_only:
            residual = residual[:, -1:]  # [B, 1, M]
        return self.logits(residual)

    def residual(
        self,
        token_ids: Tensor,
        *,
        cache: KeyValueCache | None = None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        kept: KeptBlocks | None = None,
    ) -> Tensor:
        """The residual behind the last block, [B, T, M].

        Args:
            token_ids, cache, positions, documents: as in `forward`.
            kept: where the gradients of the blocks' weights are left if the blocks are gone
                through in one call.

        Raises:
            ContextError: as in `forward`.
        """
        if positions is None:
            self._check_length(token_ids.shape[1] + (0 if cache is None else cache.length))
            positions = self._positions(token_ids, cache, documents)  # [T] or [B, T]
        elif self.position_embedding is not None and positions.numel():
            self._check_length(int(positions.max()) + 1)
        layout = self._layout(token_ids, cache, positions, documents, kept)
        residual = self._embed(token_ids, positions, layout, kept)  # [B, T, M]
        if layout.whole and kept is not None:
            residual = kept.enter(residual)
        residual = F.dropout(residual, layout.dropout)
        residual = self._through_blocks(residual, layout, kept)
        if cache is not None:
            cache.advance(token_ids.shape[1])
        return residual

    def logits(self, residual: Tensor) -> Tensor:
        """The logits [B, T, V] in `compute_dtype` of a residual [B, T, M]."""
        logits = self.unembedding(self.final_norm(residual).to(self.compute_dtype))  # [B, T, V]
        if self.config.logit_soft_cap is not None:
            cap = self.config.logit_soft_cap
            logits = cap * torch.tanh(logits / cap)
        return logits  # type: ignore[no-any-return]

    def _check_length(self, tokens: int) -> None:
        if self.position_embedding is not None:
            check_learned(self.config, tokens - 1)

    def _positions(
        self, token_ids: Tensor, cache: KeyValueCache | None, documents: Tensor | None
    ) -> Tensor:
        start = 0 if cache is None else cache.length
        index = torch.arange(start, start + token_ids.shape[1], device=token_ids.device)  # [T]
        if documents is None or start:
            return index
        first = torch.ones_like(documents, dtype=torch.bool)
        first[:, 1:] = documents[:, 1:] != documents[:, :-1]
        starts = torch.where(first, index, 0).cummax(dim=1).values  # where each document begins
        return index - starts  # [B, T]

    def _layout(
        self,
        token_ids: Tensor,
        cache: KeyValueCache | None,
        positions: Tensor,
        documents: Tensor | None,
        kept: KeptBlocks | None,
    ) -> Layout:
        config, tokens = self.config, token_ids.shape[1]
        keys, key_documents = tokens, documents
        if cache is not None:
            cache.check_room(tokens)
            keys += cache.length
            if documents is not None:
                key_documents = cache.append_documents(documents)
        dropout = self.dropout if self.training else 0.0
        turn = rotation(config, positions) if config.position == "rotary" else None
        alone = kept is not None or not dropout  # otherwise torch draws what is dropped
        if self.training and cache is None and alone and self._reaches_whole():
            return Layout(rotation=turn, documents=documents, whole=True)
        kernel = choose_kernel(
            device=token_ids.device.type,
            dtype=self.compute_dtype,
            keys=keys,
            training=self.training,
            soft_cap=config.attention_soft_cap,
        )
        masks = {
            window: make_mask(
                tokens,
                keys,
                kernel=kernel,
                window=window,
                query_documents=documents,
                key_documents=key_documents,
                dtype=self.compute_dtype,
                device=token_ids.device,
            )
            for window in {config.window(layer) for layer in range(config.n_layers)}
        }
        return Layout(
            rotation=turn,
            kernel=kernel,
            masks=masks,
            documents=key_documents,
            cache=cache,
            dropout=dropout,
        )

    def _through_blocks(self, residual: Tensor, layout: Layout, kept: KeptBlocks | None) -> Tensor:
        if layout.whole:
            turn, documents = layout.rotation, layout.documents
            return whole.through(
                self.blocks,
                residual,
                config=self.config,
                turn=turn,
                documents=documents,
                bits=self.short_bits,
                kept=kept,
            )
        for block in self.blocks:
            residual = block(residual, layout, self.compute_dtype)
        return residual

    def _reaches_whole(self) -> bool:
        return whole.reaches(self.config, self.parameters(), self.compute_dtype)

    def _embed(
        self, token_ids: Tensor, positions: Tensor, layout: Layout, kept: KeptBlocks | None
    ) -> Tensor:
        """The word vectors: embedding, shares of those before, and position, [B, T, M]."""
        residual = whole.embed(self, token_ids, kept)
        if self.token_shift is not None:
            residual = residual + self._from_earlier(self.token_shift, token_ids, residual, layout)
        if self.position_embedding is not None:
            residual = residual + self.position_embedding(positions)
        elif self.config.position == "sinusoidal":
            place = sinusoidal(positions, width=self.config.d_model)
            residual = residual + place.to(residual.dtype)
        return residual

    def _from_earlier(
        self, shift: TokenShift, token_ids: Tensor, vectors: Tensor, layout: Layout
    ) -> Tensor:
        """What the earlier words' own vectors add, [B, T, M]; `vectors` are the new words'."""
        tokens, documents = token_ids.shape[1], layout.documents
        if layout.cache is not None:
            ids = layout.cache.append_tokens(token_ids, back=self.config.token_shift)  # [B, E + T]
            vectors = self.token_embedding(ids)  # [B, E + T, M]
        if documents is not None:
            documents = documents[:, documents.shape[1] - vectors.shape[1] :]  # [B, E + T]
        return shift(vectors, tokens=tokens, documents=documents)  # type: ignore[no-any-return]


def _embedding(count: int, width: int) -> nn.Embedding:
    """An embedding whose first vectors are yet to be drawn.

    nn.Embedding draws some itself, and on the meta device, on which models are loaded, that alone
    makes torch import its compiler's parts: 1.3 s.
    """
    vectors = torch.empty(count, width)
    return nn.Embedding.from_pretrained(vectors, freeze=False)  # type: ignore[no-untyped-call,no-any-return]
