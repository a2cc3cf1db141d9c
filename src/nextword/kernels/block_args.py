"""The structs of passes through blocks.c: filled in, pointed at memory, called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nextword.kernels.blas import product
from nextword.kernels.build import kernels
from nextword.kernels.c_structs import (
    ACTIVATIONS,
    HALVES,
    MATRICES,
    NORM,
    NORMS,
    AttentionStruct,
    FeedForwardStruct,
    NormKind,
    place,
)
from nextword.kernels.quantized_weights import ShortForms

LEAST_ROWS = 128  # that go through half a block together; see `rows_together`


@dataclass(frozen=True)
class BlockSizes:
    """What the blocks are told beside their weights.

    Attributes:
        norm: before each half.
        heads, shared: H query heads, K key/value heads, of width D.
        head_width: D.
        windows: of each block, tokens that a query looks back on, itself included; 0: all.
        scale: what query·key is multiplied by.
        epsilon: of all norms.
        activation: one of `ACTIVATIONS`; None: no feed-forward.
        inner: F, the feed-forward's width; 0 where there is none.
        gated: whether it has a gate.
        bits: of the whole numbers as which matrices are multiplied, 16 or 8; 0: as floats
            (docs/precision.md).
    """

    norm: NormKind
    heads: int
    shared: int
    head_width: int
    windows: tuple[int, ...]
    scale: float
    epsilon: float
    activation: str | None
    inner: int
    gated: bool
    bits: int


def rows_together(width: int) -> int:
    """How many rows of so many numbers go through half a block before the next ones do.

    Few, so that their values stay in the cache; but each time the gradients of all matrices are
    read and written, and those grow with the square of the width (docs/lab-log.md).
    """
    return max(LEAST_ROWS, width * width // LEAST_ROWS)


class FlatGradients:
    """Room for the gradients of weights in one piece: first the matrices', then the others'.

    Attributes:
        all: [n] float32.
        vectors: the part of it that must be 0 before a way back; matrices' are set by it.
        of_weights: for each weight the part of `all` that is its own, None for None.
    """

    def __init__(self, weights: Sequence[Tensor | None]) -> None:
        given = [weight for weight in weights if weight is not None]
        order = sorted(range(len(given)), key=lambda number: given[number].dim() == 1)
        lengths = [given[number].numel() for number in order]
        self.all = torch.empty(sum(lengths), dtype=torch.float32)
        places = dict(zip(order, torch.split(self.all, lengths), strict=True))
        parts = iter([places[number].view_as(weight) for number, weight in enumerate(given)])
        self.of_weights = [None if each is None else next(parts) for each in weights]
        self.vectors = self.all[sum(weight.numel() for weight in given if weight.dim() > 1) :]


class Calls:
    """The structs of passes through all blocks, and the memory that they point to.

    Args:
        sizes: see `BlockSizes`.
        shape: of x.
        given: x, cos, sin and documents, contiguous; whoever calls keeps them alive.
    """

    def __init__(
        self, sizes: BlockSizes, shape: torch.Size, given: Sequence[Tensor | None]
    ) -> None:
        cos = given[1]
        batch, tokens, width = shape
        count, together = len(sizes.windows), rows_together(width)
        self._library = kernels(torch.float32)
        assert self._library is not None, "`reach` was asked first"
        self._sizes, self._shape = sizes, (batch * tokens, width)
        self._kept: Tensor | None = None
        self._vectors: Tensor | None = None
        self._attentions = (AttentionStruct * count)()
        self._feed_forwards = (FeedForwardStruct * count)()
        for attention, window in zip(self._attentions, sizes.windows, strict=True):
            attention.batch, attention.tokens, attention.width = batch, tokens, width
            attention.places = tokens if cos is None else cos.numel() // cos.shape[-1]
            attention.heads, attention.shared = sizes.heads, sizes.shared
            attention.head_width, attention.window = sizes.head_width, window
            attention.group = min(batch, max(1, together // max(1, tokens)))
            attention.scale, attention.epsilon = sizes.scale, sizes.epsilon
        for feed_forward in self._feed_forwards:
            feed_forward.rows, feed_forward.width = self._shape
            feed_forward.inner = sizes.inner
            feed_forward.group = min(batch * tokens, together)
            if sizes.activation is not None:
                feed_forward.activation = ACTIVATIONS[sizes.activation]
        for call in (*self._attentions, *self._feed_forwards):
            call.product, call.bits = product(), sizes.bits
            call.norm.kind, call.norm.epsilon = NORMS[sizes.norm], sizes.epsilon
        self.begin(given)

    def begin(self, given: Sequence[Tensor | None]) -> None:
        """Tell the structs where x, cos, sin and documents lie."""
        x, cos, sin, documents = map(place, given)
        self._attentions[0].x = x
        for attention in self._attentions:
            attention.cos, attention.sin, attention.documents = cos, sin, documents

    def drop(self, share: float, seeds: Sequence[int]) -> None:
        """Tell the structs what share is dropped, and the seeds: three of each block."""
        left = iter(seeds)
        for pair in zip(self._attentions, self._feed_forwards, strict=True):
            for call in pair:
                call.dropout.share, call.dropout.seed = share, next(left)
            pair[0].dropout.seed_of_weights = next(left)

    def point(self, weights: Sequence[Tensor | None], short: ShortForms | None = None) -> None:
        """Tell the structs where the weights lie, and where in short form if they do."""
        self._point(weights, prefix="")
        if short is None:
            return
        left = iter(short.places)
        for pair in zip(self._attentions, self._feed_forwards, strict=True):
            for call, names in zip(pair, HALVES, strict=True):
                for name in (*NORM, *names):
                    form = next(left)
                    if name in MATRICES:
                        setattr(call, f"{name}_short", form)

    def point_back(self, gradients: FlatGradients) -> None:
        """Tell the structs where the weights' gradients are to be put."""
        self._point(gradients.of_weights, prefix="by_")
        self._vectors = gradients.all if not self._shape[0] else gradients.vectors

    def forward(self, y: Tensor) -> None:
        """Go through the blocks; the last writes into `y`."""
        sizes, (rows, width) = self._sizes, self._shape
        joined = (sizes.heads + 2 * sizes.shared) * sizes.head_width
        queries, inner = sizes.heads * sizes.head_width, sizes.inner
        per_block = rows * (2 * width + joined + queries + sizes.heads + 2 * inner)
        if self._kept is None:
            self._kept = y.new_empty(len(sizes.windows) * per_block)
        take = _Taker(self._kept)
        x = self._attentions[0].x
        for attention, feed_forward in zip(self._attentions, self._feed_forwards, strict=True):
            attention.x, attention.joined = x, take(rows * joined)
            attention.context, attention.log_sum = take(rows * queries), take(rows * sizes.heads)
            x = attention.y = take(rows * width)
            if inner:
                feed_forward.x, feed_forward.raised = x, take(rows * inner)
                feed_forward.gated = take(rows * inner) if sizes.gated else None
                x = feed_forward.y = take(rows * width)
        last: Any = (self._feed_forwards if inner else self._attentions)[-1]
        last.y = y.data_ptr()
        self._call("blocks", y)

    def backward(self, gradient: Tensor, by_x: Tensor) -> None:
        """Go back, from the gradient of y to those of x and of the weights."""
        assert self._vectors is not None, "`point_back` was called first"
        self._vectors.zero_()
        between = [torch.empty_like(by_x) for _ in range(2)]  # taken in turn
        following, number = gradient.data_ptr(), 0
        for attention, feed_forward in zip(
            reversed(self._attentions), reversed(self._feed_forwards), strict=True
        ):
            halves: tuple[Any, ...] = (feed_forward, attention)
            for half in halves if self._sizes.inner else halves[1:]:
                half.gradient = following
                following = half.by_x = between[number % 2].data_ptr()
                number += 1
        self._attentions[0].by_x = by_x.data_ptr()
        self._call("blocks_back", gradient)

    def _point(self, tensors: Sequence[Tensor | None], *, prefix: str) -> None:
        """Tell the structs where their weights lie, or the weights' gradients."""
        left = map(place, tensors)
        for pair in zip(self._attentions, self._feed_forwards, strict=True):
            for call, names in zip(pair, HALVES, strict=True):
                for name in NORM:
                    setattr(call.norm, prefix + name, next(left))
                for name in names:
                    setattr(call, prefix + name, next(left))

    def _call(self, name: str, like: Tensor) -> None:
        """Call a function of blocks.c with scratch as large as the larger half needs."""
        library = self._library
        assert library is not None
        needed = library.blocks_scratch(self._attentions, self._feed_forwards)
        scratch = like.new_empty(needed)
        for call in (*self._attentions, *self._feed_forwards):
            call.scratch = scratch.data_ptr()
        count = len(self._sizes.windows)
        getattr(library, name)(self._attentions, self._feed_forwards, count)


class _Taker:
    """Cuts a tensor of floats up, from its beginning."""

    def __init__(self, tensor: Tensor) -> None:
        self._next = tensor.data_ptr()

    def __call__(self, count: int) -> int:
        """Where the next `count` floats lie."""
        place = self._next
        self._next += 4 * count
        return place
