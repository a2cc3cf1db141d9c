"""What else a lesson changed: which next words elsewhere are no longer what they were."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nextword.data.samples.datasets import NO_TARGET, Batch
from nextword.model.decoder import Decoder
from nextword.teach.edit.reminders import KEPT_BYTES, kl_sum, log_probabilities
from nextword.teach.edit.token_batches import rows_of
from nextword.teach.lesson import Locality, NewlyWrong
from nextword.tokenizer.tokenizer import Tokenizer

ROWS = 16  # sequences worked through at once
PART_BYTES = 64 << 20  # of their logits; one sequence may be more
CONTEXT = 12  # tokens shown before a word that is newly wrong


@dataclass(frozen=True, eq=False)
class Known:
    """What a decoder predicts at the N positions of a batch that have a target.

    Attributes:
        decoder: the one; its weights must stay while another is compared with it.
        top1: [N] int64, the most likely token; of equals the lowest id.
        right: [N] bool, whether it is the one that comes.
        probability: [N] float32, of the one that comes.
        kl: how far this is from `before` (see `known`), the mean in nats; 0 without.
        log_probabilities: of each part of the batch [n, V]; None where they would take too much.
    """

    decoder: Decoder
    top1: Tensor
    right: Tensor
    probability: Tensor
    kl: float = 0.0
    log_probabilities: tuple[Tensor, ...] | None = None


@torch.no_grad()
def known(decoder: Decoder, batch: Batch, *, most: int, before: Known | None = None) -> Known:
    """Predict the next word at every position of a batch that has a target.

    Args:
        decoder: in evaluation mode.
        batch: see `text.samples`.
        most: positions; only as many whole sequences are read as hold them, but at least one.
        before: what another decoder predicted for the same, to be compared with. Without it this
            is what others will be compared with, and its log-probabilities are kept (KEPT_BYTES).
    """
    parts = _parts(batch, most, decoder.config.vocab_size)
    n = sum(int((part[1] != NO_TARGET).sum()) for part in parts)
    keep = before is None and n * decoder.config.vocab_size * 4 <= KEPT_BYTES
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    kept: list[Tensor] = []
    moved = 0.0
    for number, part in enumerate(parts):
        now = torch.cat(log_probabilities(decoder, part))  # [n, V]
        if before is not None:
            moved += kl_sum(_said(before, number, part), now).item()
        elif keep:
            kept.append(now)
        found.append(_judged(now, part))
    top1, right, probability = (torch.cat(column) for column in zip(*found, strict=True))
    return Known(
        decoder, top1, right, probability, kl=moved / max(n, 1),
        log_probabilities=tuple(kept) if keep else None,
    )  # fmt: skip


def compare(before: Known, after: Known) -> Locality:
    """What stayed; `after` was found with the `before` of the same batch."""
    return Locality(
        n=len(before.top1),
        kept=int((before.top1 == after.top1).sum()),
        kl=after.kl,
        was_right=int(before.right.sum()),
        newly_wrong=int((before.right & ~after.right).sum()),
        newly_right=int((~before.right & after.right).sum()),
    )


def newly_wrong(
    before: Known,
    after: Known,
    batch: Batch,
    tokenizer: Tokenizer,
    *,
    which: Literal["known", "held_out"],
    most: int,
) -> tuple[NewlyWrong, ...]:
    """The words that were right and are wrong, those first that were most certain.

    Args:
        before, after: what `known` found in the batch.
        which: what the batch is.
        most: how many to name.
    """
    rows, columns = np.nonzero(batch[1] != NO_TARGET)  # more than N where `most` left some out
    lost = (before.right & ~after.right).nonzero()[:, 0]
    order = before.probability[lost].argsort(descending=True, stable=True)
    return tuple(
        NewlyWrong(
            set=which,
            context=_context(batch, int(rows[number]), int(columns[number]), tokenizer),
            was=tokenizer.token(int(before.top1[number])),
            now=tokenizer.token(int(after.top1[number])),
            actual=tokenizer.token(int(batch[1][rows[number], columns[number]])),
            probability_was=float(before.probability[number]),
            probability_now=float(after.probability[number]),
        )
        for number in lost[order][:most].tolist()
    )


def _parts(batch: Batch, most: int, vocab_size: int) -> list[Batch]:
    """As many sequences as hold `most` targets, a few at a time."""
    targets = np.cumsum((batch[1] != NO_TARGET).sum(axis=1))
    stop = max(int(np.searchsorted(targets, most, side="right")), 1)
    room = PART_BYTES // (batch[0].shape[1] * vocab_size * 4)
    step = min(max(room, 1), ROWS)
    return [rows_of(batch, first, min(first + step, stop)) for first in range(0, stop, step)]


def _said(before: Known, number: int, part: Batch) -> Tensor:
    """What was said of a part, [n, V] log-probabilities."""
    if before.log_probabilities is None:
        return torch.cat(log_probabilities(before.decoder, part))
    return before.log_probabilities[number]


def _judged(said: Tensor, part: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The most likely tokens, whether they are right, and the probabilities of the right ones."""
    wanted = torch.from_numpy(part[1][part[1] != NO_TARGET]).to(said.device)  # [n]
    top1 = said.argmax(dim=1)  # the first of equals
    probability = said.gather(1, wanted.unsqueeze(1))[:, 0].exp()
    return top1.cpu(), (top1 == wanted).cpu(), probability.cpu()


def _context(batch: Batch, row: int, column: int, tokenizer: Tokenizer) -> str:
    """The last words up to a position, of its own document."""
    tokens, _, documents = batch
    first = max(column + 1 - CONTEXT, 0)
    ids = tokens[row, first : column + 1]
    if documents is not None:
        ids = ids[documents[row, first : column + 1] == documents[row, column]]
    return tokenizer.decode(ids.tolist(), keep_special=True)
