"""The rehearsal of a lesson, step by step, against what the model said of it before."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nextword.data.samples.datasets import NO_TARGET, Batch
from nextword.data.samples.shuffling import permuted
from nextword.evaluate.scoring import to_tensors
from nextword.hardware import adaptive_threads
from nextword.model.decoder import Decoder
from nextword.teach.edit.rehearsal import Rehearsal
from nextword.teach.edit.token_batches import n_documents, picked

STEP_TOKENS = 1024  # of the sequences of a step
KEPT_BYTES = 256 << 20  # of old log-probabilities that are kept for a later step


class Reminders:
    """What is rehearsed at each step: which sequences come at step n is fixed by (seed, n)."""

    def __init__(
        self,
        decoder: Decoder,
        rehearsal: Rehearsal,
        *,
        count: int,
        seed: int,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """Begin.

        Args:
            decoder: as it is before the lesson; it is never written, and must stay so.
            rehearsal: see `Rehearsal.apart_from`.
            count: documents of each step, in whole rows of them: about so many, and about
                STEP_TOKENS tokens at most; all of them where there are fewer.
            seed: of the order.
            kept_bytes: the most to keep of what the decoder said, for when a sequence comes again.
        """
        self._decoder = decoder
        self._known = rehearsal.known
        self._count = _rows_for(count, rehearsal.known)
        self._seed = seed
        self._room = kept_bytes
        self._kept: dict[int, Tensor] = {}  # of a sequence: log-probabilities [n, V]

    def rows(self, step: int) -> list[int]:
        """The numbers of a step's rows."""
        n = len(self._known[0])
        rows = chosen(n, self._count, step=step, seed=self._seed)
        return list(dict.fromkeys(rows.tolist()))  # one round may begin with what one ended with

    def kl(self, decoder: Decoder, step: int) -> Tensor:
        """How far a decoder has moved on the sequences of a step.

        Returns:
            The mean of KL(before ‖ now) over the positions with a target, in nats, float32, with
            gradients for the decoder's weights; 0 where there is no such position.
        """
        rows = self.rows(step)
        before = torch.cat(self._before(rows))  # [N, V]
        now = torch.cat(log_probabilities(decoder, picked(self._known, rows)))
        return kl_sum(before, now) / max(len(before), 1)

    def _before(self, rows: list[int]) -> list[Tensor]:
        """What was said of each sequence before the lesson."""
        missing = [row for row in rows if row not in self._kept]
        if not missing:
            return [self._kept[row] for row in rows]
        with torch.inference_mode(False), torch.no_grad():
            new = log_probabilities(self._decoder, picked(self._known, missing))
        found = self._kept | dict(zip(missing, new, strict=True))
        for row in missing:
            if found[row].nbytes <= self._room:
                self._room -= found[row].nbytes
                self._kept[row] = found[row].clone()  # a view would keep the whole batch
        return [found[row] for row in rows]


def _rows_for(count: int, batch: Batch) -> int:
    """How many rows of a batch hold about `count` documents, at least one."""
    n, width = len(batch[0]), int(batch[0].shape[1])
    rows = round(count * n / max(n_documents(batch), 1))
    return max(1, min(rows, STEP_TOKENS // width, n))


def chosen(n: int, count: int, *, step: int, seed: int) -> NDArray[np.int64]:
    """Which `count` of n sequences come at a step; all come once before any comes again."""
    rounds, index = np.divmod(step * count + np.arange(count), n)
    return np.concatenate(
        [
            permuted(index[rounds == number], n, seed=seed, epoch=int(number))
            for number in np.unique(rounds)
        ]
    )


@adaptive_threads()
def log_probabilities(decoder: Decoder, batch: Batch) -> list[Tensor]:
    """For each sequence, log-probabilities [n, V] at its n positions with a target, float32."""
    tokens, targets, documents = to_tensors(batch, decoder.device)
    judged = targets != NO_TARGET  # [B, T]
    logits = decoder(tokens, documents=documents)[judged]  # [N, V]
    return list(logits.float().log_softmax(dim=-1).split(judged.sum(dim=1).tolist()))


def kl_sum(before: Tensor, now: Tensor) -> Tensor:
    """The sum of KL(before ‖ now) over rows of log-probabilities [N, V], in nats."""
    return F.kl_div(now, before, reduction="sum", log_target=True)
