"""Whole replies elsewhere: generated before and after a lesson, and which of them changed.

No right answer is fed in: a reply counts as unchanged only if greedy decoding gives the same tokens
as before (evaluation without teacher forcing, as in EasyEdit, arXiv 2308.07269). A forward pass
over the old reply tells which ones did: where every token is still the argmax, greedy decoding
would take it again; where one is not, the reply is another one. Only those need to be generated.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nextword.config import ReplyConfig
from nextword.data.samples.datasets import NO_TARGET, Batch
from nextword.data.samples.shuffling import permuted
from nextword.evaluate.exact_replies import Pair, screen
from nextword.formats.huggingface.save_load import Kind
from nextword.generate.engine import generate_many
from nextword.model.decoder import Decoder
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.correction import Correction
from nextword.teach.edit.rehearsal import Rehearsal
from nextword.teach.edit.token_batches import documents_of
from nextword.teach.lesson import ChangedReply, ReplyLocality, Student
from nextword.tokenizer.tokenizer import Tokenizer

Ids = tuple[int, ...]

REPLY_TOKENS = 128  # of a reply that is generated to be compared, at most
TEXT_PROMPT = 8  # tokens of a text that are given, where the model continues texts
TEXT_REPLY = 32  # tokens of its continuation that are compared
FIRST, CHUNK = 4, 64  # prompts before the first look at the clock, and at most between two
KNOWN_SECONDS, HELD_OUT_SECONDS = 4.0, 2.0  # of generating before a lesson; after it takes less
GUARDED_TOKENS = 16_384  # of prompts and replies that the lesson itself looks after


@dataclass(frozen=True, eq=False)
class KnownReplies:
    """What a decoder replies to the prompts of a batch.

    Attributes:
        pairs: the sample that was evaluated, each prompt with the decoder's own greedy reply.
        n_prompts: how many prompts the batch has.
        guarded: those of the pairs whose reply is the data's, up to GUARDED_TOKENS.
    """

    pairs: tuple[Pair, ...]
    n_prompts: int
    guarded: tuple[Pair, ...]


class Replies:
    """What a model replies elsewhere before a lesson, to compare any decoder with."""

    def __init__(
        self,
        student: Student,
        rehearsal: Rehearsal,
        corrections: Sequence[Correction],
        config: TeachingConfig,
    ) -> None:
        """Generate the replies of before.

        Args:
            student: the model.
            rehearsal: whose prompts are asked, known and held out.
            corrections: what is taught and its phrasings, which are not asked.
            config: of the lesson.
        """
        self._tokenizer, self._kind = student.tokenizer, student.kind
        self._known = self._before(student, rehearsal.known, corrections, config, KNOWN_SECONDS)
        self._held_out: KnownReplies | None = None
        if rehearsal.held_out is not None:
            self._held_out = self._before(
                student, rehearsal.held_out, corrections, config, HELD_OUT_SECONDS
            )

    def _before(
        self, student: Student, batch: Batch, corrections: Sequence[Correction],
        config: TeachingConfig, seconds: float,
    ) -> KnownReplies:  # fmt: skip
        pairs = pairs_in(
            batch, kind=self._kind, end_ids=self._tokenizer.end_ids,
            context=student.config.context_length, apart={item.given for item in corrections},
        )  # fmt: skip
        return known_replies(
            student.decoder, pairs, self._tokenizer, kind=self._kind, seed=config.seed,
            seconds=None if config.judge_all else seconds,
        )  # fmt: skip

    def changed(self, decoder: Decoder) -> tuple[list[Correction], float]:
        """Return the guarded replies that a decoder would change, and the share that it would not.

        They are returned as corrections back to what was replied before.
        """
        guarded = self._known.guarded
        others = changed(decoder, guarded, pad_id=self._tokenizer.pad_id)
        return [_back(pair) for pair in others], 1 - len(others) / max(len(guarded), 1)

    def compared(self, decoder: Decoder, *, most: int) -> dict[str, Any]:
        """Compare what a decoder replies; the values of `Elsewhere` that are about replies.

        Args:
            most: changed replies to name.
        """
        values: dict[str, Any] = {"changed_replies": ()}
        for name, before in (("held_out", self._held_out), ("known", self._known)):
            if before is not None and before.pairs:
                found, named = compare_replies(
                    decoder, before, self._tokenizer, kind=self._kind,
                    which="known" if name == "known" else "held_out", most=most,
                )  # fmt: skip
                values[f"{name}_replies"] = found
                values["changed_replies"] = (*named, *values["changed_replies"])
        values["changed_replies"] = values["changed_replies"][:most]
        return values


def _back(pair: Pair) -> Correction:
    """That a prompt's reply is what it was."""
    ids = (*pair.prompt, *pair.reply)
    learned = tuple(range(len(pair.prompt) - 1, len(ids) - 1))
    return Correction(ids=ids, learned=learned, prompt=(), reply="", kind="pair")


def pairs_in(
    batch: Batch, *, kind: Kind, end_ids: Collection[int], context: int, apart: Collection[Ids] = ()
) -> list[Pair]:
    """Return every prompt of a batch once, with the reply that the batch has for it.

    Args:
        kind: of a dialogue, the prompts are all turns up to each reply; of a text, its beginning.
        end_ids: tokens that end a turn.
        context: tokens that the model can look back on.
        apart: prompts to leave out.
    """
    found: dict[Ids, Pair] = {}
    for ids in _whole(batch):
        for prompt, reply in _turns(ids, end_ids) if kind == "dialogue" else _beginning(ids):
            if prompt not in apart and len(prompt) + len(reply) <= context > len(prompt):
                found.setdefault(prompt, Pair(prompt, reply))
    return list(found.values())


def _whole(batch: Batch) -> Iterator[Ids]:
    """The documents of a batch, with the target of the last token where it has one."""
    tokens, targets, documents = batch
    for row, first, stop in documents_of(tokens, documents):
        last = int(targets[row, stop - 1])
        ids = tuple(tokens[row, first:stop].tolist())
        yield ids if last == NO_TARGET else (*ids, last)


def _turns(ids: Ids, end_ids: Collection[int]) -> Iterator[tuple[Ids, Ids]]:
    """Each prompt, with all turns before it, and the reply that follows; () where none does."""
    first = next((place for place, token in enumerate(ids) if token not in end_ids), len(ids))
    ids = ids[first:]  # the end token that a text begins after
    ends = [place + 1 for place, token in enumerate(ids) if token in end_ids]
    for number in range(0, len(ends), 2):
        stop = ends[number + 1] if number + 1 < len(ends) else ends[number]
        yield ids[: ends[number]], ids[ends[number] : stop]


def _beginning(ids: Ids) -> Iterator[tuple[Ids, Ids]]:
    if ids:
        yield ids[:TEXT_PROMPT], ids[TEXT_PROMPT : TEXT_PROMPT + TEXT_REPLY]


def known_replies(
    decoder: Decoder, pairs: Sequence[Pair], tokenizer: Tokenizer, *, kind: Kind, seed: int,
    seconds: float | None,
) -> KnownReplies:  # fmt: skip
    """Generate what a decoder replies now.

    Args:
        pairs: see `pairs_in`.
        kind: of the model; continuations of a text are bounded by TEXT_REPLY.
        seed: of the order, which decides the sample.
        seconds: stop after so long, once a first part is done; None: evaluate all.
    """
    began = time.monotonic()
    n = len(pairs)
    order = permuted(np.arange(n), n, seed=seed, epoch=0).tolist() if n else []
    found: list[Pair] = []
    guarded: list[Pair] = []
    while len(found) < n:
        start = len(found)
        if start and seconds is not None and time.monotonic() - began > seconds:
            break
        stop = start + min(max(start, FIRST), CHUNK)  # as many again as were done so far
        chunk = [pairs[number] for number in order[start:stop]]
        now, exact = _replied(decoder, chunk, tokenizer, kind)
        found += now
        guarded += [pair for pair, same in zip(now, exact, strict=True) if same]
    return KnownReplies(tuple(found), n, tuple(_up_to(guarded, GUARDED_TOKENS)))


def _up_to(pairs: Sequence[Pair], tokens: int) -> Iterator[Pair]:
    for pair in pairs:
        tokens -= len(pair.prompt) + len(pair.reply)
        if tokens < 0:
            return
        yield pair


def _replied(
    decoder: Decoder, pairs: Sequence[Pair], tokenizer: Tokenizer, kind: Kind
) -> tuple[list[Pair], list[bool]]:
    """The decoder's replies, and which of them are the data's."""
    whole = [_is_whole(pair, tokenizer, kind) for pair in pairs]
    likely, _ = screen(decoder, pairs, pad_id=tokenizer.pad_id)
    exact = [bool(same) and ended for same, ended in zip(likely, whole, strict=True)]
    rest = [pair for pair, same in zip(pairs, exact, strict=True) if not same]
    made = iter(generated(decoder, [pair.prompt for pair in rest], tokenizer, kind=kind))
    now = [
        pair if same else Pair(pair.prompt, next(made))
        for pair, same in zip(pairs, exact, strict=True)
    ]
    return now, exact


def _is_whole(pair: Pair, tokenizer: Tokenizer, kind: Kind) -> bool:
    if kind == "text":
        return len(pair.reply) == TEXT_REPLY and not tokenizer.end_ids.intersection(pair.reply)
    return bool(pair.reply) and pair.reply[-1] in tokenizer.end_ids


def generated(
    decoder: Decoder, prompts: Sequence[Ids], tokenizer: Tokenizer, *, kind: Kind
) -> list[Ids]:
    """Return greedy replies as token ids, each with its end token if it came."""
    most = REPLY_TOKENS if kind == "dialogue" else TEXT_REPLY
    made = generate_many(
        decoder, prompts, ReplyConfig(max_tokens=most), end_ids=tokenizer.end_ids,
        pad_id=tokenizer.pad_id,
    )  # fmt: skip
    return [tuple(ids) for ids in made]


def changed(decoder: Decoder, pairs: Sequence[Pair], *, pad_id: int) -> list[Pair]:
    """Return those of the pairs that a decoder replies to otherwise."""
    same, _ = screen(decoder, pairs, pad_id=pad_id)
    return [pair for pair, kept in zip(pairs, same, strict=True) if not kept]


def compare_replies(
    decoder: Decoder, before: KnownReplies, tokenizer: Tokenizer, *, kind: Kind,
    which: Literal["known", "held_out"], most: int,
) -> tuple[ReplyLocality, tuple[ChangedReply, ...]]:  # fmt: skip
    """Compare what a decoder replies with the replies before.

    Args:
        which: what the batch is.
        most: changed replies to generate and name.
    """
    others = changed(decoder, before.pairs, pad_id=tokenizer.pad_id)
    named = others[:most]
    made = generated(decoder, [pair.prompt for pair in named], tokenizer, kind=kind)
    n = len(before.pairs)
    found = ReplyLocality(n=n, of=before.n_prompts, unchanged=n - len(others))
    return found, tuple(
        ChangedReply(
            set=which,
            prompt=_text(pair.prompt, tokenizer),
            before=_text(pair.reply, tokenizer),
            after=_text(reply, tokenizer),
        )
        for pair, reply in zip(named, made, strict=True)
    )


def _text(ids: Ids, tokenizer: Tokenizer) -> str:
    """The last turn of some tokens as text."""
    while ids and ids[-1] in tokenizer.end_ids:
        ids = ids[:-1]
    ends = [place for place, token in enumerate(ids) if token in tokenizer.end_ids]
    return tokenizer.decode(list(ids[ends[-1] + 1 :] if ends else ids)).strip()
