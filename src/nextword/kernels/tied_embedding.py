"""The embedding where its matrix is the unembedding as well: one gradient for both.

torch would fill a second matrix of that size with zeros, put the rows of the words of the batch
into it, and add it to the first: three ways through memory for what concerns a few rows.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nextword.kernels.fused_blocks import KeptBlocks


class TiedEmbedding(torch.autograd.Function):
    """Words' vectors; their gradients are added to those that `LossStep` left, if it left any."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, matrix: Tensor, kept: KeptBlocks) -> Tensor:
        """Look up.

        Args:
            ids: [B, T] int64, each below V.
            matrix: [V, M] float32.
            kept: where the other gradient is found, on the way back.

        Returns:
            [B, T, M].
        """
        ctx.kept, ctx.shape = kept, matrix.shape
        ctx.save_for_backward(ids)
        return F.embedding(ids, matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the matrix, of both that it does."""
        (ids,) = ctx.saved_tensors
        by_matrix, ctx.kept.by_matrix = ctx.kept.by_matrix, None
        if by_matrix is None:  # the logits went another way, on which torch adds up
            by_matrix = gradients[0].new_zeros(ctx.shape)
        return None, by_matrix.index_add_(0, ids.flatten(), gradients[0].flatten(0, 1)), None
