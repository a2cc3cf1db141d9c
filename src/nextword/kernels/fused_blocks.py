"""All blocks of a decoder through blocks.c: one call forward and one back.

Between torch's single operations a thread waits for Python, and every tensor goes out to memory and
comes back. Here some rows at a time go through norm, products, attention or activation, and the
residual link. In float32, products also of short factors, on one thread:
`training/backends/data_parallel.py` deals rows out to all there are. A gradient of the gradient
is refused: torch says so.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nextword.kernels.blas import product
from nextword.kernels.block_args import BlockSizes, Calls, FlatGradients
from nextword.kernels.build import kernels
from nextword.kernels.c_structs import HALVES, NORM
from nextword.kernels.custom_backward import pays
from nextword.kernels.quantized_weights import ShortForms

SEEDS = 3  # of dropout in a block: what its halves add, and what attention looks at
PER_BLOCK = sum(len(NORM) + len(half) for half in HALVES)  # weights, None for what is missing


def exist() -> bool:
    """Whether they can be taken on this machine."""
    return product() is not None and kernels(torch.float32) is not None


def reach(weights: Iterable[Tensor]) -> bool:
    """Whether they can be taken now: learning, all on a CPU, by a thread that works alone."""
    alone = torch.get_num_threads() == 1 and exist()
    return alone and all(each.dtype == torch.float32 and pays(each) for each in weights)


class BlocksStep(torch.autograd.Function):
    """The residual through all blocks: x + attention(norm(x)), then x + feed_forward(norm(x))."""

    @staticmethod
    def forward(
        ctx: Any,
        sizes: BlockSizes,
        kept: "KeptBlocks | None",
        x: Tensor,
        cos: Tensor | None,
        sin: Tensor | None,
        documents: Tensor | None,
        *weights: Tensor | None,
    ) -> Tensor:
        """Go through.

        Args:
            sizes: the rest that is to be known.
            kept: what the thread keeps; then `weights` are its weights, and not given here.
            x: [B, T, M], the residual.
            cos, sin: [T, D] or [B, 1, T, D], their second half repeating the first; None: queries
                and keys are not turned.
            documents: [B, T] int64; tokens see only earlier ones with the same number.
            weights: of each block, float32: its attention's norm (`NORM`), `ATTENTION`, its
                feed-forward's norm, `FEED_FORWARD`; None where there is none.

        Returns:
            [B, T, M].
        """
        if cos is not None and sin is not None:
            cos, sin = (part[..., : sizes.head_width // 2].contiguous() for part in (cos, sin))
        given = [None if each is None else each.contiguous() for each in (x, cos, sin, documents)]
        if kept is None:
            whole = [None if each is None else each.contiguous() for each in weights]
            calls = Calls(sizes, x.shape, given)
            calls.point(whole)
            ctx.save_for_backward(*given, *whole)
        else:
            calls = kept.calls(sizes, x.shape, given)
            ctx.save_for_backward(*given)
        y = x.new_empty(x.shape)
        calls.forward(y)
        ctx.calls, ctx.kept = calls, kept
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and the weights, or with `kept` of x."""
        x, cos, sin, documents, *weights = ctx.saved_tensors  # torch checks: nobody changed them
        calls, kept, found = ctx.calls, ctx.kept, None
        calls.begin((x, cos, sin, documents))
        if kept is None:
            calls.point(weights)
            found = FlatGradients(weights)
            calls.point_back(found)
        by_x = torch.empty_like(x)
        calls.backward(gradients[0].contiguous(), by_x)
        by_weights = () if found is None else found.of_weights
        return None, None, by_x, None, None, None, *by_weights


class KeptBlocks:
    """What one thread keeps from step to step: structs, memory, and the weights' gradients.

    `BlocksStep` given this leaves the gradients here and returns none of the weights'. Each way
    forward is to be followed by its way back, before the next.

    Args:
        weights: as `BlocksStep` takes them, contiguous and each once.
        short: of these weights and the unembedding, made anew before each way forward; None:
            where they are needed, each is made on the way.

    Attributes:
        gradients: of the weights, after a way back.
        weights: whose they are.
        short: as given.
        entered: whether blocks were gone through with it since it was set to False.
        by_matrix: of a way back, the unembedding's gradient until the embedding's is added to it,
            where both are one (`TiedEmbedding`).
        dropout: what the next way forward drops; None: nothing was ever said of it.
    """

    def __init__(self, weights: Sequence[Tensor | None], short: ShortForms | None = None) -> None:
        self.weights, self.short = list(weights), short
        given = [weight for weight in weights if weight is not None]
        assert all(weight.is_contiguous() for weight in given)
        assert len({id(weight) for weight in given}) == len(given), "each has a gradient of its own"
        self.gradients = FlatGradients(self.weights)
        self.entered = False
        self.by_matrix: Tensor | None = None
        self._calls: Calls | None = None
        self._made_for: object = None
        self.dropout: Dropout | None = None

    def calls(self, sizes: BlockSizes, shape: torch.Size, given: Sequence[Tensor | None]) -> Calls:
        """The structs for x of this shape, made anew where it is another than before."""
        self.entered = True
        made_for = sizes, shape, None if given[1] is None else given[1].shape
        if self._calls is None or made_for != self._made_for:
            self._calls, self._made_for = Calls(sizes, shape, given), made_for
            self._calls.point(self.weights, self.short)
            self._calls.point_back(self.gradients)
        else:
            self._calls.begin(given)
        if self.dropout is not None:
            self._calls.drop(self.dropout.share, self.dropout.seeds[1:])
        return self._calls

    def drop(self, share: float, seed: int) -> None:
        """From now on drop a share of what enters the blocks, is added in them, or looked at.

        Args:
            share: 0 ≤ share < 1.
            seed: of what is dropped; another for each way forward.
        """
        draw = torch.Generator().manual_seed(seed)
        count = 1 + SEEDS * (len(self.weights) // PER_BLOCK)
        self.dropout = Dropout(share, torch.randint(2**32, (count,), generator=draw).tolist())

    def enter(self, x: Tensor) -> Tensor:
        """What is left of x [B, T, M] at the entry of the first block."""
        if self.dropout is None:
            return x
        share, seeds = self.dropout
        return DropStep.apply(x, share, seeds[0])  # type: ignore[no-untyped-call,no-any-return]


class Dropout(NamedTuple):
    """What is dropped on one way forward, and back."""

    share: float
    seeds: list[int]  # 32 bits each: of the entry, then `SEEDS` of each block


class DropStep(torch.autograd.Function):
    """A share of numbers becomes 0, the others grow by as much: dropout.h, and which ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float, seed: int) -> Tensor:
        """What is left of x; see `dropped`."""
        ctx.draw = share, seed
        return dropped(x, share, seed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The same of the gradient."""
        return dropped(gradients[0], *ctx.draw), None, None


def dropped(x: Tensor, share: float, seed: int) -> Tensor:
    """What is left of x, of any shape, float32."""
    library = kernels(torch.float32)
    assert library is not None, "`exist` was asked first"
    x = x.contiguous()
    left = torch.empty_like(x)
    library.drop_rows(x.data_ptr(), left.data_ptr(), x.numel(), share, seed)
    return left
