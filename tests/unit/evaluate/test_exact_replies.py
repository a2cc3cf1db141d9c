"""How many of the replies that were given a model gives, and which ones it may."""

import math
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nextword.config import ReplyConfig
from nextword.evaluate import exact_replies
from nextword.evaluate.exact_replies import (
    AnswerScores,
    GivenPairs,
    Pair,
    count_answers,
    screen,
)
from nextword.generate.engine import generate
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

END, PAD, VOCABULARY, CONTEXT = 11, 12, 13, 17
SPECIALS = cast(
    Tokenizer, SimpleNamespace(end_id=END, end_ids=frozenset({END}), pad_id=PAD, kind="words")
)


# Which replies a model may give


def pairs_of(count: int, *, seed: int) -> list[Pair]:
    """Random prompts of 2 to 6 tokens with replies of 1 to 7, each with its end token."""
    draws = torch.Generator().manual_seed(seed)

    def turn(longest: int) -> tuple[int, ...]:
        length = int(torch.randint(1, longest, (), generator=draws))
        return (*torch.randint(END, (length,), generator=draws).tolist(), END)

    return [Pair(turn(6), turn(7)) for _ in range(count)]


def decoder_of(*, seed: int = 0) -> Decoder:
    sizes = {"d_model": 14, "n_layers": 1, "n_heads": 1}
    config = preset("qwen3", vocab_size=VOCABULARY, context_length=CONTEXT, **sizes)
    decoder = Decoder(config, seed=seed)
    with torch.no_grad():
        decoder.unembedding.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return decoder.eval()


def teach(decoder: Decoder, pairs: Sequence[Pair], *, steps: int) -> None:
    """Learn the replies by heart."""
    ids = torch.full((len(pairs), CONTEXT), PAD)
    targets = torch.full((len(pairs), CONTEXT), -100)
    for row, pair in enumerate(pairs):
        text = torch.tensor(pair.prompt + pair.reply)
        ids[row, : len(text)] = text
        targets[row, len(pair.prompt) - 1 : len(text) - 1] = text[len(pair.prompt) :]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(decoder(ids).flatten(0, 1), targets.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def generated(decoder: Decoder, pair: Pair) -> tuple[int, ...]:
    steps = generate(decoder, pair.prompt, ReplyConfig(), end_ids=frozenset({END}))
    return tuple(step.token_id for step in steps)


LEARNED, UNKNOWN = pairs_of(7, seed=5), pairs_of(19, seed=6)


@pytest.fixture(scope="module")
def trained() -> Decoder:
    """A model that has learned some replies by heart."""
    decoder = decoder_of(seed=3)
    teach(decoder, LEARNED, steps=60)
    return decoder


@pytest.mark.parametrize("which", ["trained", "random"])
def test_a_reply_passes_just_if_greedy_decoding_gives_it(which: str, trained: Decoder) -> None:
    decoder = trained if which == "trained" else decoder_of(seed=7)
    pairs = [*UNKNOWN, *LEARNED]
    if which == "random":  # beside what it was not given, what it says
        pairs += [
            Pair(pair.prompt, made)
            for pair in LEARNED
            if len(made := generated(decoder, pair)) and made != pair.reply
        ]
    found, _ = screen(decoder, pairs, pad_id=PAD)
    assert found.any() and not found.all()
    for passes, pair in zip(found.tolist(), pairs, strict=True):
        made = generated(decoder, pair)
        assert passes == (made[: len(pair.reply)] == pair.reply)
    if which == "trained":
        assert found[-len(LEARNED) :].all()


@pytest.mark.parametrize("tokens", [1, 29, 8192])
def test_neither_padding_nor_what_stands_beside_it_changes_what_passes(
    tokens: int, trained: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [pair for both in zip(LEARNED, UNKNOWN, strict=False) for pair in both]
    alone = [bool(screen(trained, [pair], pad_id=PAD)[0][0]) for pair in pairs]
    monkeypatch.setattr(exact_replies, "SCREEN_TOKENS", tokens)
    assert screen(trained, pairs, pad_id=PAD)[0].tolist() == alone
    assert screen(trained, pairs, pad_id=3)[0].tolist() == alone
    assert screen(trained, pairs[::-1], pad_id=PAD)[0].tolist() == alone[::-1]


def test_of_no_pairs_none_passes_and_the_mode_comes_back(trained: Decoder) -> None:
    assert screen(trained, [], pad_id=PAD)[0].tolist() == []
    trained.train()
    trained.dropout = 0.5
    try:
        assert screen(trained, LEARNED, pad_id=PAD)[0].all()  # without dropout
        assert trained.training
    finally:
        trained.dropout = 0.0
        trained.eval()


# How many replies a model gives


class Follows(Decoder):
    """Knows of each token which one follows it, whatever came before."""

    def __init__(self, following: dict[int, int]) -> None:
        super().__init__(
            preset("qwen3", vocab_size=VOCABULARY, context_length=CONTEXT, d_model=2, n_heads=1)
        )
        self.following = torch.tensor([following.get(each, 0) for each in range(VOCABULARY)])

    def forward(self, token_ids: Tensor, *, last_only: bool = False, **_: object) -> Tensor:
        logits = F.one_hot(self.following[token_ids], VOCABULARY).float()
        return logits[:, -1:] if last_only else logits


FOLLOWING = {1: 2, 2: 3, 3: END, 4: 5, 5: 4, 6: END}
EXACT = [Pair((1,), (2, 3, END)), Pair((7, 1), (2, 3, END)), Pair((6,), (END,))]
ENDED = [Pair((2,), (3, 3, END)), Pair((7, 7, 3), (2, END))]  # with another reply
ENDLESS = [Pair((4,), (5, 4, END)), Pair((5,), (4, END))]


def test_exact_and_ended_replies_are_counted() -> None:
    given = GivenPairs(
        [*ENDLESS, *EXACT, *ENDED], [[Pair((9,), (1, END)), Pair((9,), (2, END))]], ENDLESS[:1]
    )
    told: list[tuple[str, int, int]] = []
    found = count_answers(
        Follows(FOLLOWING), SPECIALS, given, progress=lambda *values: told.append(values)
    )
    assert found == AnswerScores(
        n_pairs=7, n_exact=3, n_generated=7, n_ended=5, n_contradictory=2, n_too_long=1
    )
    assert (found.exact, found.ended) == (3 / 7, 5 / 7)
    assert told == [("replying", 0, 7)]


def test_a_beginning_of_the_reply_is_not_exact() -> None:
    shorter, longer = Pair((1,), (2, 3)), Pair((1,), (2, 3, END, END))
    found = count_answers(Follows(FOLLOWING), SPECIALS, GivenPairs([shorter, longer], [], []))
    assert (found.n_exact, found.n_ended) == (0, 2)


def test_a_reply_that_fills_the_context_is_exact() -> None:
    reply = (2, 3, END)
    pair = Pair((*[7] * (CONTEXT - 1 - len(reply)), 1), reply)
    found = count_answers(Follows(FOLLOWING), SPECIALS, GivenPairs([pair], [], []))
    assert (found.n_exact, found.n_ended) == (1, 1)


def test_of_no_pairs_nothing_is_generated() -> None:
    found = count_answers(Follows(FOLLOWING), SPECIALS, GivenPairs([], [], []))
    assert found == AnswerScores(n_pairs=0, n_exact=0, n_generated=0, n_ended=0)
    assert (found.exact, found.ended) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("batches", "expected"),
    [(1, (2, 2, 2)), (2, (3, 4, 3)), (3, (3, 6, 4)), (4, (3, 7, 5))],
)
def test_when_time_is_up_what_may_be_exact_has_been_generated_first(
    batches: int, expected: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_replies, "BATCH", 2)
    begun = 0

    def told(*_: Any) -> None:
        nonlocal begun
        begun += 1

    clock = SimpleNamespace(monotonic=lambda: math.inf if begun >= batches else 0.0)
    monkeypatch.setattr(exact_replies, "time", clock)
    given = GivenPairs([*ENDLESS, *ENDED, *EXACT], [], [])
    found = count_answers(Follows(FOLLOWING), SPECIALS, given, until=1.0, progress=told)
    assert found.n_pairs == 7
    assert (found.n_exact, found.n_generated, found.n_ended) == expected


def test_without_time_one_batch_is_generated_all_the_same(trained: Decoder) -> None:
    given = GivenPairs(LEARNED, [], [])
    found = count_answers(trained, SPECIALS, given, until=time.monotonic() - 1)
    assert (found.n_pairs, found.n_exact, found.n_generated, found.n_ended) == (7, 7, 7, 7)


def test_what_there_was_no_time_to_check_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_replies, "SCREEN_BLOCK", 3)
    monkeypatch.setattr(exact_replies, "BATCH", 2)
    clock = SimpleNamespace(monotonic=lambda: 1.0)  # the time is over from the start
    monkeypatch.setattr(exact_replies, "time", clock)
    given = GivenPairs([*ENDLESS, *ENDED, *EXACT], [], [])
    right, checked = screen(Follows(FOLLOWING), given.answerable, pad_id=PAD, until=0.0)
    assert checked.sum() == 3
    assert (right <= checked).all()
    found = count_answers(Follows(FOLLOWING), SPECIALS, given, until=0.0)
    n_first = int(right.sum())
    assert found.n_generated == 2
    assert found.n_unchecked == 4 - max(2 - n_first, 0)
    assert found.n_checked == 7 - found.n_unchecked
    assert found.exact == (found.n_exact + found.n_likely) / found.n_checked
