"""How wrong the next words were: cross-entropy at every position that has a next word."""

from torch import Tensor
from torch.nn import functional as F

from nextword.kernels.blocks import KeptBlocks
from nextword.model.decoder import Decoder

NO_LOSS = -1  # the target of a position that has no next word to learn


def loss_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over positions of -log p(next token), in nats, worked out in float32.

    Args:
        logits: [B, T, V].
        targets: [B, T] int64; `NO_LOSS` leaves a position out.
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_LOSS, reduction="sum"
    )


def loss_of(
    decoder: Decoder,
    tokens: Tensor,
    targets: Tensor,
    documents: Tensor | None,
    *,
    kept: KeptBlocks | None = None,
) -> Tensor:
    """The loss of a decoder on a batch; see `loss_sum` and `Decoder.forward`."""
    return loss_sum(decoder(tokens, documents=documents, kept=kept), targets)
