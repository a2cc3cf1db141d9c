"""How wrong the next words were: cross-entropy at every position that has a next word."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from nextword.kernels.blocks import KeptBlocks
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


def taught_loss_sum(logits: Tensor, targets: Tensor, wanted: Tensor) -> Tensor:
    """`loss_sum` in value, with a gradient towards `wanted` in place of the targets.

    Args:
        logits, targets: see `loss_sum`.
        wanted: [B, T, V] probabilities; where there is no target they are not learned either.
    """
    learns = (targets != NO_LOSS).flatten()
    rows = logits.flatten(0, 1)[learns].float()  # [N, V]
    learned = F.cross_entropy(rows, wanted.flatten(0, 1)[learns], reduction="sum")
    return loss_sum(logits.detach(), targets) + (learned - learned.detach())


def opinion(teachers: Sequence[Decoder], tokens: Tensor, documents: Tensor | None) -> Tensor:
    """What teachers hold for the next word, [B, T, V]: the mean of their probabilities.

    Args:
        teachers: without dropout, at least one.
        tokens, documents: see `Decoder.residual`.
    """
    said: Tensor | None = None
    for teacher in teachers:
        logits = teacher(tokens, documents=documents).detach()  # [B, T, V]
        here = logits.float().softmax(-1)
        said = here if said is None else said.add_(here)
    assert said is not None
    return said.div_(len(teachers))


def loss_of(
    decoder: Decoder,
    tokens: Tensor,
    targets: Tensor,
    documents: Tensor | None,
    *,
    known: Tensor,
    smoothing: float = 0.0,
    teachers: Sequence[Decoder] = (),
    kept: KeptBlocks | None = None,
) -> Tensor:
    """The loss of a decoder on rows of a batch, its sum divided by `known`.

    Args:
        decoder, tokens, documents, kept: see `Decoder.residual`.
        targets, smoothing: see `loss_sum`.
        known: [] a tensor, because compiled code is compiled anew for each other number.
        teachers: whose probabilities are learned in place of the targets, where there are any.
    """
    residual = decoder.residual(tokens, documents=documents, kept=kept)
    if teachers:
        wanted = opinion(teachers, tokens, documents)
        return taught_loss_sum(decoder.logits(residual), targets, wanted) / known
    if kept is not None and whole.has_loss(decoder.config):
        return whole.loss(
            decoder, residual, targets, known=float(known), smoothing=smoothing, kept=kept
        )
    return loss_sum(decoder.logits(residual), targets, smoothing=smoothing) / known
