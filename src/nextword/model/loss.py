"""How wrong the next words were: cross-entropy at every position that has a next word."""

from torch import Tensor
from torch.nn import functional as F

from nextword.kernels.fused_blocks import KeptBlocks
from nextword.model import whole
from nextword.model.decoder import Decoder

NO_LOSS = -1  # the target of a position that has no next word to learn


def loss_sum(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """The sum over positions of -log p(next token), in nats, worked out in float32.

    Args:
        logits: [B, T, V].
        targets: [B, T] int64; `NO_LOSS` leaves a position out.
        smoothing: the share of what is wanted that goes to all words alike. It changes what is
            learned, the gradient, and not the value.
    """
    rows, wanted = logits.flatten(0, 1).float(), targets.flatten()
    loss = F.cross_entropy(rows, wanted, ignore_index=NO_LOSS, reduction="sum")
    if not smoothing:
        return loss
    learned = F.cross_entropy(
        rows, wanted, ignore_index=NO_LOSS, reduction="sum", label_smoothing=smoothing
    )
    return loss.detach() + (learned - learned.detach())


def loss_of(
    decoder: Decoder,
    tokens: Tensor,
    targets: Tensor,
    documents: Tensor | None,
    *,
    known: Tensor,
    smoothing: float = 0.0,
    kept: KeptBlocks | None = None,
) -> Tensor:
    """The loss of a decoder on rows of a batch, its sum divided by `known`.

    Args:
        decoder, tokens, documents, kept: see `Decoder.residual`.
        targets, smoothing: see `loss_sum`.
        known: [] a tensor, because compiled code is compiled anew for each other number.
    """
    residual = decoder.residual(tokens, documents=documents, kept=kept)
    if kept is not None and whole.has_loss(decoder.config):
        return whole.loss(
            decoder, residual, targets, known=float(known), smoothing=smoothing, kept=kept
        )
    return loss_sum(decoder.logits(residual), targets, smoothing=smoothing) / known
