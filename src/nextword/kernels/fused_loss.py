"""Norm, unembedding, softmax and cross-entropy through loss.c: one call, gradients included.

The logits of many positions are never in memory at once, and none of it waits for Python. In
float32, products also of short factors, on one thread. A gradient of the gradient is refused by
torch.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nextword.kernels.blas import product
from nextword.kernels.block_args import LEAST_ROWS
from nextword.kernels.build import kernels
from nextword.kernels.c_structs import NORMS, LossStruct, NormKind, place
from nextword.kernels.fused_blocks import KeptBlocks
from nextword.kernels.quantized_weights import WORDS

MATRIX = 3  # its place among what `LossStep` is given


class LossStep(torch.autograd.Function):
    """The sum of -log p(target) over all positions that have one, divided by a number."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor | None,
        norm_bias: Tensor | None,
        matrix: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        norm: NormKind,
        epsilon: float,
        smoothing: float,
        known: float,
        bits: int,
        kept: KeptBlocks | None,
        tied: bool,
    ) -> Tensor:
        """Work out the loss, and the gradients at once.

        Args:
            x: [B, T, M] float32, the residual behind the last block.
            norm_weight, norm_bias: [M] of the last norm, as far as it has them.
            matrix, bias: the unembedding, [V, M] and [V].
            targets: [B, T] int64; below 0: there is none.
            norm: its kind.
            epsilon: of the norm.
            smoothing: the share of what is wanted that goes to all words alike; it changes the
                gradient, and not the value.
            known: what the sum is divided by.
            bits: of the whole numbers that are multiplied, as in `BlockSizes`; the way back is of
                16 also where those are 8, and what the targets give of floats.
            kept: what the residual was worked out with.
            tied: whether the matrix's gradient is left there on the way back, for `TiedEmbedding`,
                and not returned.

        Raises:
            IndexError: a target is not below V.
        """
        words, width = matrix.shape
        if targets.numel() and int(targets.max()) >= words:
            raise IndexError(f"target {int(targets.max())} is not below {words}, the vocabulary")
        rows = targets.numel()
        vectors = (norm_weight, norm_bias, bias)
        given = [None if each is None else each.contiguous() for each in vectors]
        x, matrix, targets = x.contiguous(), matrix.contiguous(), targets.long().contiguous()
        make = torch.empty_like if rows else torch.zeros_like
        by_x, by_matrix = make(x), make(matrix)
        by_vectors = [None if vector is None else torch.zeros_like(vector) for vector in given]
        call = LossStruct(product=product(), rows=rows, width=width, words=words, bits=bits)
        call.x, call.weight, call.bias = place(x), place(matrix), place(given[2])
        call.targets, call.by_x, call.by_weight = place(targets), place(by_x), place(by_matrix)
        call.by_bias, call.known, call.smoothing = place(by_vectors[2]), known, smoothing
        call.norm.kind, call.norm.epsilon = NORMS[norm], epsilon
        call.norm.weight, call.norm.bias = map(place, given[:2])
        call.norm.by_weight, call.norm.by_bias = map(place, by_vectors[:2])
        if kept is not None and kept.short is not None:
            call.of_weight = kept.short.words
        total = _called(call, x)
        ctx.kept = kept if tied else None
        ctx.save_for_backward(by_x, *by_vectors[:2], by_matrix, by_vectors[2])
        return x.new_tensor(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """What was worked out, times the gradient of the loss."""
        found, gradient = list(ctx.saved_tensors), gradients[0]
        if gradient != 1.0:  # it is, where nothing is worked out of this loss
            found = [None if each is None else each * gradient for each in found]
        if ctx.kept is not None:
            ctx.kept.by_matrix, found[MATRIX] = found[MATRIX], None
        return *found, *(None,) * 8


def _called(call: LossStruct, x: Tensor) -> float:
    """Call loss.c with scratch as large as it needs, so many rows and words at a time."""
    library = kernels(torch.float32)
    assert library is not None, "`exist` was asked first"
    call.part = min(call.words, WORDS)
    call.group = min(max(call.rows, 1), max(LEAST_ROWS, call.width))
    scratch = x.new_empty(library.loss_scratch(ctypes.byref(call)))
    call.scratch = scratch.data_ptr()
    return float(library.loss(ctypes.byref(call)))
