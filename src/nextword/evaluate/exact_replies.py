"""Does a model give the replies that it was given to learn, word for word?

A reply is exact when, given the true earlier turns, it is decoded greedily to the same tokens as
the data's and ended by the end token. A forward pass over the true reply tells at once which ones
cannot be: where the most likely token is not the next one, greedy decoding leaves the reply. Those
that are left are counted only once they have been generated.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nextword.common.text_format import visible
from nextword.config import ReplyConfig
from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards
from nextword.evaluate.scoring import prompts_and_replies
from nextword.generate.engine import generate_many
from nextword.hardware import adaptive_threads
from nextword.model.decoder import Decoder
from nextword.tokenizer.tokenizer import Tokenizer

SCREEN_TOKENS = 8192  # in one forward pass
SCREEN_BLOCK = 512  # pairs of all lengths that are checked together where time is limited
SCREEN_SHARE = 0.5  # of the time for counting
BATCH = 32  # replies generated side by side
SHOWN = 60  # characters of a prompt

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Pair:
    """A prompt, with all earlier turns, and the reply that was given to it; token ids."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerScores:
    """How many of the given replies a model gives.

    Attributes:
        n_pairs: replies that can be exact; the others are counted below.
        n_exact: of these, word for word as given, and ended.
        n_generated: replies that were generated to count; fewer than `n_pairs` if time ran out.
        n_ended: of those generated, ended by the end token.
        n_likely: of those that were not generated, how many the forward pass found right.
        n_unchecked: of those that were not generated, how many the forward pass had no time for.
        n_contradictory: replies to a prompt that also has another reply; not in `n_pairs`.
        n_too_long: replies that do not fit into the context; not in `n_pairs`.
    """

    n_pairs: int
    n_exact: int
    n_generated: int
    n_ended: int
    n_likely: int = 0
    n_contradictory: int = 0
    n_too_long: int = 0
    n_unchecked: int = 0

    @property
    def n_checked(self) -> int:
        """Return how many of the pairs were generated, or seen by a forward pass at least."""
        return self.n_pairs - self.n_unchecked

    @property
    def exact(self) -> float:
        """Return the share of the checked pairs that are exact, 0 … 1, the likely ones included."""
        return (self.n_exact + self.n_likely) / max(self.n_checked, 1)

    @property
    def ended(self) -> float:
        """Return the share of generated replies that ended by themselves, 0 … 1."""
        return self.n_ended / max(self.n_generated, 1)


@dataclass(frozen=True, eq=False)
class GivenPairs:
    """The replies of a part of the data, sorted by whether a model can give them.

    Attributes:
        answerable: one reply to each prompt, which fits into the context.
        contradictory: groups of several replies to one prompt.
        too_long: replies that do not fit into the context behind their prompt.
    """

    answerable: list[Pair]
    contradictory: list[list[Pair]]
    too_long: list[Pair]

    @property
    def n_contradictory(self) -> int:
        """Return how many replies contradict another one, those that are too long apart."""
        long = set(map(id, self.too_long))
        return sum(id(pair) not in long for group in self.contradictory for pair in group)


def given_pairs(shards: Shards, part: Part, *, context: int) -> GivenPairs:
    """Collect every prompt with its reply, each distinct pair once.

    Args:
        context: tokens that the model can look back on.
    """
    replies: dict[tuple[int, ...], dict[tuple[int, ...], Pair]] = defaultdict(dict)
    for prompt, reply in prompts_and_replies(shards, part):
        if prompt:  # a text beside the dialogues has none
            pair = Pair(tuple(prompt), tuple(reply))
            replies[pair.prompt].setdefault(pair.reply, pair)
    answerable, contradictory, too_long = [], [], []
    for given in replies.values():
        pairs = list(given.values())
        long = [each for each in pairs if len(each.prompt) + len(each.reply) > context]
        too_long += long
        if len(pairs) > 1:
            contradictory.append(pairs)
        elif not long:
            answerable += pairs
    return GivenPairs(answerable, contradictory, too_long)


def known_replies(asked: GivenPairs, learned: GivenPairs) -> GivenPairs:
    """Return those of the pairs asked whose reply was learned, from another prompt."""
    pairs = [*learned.answerable, *(pair for group in learned.contradictory for pair in group)]
    replies, prompts = {pair.reply for pair in pairs}, {pair.prompt for pair in pairs}
    return GivenPairs(
        [pair for pair in asked.answerable if pair.reply in replies and pair.prompt not in prompts],
        [],
        [],
    )


def unanswerable(given: GivenPairs, tokenizer: Tokenizer, *, context: int) -> list[str]:
    """Describe the replies that no model can all give word for word, in a sentence each.

    Args:
        given: the pairs.
        tokenizer: what makes them text again.
        context: tokens that the model can look back on.
    """

    def shown(prompt: tuple[int, ...]) -> str:
        text = visible(tokenizer.decode(list(prompt)[:-1]))
        return f"“{text}”" if len(text) <= SHOWN else f"“…{text[-SHOWN:]}”"

    lines = [
        f"the prompt {shown(group[0].prompt)} stands with {len(group)} different replies, of "
        "which it can have one; they are counted apart"
        for group in given.contradictory
    ]
    lines += [
        f"the reply to {shown(pair.prompt)} does not fit into the context: with its prompt it has "
        f"{len(pair.prompt) + len(pair.reply)} tokens, the context holds {context}"
        for pair in given.too_long
    ]
    return lines


def screen(
    decoder: Decoder, pairs: Sequence[Pair], *, pad_id: int, until: float | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Check each pair in one forward pass: is every token of its reply the argmax?

    Args:
        decoder: left in the mode in which it was.
        pairs: which fit into the context.
        pad_id: fills shorter rows.
        until: by `time.monotonic()`, when to check no more; pairs are then taken in random order.

    Returns:
        Which pairs are right, and which were checked; both [len(pairs)].
    """
    right, checked = np.zeros((2, len(pairs)), np.bool_)
    blocks = [np.arange(len(pairs))]
    if until is not None:
        drawn = np.random.default_rng(0).permutation(len(pairs))
        blocks = [drawn[at : at + SCREEN_BLOCK] for at in range(0, len(pairs), SCREEN_BLOCK)]
    was_training = decoder.training
    decoder.eval()
    try:
        for block in blocks:
            if until is not None and checked.any() and time.monotonic() > until:
                break
            right[block] = _screen_block(decoder, [pairs[int(each)] for each in block], pad_id)
            checked[block] = True
    finally:
        decoder.train(was_training)
    return right, checked


@torch.inference_mode()
def _screen_block(decoder: Decoder, pairs: Sequence[Pair], pad_id: int) -> NDArray[np.bool_]:
    """Check the pairs in passes of about SCREEN_TOKENS; those of about one length share a pass."""
    right = np.zeros(len(pairs), np.bool_)
    order = sorted(range(len(pairs)), key=lambda n: len(pairs[n].prompt) + len(pairs[n].reply))
    rows: list[int] = []
    for place, number in enumerate(order):
        rows.append(number)
        length = len(pairs[number].prompt) + len(pairs[number].reply) - 1
        if (len(rows) + 1) * length > SCREEN_TOKENS or place == len(order) - 1:
            right[rows] = _screen_rows(decoder, [pairs[each] for each in rows], pad_id)
            rows = []
    return right


@adaptive_threads()
def _screen_rows(decoder: Decoder, pairs: Sequence[Pair], pad_id: int) -> list[bool]:
    width = max(len(pair.prompt) + len(pair.reply) for pair in pairs) - 1
    ids = torch.full((len(pairs), width + 1), pad_id)
    for row, pair in enumerate(pairs):
        whole = torch.tensor(pair.prompt + pair.reply)
        ids[row, : len(whole)] = whole  # padding comes last: nothing looks at it
    ids = ids.to(decoder.device)
    likeliest = decoder(ids[:, :-1]).argmax(-1)  # [B, T]
    same = (likeliest == ids[:, 1:]).cpu()
    return [
        bool(same[row, len(pair.prompt) - 1 : len(pair.prompt) + len(pair.reply) - 1].all())
        for row, pair in enumerate(pairs)
    ]


def count_answers(
    decoder: Decoder,
    tokenizer: Tokenizer,
    given: GivenPairs,
    *,
    until: float | None = None,
    most: int | None = None,
    progress: Progress | None = None,
) -> AnswerScores:
    """Let a model reply to every prompt that it was given, and count.

    Args:
        decoder, tokenizer: the model.
        given: the pairs, see `given_pairs`.
        until: by `time.monotonic()`, when to generate no more. Those that may be exact are
            generated first, so the count is then a lower bound.
        most: of those that cannot be exact generate so many at most, to tell if they end.
        progress: is told what is done, how much of it, and of how much.
    """
    pairs = given.answerable
    screened = None if until is None else until - SCREEN_SHARE * max(until - time.monotonic(), 0)
    right, checked = screen(decoder, pairs, pad_id=tokenizer.pad_id, until=screened)
    first = [pairs[number] for number in np.flatnonzero(right)]
    unknown = [pairs[number] for number in np.flatnonzero(~checked)]
    wrong = [pairs[number] for number in np.flatnonzero(checked & ~right)]
    if most is not None and most < len(wrong):
        wrong = [wrong[number * len(wrong) // most] for number in range(most)]
    # replies of about one length go side by side: none waits for a much longer one
    todo = [pair for part in (first, unknown, wrong) for pair in sorted(part, key=_lengths)]
    exact = ended = generated = 0
    longest = 2 * max((len(pair.reply) for pair in pairs), default=1)
    for start in range(0, len(todo), BATCH):
        if until is not None and start and time.monotonic() > until:
            break
        if progress is not None:
            progress("replying", start, len(todo))
        batch = todo[start : start + BATCH]
        made = generate_many(
            decoder,
            [list(pair.prompt) for pair in batch],
            ReplyConfig(max_tokens=max(longest, 64)),
            end_ids=tokenizer.end_ids,
            pad_id=tokenizer.pad_id,
            batch_size=BATCH,
        )
        generated += len(made)
        ended += sum(bool(ids) and ids[-1] in tokenizer.end_ids for ids in made)
        exact += sum(tuple(ids) == pair.reply for ids, pair in zip(made, batch, strict=True))
    return AnswerScores(
        n_pairs=len(pairs),
        n_exact=exact,
        n_generated=generated,
        n_ended=ended,
        n_likely=max(len(first) - generated, 0),
        n_contradictory=given.n_contradictory,
        n_too_long=len(given.too_long),
        n_unchecked=len(unknown) - min(max(generated - len(first), 0), len(unknown)),
    )


def _lengths(pair: Pair) -> tuple[int, int]:
    return len(pair.reply), len(pair.prompt)
