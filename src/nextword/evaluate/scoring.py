"""How well a decoder predicts a text, and how its replies compare with those in the data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nextword.data.samples.datasets import Samples
from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards
from nextword.evaluate.metrics import Scores
from nextword.hardware import adaptive_threads
from nextword.model.decoder import Decoder
from nextword.model.loss import NO_LOSS, loss_sum

BATCH_TOKENS = 4096  # worked through at once


@dataclass
class _Tally:
    """Sums over the predicted tokens so far."""

    tokens: int = 0
    nats: float = 0.0
    top1: int = 0
    top5: int = 0
    text_bytes: int = 0

    def scores(self) -> Scores:
        """The averages."""
        loss = self.nats / max(self.tokens, 1)
        bits = self.nats / math.log(2)
        return Scores(
            loss=loss,
            perplexity=math.exp(min(loss, 700.0)),
            bits_per_byte=bits / self.text_bytes if self.text_bytes else None,
            top1=self.top1 / max(self.tokens, 1),
            top5=self.top5 / max(self.tokens, 1),
            n_tokens=self.tokens,
        )


@torch.inference_mode()
def score(
    decoder: Decoder,
    samples: Samples,
    *,
    limit: int | None = None,
) -> Scores:
    """Predict every next token of the first epoch of `samples` and compare.

    Args:
        decoder: left in the mode in which it was.
        samples: the text; a rest shorter than one window is not measured.
        limit: the most samples to look at; None: all.
    """
    count = samples.n_samples(0) if limit is None else min(limit, samples.n_samples(0))
    per_batch = max(1, BATCH_TOKENS // samples.context_length)
    was_training, tally = decoder.training, _Tally()
    decoder.eval()
    for first in range(0, count, per_batch):
        batch = samples.batch(first, min(per_batch, count - first))
        tokens, targets, documents = to_tensors(batch, decoder.device)
        with adaptive_threads():
            logits = decoder(tokens, documents=documents)  # [B, T, V]
            _add(tally, logits.float(), targets)
        if samples.counts_bytes:
            tally.text_bytes += samples.text_bytes(first, min(per_batch, count - first))
    decoder.train(was_training)
    return tally.scores()


def to_tensors(
    batch: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32] | None],
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """A batch of samples as tensors on the decoder's device."""
    tokens, targets, documents = batch
    return (
        torch.from_numpy(tokens).to(device),
        torch.from_numpy(targets).to(device),
        None if documents is None else torch.from_numpy(documents).to(device),
    )


def _add(tally: _Tally, logits: Tensor, targets: Tensor) -> None:
    known = targets != NO_LOSS  # [B, T]
    flat, wanted = logits[known], targets[known]  # [N, V], [N]
    tally.tokens += len(wanted)
    tally.nats += loss_sum(flat.unsqueeze(0), wanted.unsqueeze(0)).item()
    actual = flat.gather(1, wanted.unsqueeze(1))  # [N, 1]
    # how many tokens would be taken first; of equals, which bfloat16 makes, the lower id
    lower = torch.arange(flat.shape[1], device=flat.device) < wanted.unsqueeze(1)  # [N, V]
    ahead = ((flat > actual) | ((flat == actual) & lower)).sum(dim=1)
    tally.top1 += int((ahead < 1).sum())
    tally.top5 += int((ahead < 5).sum())


@dataclass(frozen=True, kw_only=True)
class ReplyScores:
    """How replies compare with those in the data.

    Attributes:
        exact: share that are the data's reply, token for token and ended.
        stopped: share that ended by the end token.
        n_replies: how many were made.
    """

    exact: float
    stopped: float
    n_replies: int


def prompts_and_replies(
    shards: Shards, part: Part, *, limit: int | None = None
) -> list[tuple[list[int], list[int]]]:
    """Every reply of the dialogues in a part, with all that came before it as its prompt.

    Args:
        limit: the most pairs; None: all.

    Returns:
        Pairs of token ids; both end in the end token.
    """
    pairs: list[tuple[list[int], list[int]]] = []
    for start, stop in part.spans.tolist():
        ids = shards.tokens(start, stop).tolist()
        is_reply = shards.replies(start, stop).tolist()
        begin = 0
        for place, (now, before) in enumerate(zip(is_reply, [False, *is_reply], strict=False)):
            if now and not before:
                begin = place
            if now and (place + 1 == len(ids) or not is_reply[place + 1]):
                pairs.append((ids[:begin], ids[begin : place + 1]))
                if limit is not None and len(pairs) == limit:
                    return pairs
    return pairs


def spread_pairs(shards: Shards, part: Part, most: int | None) -> list[tuple[list[int], list[int]]]:
    """Prompts with their replies, at most so many, from dialogues evenly spread over the part."""
    spans = part.spans
    if most is not None and most < len(spans):
        spans = spans[np.arange(most) * len(spans) // most]
    pairs = [pair for pair in prompts_and_replies(shards, Part(spans)) if pair[0]]
    if most is None or len(pairs) <= most:
        return pairs
    return [pairs[index * len(pairs) // most] for index in range(most)]


def compare_replies(
    made: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]], *, end_ids: frozenset[int]
) -> ReplyScores:
    """Compare replies with the data's; both as token ids with their end token, if it came.

    Args:
        made: at least one reply.
        wanted: the data's, one for each.
        end_ids: the tokens that end a reply.
    """
    assert made, "shares of nothing"
    exact = sum(list(ours) == list(theirs) for ours, theirs in zip(made, wanted, strict=True))
    stopped = sum(bool(ours) and ours[-1] in end_ids for ours in made)
    count = len(made)
    return ReplyScores(exact=exact / count, stopped=stopped / count, n_replies=len(made))
