"""Cut dialogues that are longer than the context so that every reply keeps what stands before it.

A part of such a dialogue is a stretch of whole exchanges, each a prompt and its reply. It begins
with earlier turns as context, as many as fit into CONTEXT_SHARE of it, and the oldest turns are
what is cut. Only where a reply does not fit with its own prompt is the prompt cut, at its
beginning; only a reply that does not fit alone is divided.

Every token is learned at most once. What stands before the first part is learned in pieces of its
own, unless replies alone are learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.packing import Segments, cut_documents
from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards

CONTEXT_SHARE = 0.5  # of a part, at most, that repeats earlier turns of the dialogue


@dataclass(frozen=True, kw_only=True)
class CutCounts:
    """How many dialogues do not fit into the context, and what is lost by that.

    Attributes:
        dialogues: longer than the context.
        prompts: of which the beginning is cut, although the reply to them is learned.
        turns: replies that do not see all of the earlier turns.
        replies: that are divided, because they do not fit alone.
        longest: tokens of the longest dialogue.
    """

    dialogues: int = 0
    prompts: int = 0
    turns: int = 0
    replies: int = 0
    longest: int = 0


NOTHING_CUT = CutCounts()


@dataclass(frozen=True)
class _Exchange:
    """A prompt and its reply: where they begin and where the reply ends."""

    prompt: int
    reply: int
    stop: int


@dataclass
class _Counter:
    """The counts so far."""

    prompts: int = 0
    turns: int = 0
    replies: int = 0


@dataclass(frozen=True)
class _Stretch:
    """Tokens start … stop - 1 of a dialogue, the first `lead` of which are context alone."""

    start: int
    stop: int
    lead: int = 0


def cut_dialogues(shards: Shards, part: Part, capacity: int) -> tuple[Segments, CutCounts]:
    """Return the documents of a part as segments of at most `capacity` tokens, and what was cut.

    Args:
        shards: where the documents lie; tells which tokens are replies.
        part: the documents, in their order.
        capacity: tokens that the model can look back on. A document of one token more still fits,
            because its last token is only predicted.
    """
    long = part.spans[:, 1] - part.spans[:, 0] - 1 > capacity
    whole, _ = cut_documents(Part(part.spans[~long]), capacity)
    counter, longest = _Counter(), int((part.spans[:, 1] - part.spans[:, 0]).max(initial=0))
    rows: list[tuple[int, int, bool, int]] = []  # start, length, goes on, lead
    for start, stop in part.spans[long].tolist():
        rows += _segments(_stretches(shards, start, stop, capacity, counter), capacity)
    cut = _as_segments(rows)
    merged = Segments(
        *(
            np.concatenate((getattr(whole, name), getattr(cut, name)))
            for name in ("start", "length", "goes_on", "is_piece", "lead")
        )
    )
    order = np.argsort(merged.start + merged.lead, kind="stable")  # as in the part
    counts = CutCounts(
        dialogues=int(long.sum()),
        prompts=counter.prompts,
        turns=counter.turns,
        replies=counter.replies,
        longest=longest,
    )
    return merged.only(order), counts


def _as_segments(rows: list[tuple[int, int, bool, int]]) -> Segments:
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    is_piece = np.ones(len(table), np.bool_)
    return Segments(table[:, 0], table[:, 1], table[:, 2].astype(np.bool_), is_piece, table[:, 3])


def _segments(stretches: Iterator[_Stretch], capacity: int) -> Iterator[tuple[int, int, bool, int]]:
    """Return the stretches of one document as segments, those that are too long in several."""
    for stretch in stretches:
        start, lead = stretch.start, stretch.lead
        while start < stretch.stop - 1:  # a last token alone predicts nothing
            length = min(capacity, stretch.stop - start)
            yield start, length, start + length < stretch.stop, lead
            start, lead = start + length, 0


def _stretches(
    shards: Shards, start: int, stop: int, capacity: int, counter: _Counter
) -> Iterator[_Stretch]:
    """Divide one long dialogue; stretches follow each other, and overlap by their leads alone."""
    exchanges = _exchanges(shards.replies(start, stop), start)
    learned = start  # the tokens before are learned already, or are context alone
    first = 0  # of the exchanges of the next stretch
    while first < len(exchanges):
        begin, last = _grow(exchanges, first, capacity)
        if begin > learned:  # cut off: no reply follows in reach
            yield _Stretch(max(learned - 1, start), begin + 1)
        _count(exchanges, first, last, begin, counter, capacity)
        yield _Stretch(begin, exchanges[last].stop, max(learned - begin, 0))
        learned, first = exchanges[last].stop, last + 1
    if learned < stop:  # a prompt without a reply
        yield _Stretch(max(learned - 1, start), stop)


def _grow(exchanges: list[_Exchange], first: int, capacity: int) -> tuple[int, int]:
    """Return where the stretch begins that has this exchange as its first, and its last one."""
    this = exchanges[first]
    if this.stop - this.prompt - 1 > capacity:  # the prompt's beginning is cut, as a last resort
        room = capacity + 1 - (this.stop - this.reply)
        kept = room if room > 0 else capacity // 2
        return max(this.reply - kept, this.prompt), first
    begin = this.prompt
    for earlier in reversed(exchanges[:first]):
        fits = this.stop - earlier.prompt - 1 <= capacity
        if not fits or this.prompt - earlier.prompt > CONTEXT_SHARE * capacity:
            break
        begin = earlier.prompt
    last = first
    while last + 1 < len(exchanges) and exchanges[last + 1].stop - begin - 1 <= capacity:
        last += 1
    return begin, last


def _count(
    exchanges: list[_Exchange], first: int, last: int, begin: int, counter: _Counter, capacity: int
) -> None:
    """Count what the stretch from `begin` with these exchanges lost."""
    counter.prompts += begin > exchanges[first].prompt
    counter.turns += (last - first + 1) * (begin > exchanges[0].prompt) * (first > 0)
    counter.replies += exchanges[first].stop - exchanges[first].reply - 1 > capacity


def _exchanges(is_reply: NDArray[np.bool_], start: int) -> list[_Exchange]:
    """Return the prompts with their replies; a text without a prompt is one reply."""
    change = np.flatnonzero(np.diff(is_reply.astype(np.int8))) + 1  # [n], where the speaker changes
    bounds = [0, *change.tolist(), len(is_reply)]
    if is_reply[0]:  # no prompt before the first reply
        bounds = [0, *bounds]
    pairs = zip(bounds[0::2], bounds[1::2], bounds[2::2], strict=False)
    return [_Exchange(start + a, start + b, start + c) for a, b, c in pairs]
