"""How well a finished model knows a text: its predictions, and for dialogues its replies, too."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nextword.config import Learn, ReplyConfig
from nextword.data.prepared import make_samples
from nextword.data.samples.datasets import Batch, Samples
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.splits import Part, whole
from nextword.data.shards.token_shards import Shards
from nextword.errors import ConfigError, DataError
from nextword.evaluate.metrics import Scores
from nextword.evaluate.scoring import ReplyScores, compare_replies, score, spread_pairs
from nextword.generate.engine import generate_many
from nextword.model.decoder import Decoder
from nextword.tokenizer.tokenizer import Tokenizer

LONG_CONTEXT = 2048  # tokens; models with more are measured in windows of this, unless asked
ROW = 1024  # tokens of a row into which short dialogues are packed
LONG_REPLY = 512  # tokens; where the context is long, a reply is cut here, or at 4 × the data's
BATCH = 32  # replies made side by side

Tell = Callable[[str, int, int], None]  # what is worked on, how much is done, of how much


@dataclass(frozen=True, kw_only=True)
class ReplyJudgement:
    """How the replies of a model compare with those in the data.

    Attributes:
        scores: shares that are exact, and that ended by the end token; None: there was room for
            no reply, so nothing could be measured.
        n_prompts: prompts in the dialogues that were looked at.
        n_left_out: of them, those that leave no room for a reply in the context.
        n_cut: replies that did not end within `longest` tokens or the context.
        n_no_room: prompts whose reply in the data does not fit into the context.
        longest: the most tokens of a reply; None: as many as the context holds.
    """

    scores: ReplyScores | None
    n_prompts: int
    n_left_out: int
    n_cut: int
    n_no_room: int
    longest: int | None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How well a model knows a text.

    Attributes:
        scores: of all tokens that were predicted.
        reply_tokens: of those that belong to replies; None for plain text.
        replies: None for plain text, or where none were asked for.
        context: the most tokens that a prediction could look back on.
        n_documents, n_tokens, n_bytes: of the data.
        n_cut: dialogues longer than the context, predicted in pieces.
        share: of the data that was measured, 0 … 1; below 1 where there was a limit.
    """

    scores: Scores
    reply_tokens: Scores | None
    replies: ReplyJudgement | None
    context: int
    n_documents: int
    n_tokens: int
    n_bytes: int
    n_cut: int
    share: float


def judge(
    decoder: Decoder,
    tokenizer: Tokenizer,
    shards: Shards,
    *,
    context: int | None = None,
    limit: int | None = None,
    replies: int | None = 200,
    tell: Tell | None = None,
) -> Judgement:
    """Measure a model on prepared data.

    Args:
        decoder, tokenizer: the model.
        shards: the data, encoded by its tokenizer.
        context: tokens of a window; None: the model's, or less where that is very long. A text
            shorter than that is one window.
        limit: the most windows, or rows of dialogues, to predict; None: all.
        replies: the most prompts to reply to, evenly spread over the dialogues; None: all.
        tell: is told how far it is.

    Raises:
        ConfigError: a context that the model does not have, or a limit below 1.
        DataError: too little text to predict anything.
    """
    context = _context(decoder, shards, context)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; it must be at least 1, or left out")
    if replies is not None and replies < 0:
        raise ConfigError(f"replies is {replies}; it must be at least 0")

    def measure(samples: Samples, what: str, most: int | None) -> Scores:
        told = samples if tell is None else _Told(samples, what, tell, most)
        return score(decoder, told, limit=most)

    if shards.is_dialogue:
        scores, reply_tokens, n_cut, share = _dialogues(shards, context, limit, measure)
    else:
        n_cut, reply_tokens = 0, None
        scores, share = _text(shards, context, limit, measure)
    made = None
    if shards.is_dialogue and replies != 0:
        made = judge_replies(decoder, tokenizer, shards, most=replies, tell=tell)
    return Judgement(
        scores=scores,
        reply_tokens=reply_tokens,
        replies=made,
        context=context,
        n_documents=shards.n_documents,
        n_tokens=shards.n_tokens,
        n_bytes=shards.n_bytes,
        n_cut=n_cut,
        share=share,
    )


Measure = Callable[[Samples, str, int | None], Scores]


def _context(decoder: Decoder, shards: Shards, asked: int | None) -> int:
    """Tokens of a window or a row."""
    most = decoder.config.context_length
    if asked is not None and not 1 <= asked <= most:
        raise ConfigError(f"context is {asked}; it must be 1 to {most}, which the model has")
    context = min(most, LONG_CONTEXT) if asked is None else asked
    if shards.is_dialogue:
        return context
    if shards.n_tokens < 2:
        raise DataError(
            f"the text has {shards.n_tokens} token, and predicting a next one needs at least 2; "
            "give more text"
        )
    return min(context, shards.n_tokens - 1)


def _text(
    shards: Shards, context: int, limit: int | None, measure: Measure
) -> tuple[Scores, float]:
    """Windows over the whole text, and the rest, which is shorter than a window, as one more."""
    n_windows, rest = divmod(shards.n_tokens - 1, context)
    parts = []
    if n_windows:
        samples = make_samples(shards, whole(shards), context=context, seed=0)
        parts.append(measure(samples, "predicting", limit))
    if rest and (limit is None or limit > n_windows):
        end = Part(np.array([[shards.n_tokens - rest - 1, shards.n_tokens]], dtype=np.int64))
        parts.append(measure(make_samples(shards, end, context=rest, seed=0), "predicting", 1))
    scores = joined(parts)
    return scores, scores.n_tokens / (shards.n_tokens - 1)


def _dialogues(
    shards: Shards, context: int, limit: int | None, measure: Measure
) -> tuple[Scores, Scores, int, float]:
    """Rows of whole dialogues: all tokens, those of replies, dialogues cut, share measured."""
    part = whole(shards)
    longest = int((part.spans[:, 1] - part.spans[:, 0]).max())
    width = min(context, max(longest, ROW))

    def rows(learn: Learn) -> Rows:
        return Rows(shards, context_length=width, seed=0, part=part, learn=learn)

    everything = rows("everything")
    count = everything.n_samples(0)
    scores = measure(everything, "predicting", limit)
    only = measure(rows("replies"), "predicting replies", limit)
    cut = int(((part.spans[:, 1] - part.spans[:, 0]) > context).sum())
    return scores, only, cut, min(limit or count, count) / count


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of several stretches of text as one."""
    count = sum(part.n_tokens for part in parts)

    def mean(values: Iterator[float]) -> float:
        weighted = zip(values, parts, strict=True)
        return sum(value * part.n_tokens for value, part in weighted) / count

    loss = mean(part.loss for part in parts)
    bits = [part.loss * part.n_tokens / math.log(2) for part in parts]
    known = [(bit, part.bits_per_byte) for bit, part in zip(bits, parts, strict=True)]
    n_bytes = sum(bit / rate for bit, rate in known if rate)
    return replace(
        parts[0],
        loss=loss,
        perplexity=math.exp(min(loss, 700.0)),
        bits_per_byte=sum(bits) / n_bytes if n_bytes else None,
        top1=mean(part.top1 for part in parts),
        top5=mean(part.top5 for part in parts),
        n_tokens=count,
    )


def judge_replies(
    decoder: Decoder,
    tokenizer: Tokenizer,
    shards: Shards,
    *,
    part: Part | None = None,
    most: int | None = None,
    tell: Tell | None = None,
    until: float | None = None,
) -> ReplyJudgement | None:
    """Let the model reply, greedily, and compare; None where the data holds no prompt.

    Args:
        part: of the data; None: all of it.
        most: the most prompts, evenly spread over the dialogues; None: all.
        until: by `time.monotonic()`, when to take no further batch of prompts; None: no limit.
            What was made by then is what is judged.
    """
    pairs = spread_pairs(shards, whole(shards) if part is None else part, most)
    if not pairs:
        return None
    context = decoder.config.context_length
    fitting = [(prompt, reply) for prompt, reply in pairs if len(prompt) < context]
    longest = None
    if context > LONG_CONTEXT:
        longest = max(LONG_REPLY, 4 * max(len(reply) for _, reply in pairs))
    made: list[list[int]] = []
    for first in range(0, len(fitting), BATCH):
        if until is not None and made and time.monotonic() > until:
            break
        if tell is not None:
            tell("replying", first, len(fitting))
        made += generate_many(
            decoder,
            [prompt for prompt, _ in fitting[first : first + BATCH]],
            ReplyConfig(max_tokens=longest),
            end_ids=tokenizer.end_ids,
            pad_id=tokenizer.pad_id,
            batch_size=BATCH,
        )
    wanted = [reply for _, reply in fitting[: len(made)]]
    ends = tokenizer.end_ids
    return ReplyJudgement(
        scores=compare_replies(made, wanted, end_ids=ends) if made else None,
        n_prompts=len(pairs),
        n_left_out=len(pairs) - len(fitting),
        n_cut=sum(ids[-1] not in ends for ids in made),
        n_no_room=sum(len(prompt) + len(reply) > context for prompt, reply in fitting),
        longest=longest,
    )


class _Told(Samples):
    """Samples that tell how many of them were taken."""

    def __init__(self, samples: Samples, what: str, tell: Tell, most: int | None) -> None:
        self.context_length = samples.context_length
        self._samples, self._what, self._tell = samples, what, tell
        count = samples.n_samples(0)
        self._count = count if most is None else min(count, most)

    def n_samples(self, epoch: int) -> int:
        return self._samples.n_samples(epoch)

    def _gather(self, epoch: int, keys: NDArray[np.int64]) -> Batch:
        raise NotImplementedError

    @property
    def counts_bytes(self) -> bool:
        return self._samples.counts_bytes

    def text_bytes(self, first: int, count: int) -> int:
        return self._samples.text_bytes(first, count)

    def batch(self, first: int, count: int) -> Batch:
        self._tell(self._what, first, self._count)
        return self._samples.batch(first, count)
