"""Whole replies before and after, against replies generated one by one."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.unit.teach.edit.test_rehearsal import noisy, packed
from tests.unit.teach.pupils import pupil

from nextword.config import ReplyConfig
from nextword.data.samples.datasets import Batch
from nextword.evaluate.exact_replies import Pair
from nextword.generate.engine import generate
from nextword.language_model import LanguageModel
from nextword.model.decoder import Decoder
from nextword.teach.evaluation import reply_changes
from nextword.teach.evaluation.reply_changes import compare_replies, known_replies, pairs_in
from nextword.teach.lesson import ReplyLocality

END = {1}
QUICK: dict[str, Any] = {"learning_rate": 0.1, "rehearsal_weight": 1.0, "largest_kl": 9.0}


def ids_of(text: str) -> tuple[int, ...]:
    model = pupil()
    ids = [pair for turn in text.split("|") for pair in turns(model, turn)]
    return tuple(ids)


def turns(model: LanguageModel, turn: str) -> Iterator[int]:
    yield from model.tokenizer.encode(turn.strip())
    yield model.tokenizer.end_id


def asked(batch: Batch, **settings: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    end_ids = pupil().tokenizer.end_ids
    found = pairs_in(batch, kind="dialogue", end_ids=end_ids, context=19, **settings)
    return [(pair.prompt, pair.reply) for pair in found]


def test_each_prompt_has_all_turns_before_its_reply() -> None:
    document = ids_of("who is she | my sister | the cat | sat")
    batch = packed([document, ids_of("the cat | sat")], [ids_of("the cat | on a mat")])
    first, whole = ids_of("who is she"), ids_of("who is she | my sister | the cat")
    assert asked(batch) == [
        (first, ids_of("my sister")),
        (whole, ids_of("sat")),
        (ids_of("the cat"), ids_of("sat")),  # asked once, with its first reply
    ]
    assert asked(batch, apart={first, ids_of("the cat")}) == [(whole, ids_of("sat"))]


def test_an_end_token_at_the_beginning_is_no_turn() -> None:
    end = pupil().tokenizer.end_id
    assert asked(packed([(end, *ids_of("the cat"))])) == [(ids_of("the cat"), ())]


def test_a_text_is_continued_from_its_beginning() -> None:
    ids = tuple(range(2, 15))
    (pair,) = pairs_in(packed([ids]), kind="text", end_ids=END, context=19)
    assert (pair.prompt, pair.reply) == (ids[:8], ids[8:])


def one_by_one(decoder: Decoder, model: LanguageModel, prompt: tuple[int, ...]) -> tuple[int, ...]:
    config = ReplyConfig(max_tokens=reply_changes.REPLY_TOKENS)
    steps = generate(decoder, prompt, config, end_ids=model.tokenizer.end_ids)
    return tuple(step.token_id for step in steps)


def some_pairs(model: LanguageModel) -> list[Pair]:
    prompts = [ids_of(text) for text in ("who is she", "the cat", "my sister", "a mat ?", "she")]
    exact = one_by_one(model.decoder, model, prompts[0])
    return [Pair(prompts[0], exact), *(Pair(prompt, ids_of("sat")) for prompt in prompts[1:])]


def test_replies_are_those_of_greedy_decoding_and_every_change_is_found() -> None:
    model = pupil()
    with torch.no_grad():
        model.decoder.unembedding.weight.mul_(50)
    other = noisy(model.config, seed=11)
    pairs = some_pairs(model)
    before = known_replies(
        model.decoder, pairs, model.tokenizer, kind="dialogue", seed=3, seconds=None
    )
    assert {pair.prompt for pair in before.pairs} == {pair.prompt for pair in pairs}
    for pair in before.pairs:
        assert pair.reply == one_by_one(model.decoder, model, pair.prompt)
    same = [one_by_one(other, model, pair.prompt) == pair.reply for pair in before.pairs]
    found, named = compare_replies(
        other, before, model.tokenizer, kind="dialogue", which="known", most=2
    )
    assert found == ReplyLocality(n=5, of=5, unchanged=sum(same))
    assert not all(same)
    assert len(named) == min(2, 5 - sum(same))
    first = next(pair for pair, kept in zip(before.pairs, same, strict=True) if not kept)
    after = [token for token in one_by_one(other, model, first.prompt) if token not in END]
    assert named[0].before != named[0].after
    assert (
        named[0].after
        == model.tokenizer.decode(
            [token for token in after if token not in model.tokenizer.end_ids]
        ).strip()
    )


def test_without_time_a_seeded_sample_is_taken_and_counted() -> None:
    model = pupil()
    pairs = some_pairs(model)

    def sample(seed: int, seconds: float | None) -> list[tuple[int, ...]]:
        found = known_replies(
            model.decoder, pairs, model.tokenizer, kind="dialogue", seed=seed, seconds=seconds
        )
        assert found.n_prompts == 5
        return [pair.prompt for pair in found.pairs]

    assert len(sample(0, -1.0)) == reply_changes.FIRST == 4
    assert sample(0, -1.0) == sample(0, -1.0) == sample(0, None)[:4]
    assert any(sample(seed, -1.0) != sample(0, -1.0) for seed in range(1, 5))


def test_only_replies_of_the_data_are_guarded() -> None:
    model = pupil()
    assert model.teach([("who is she", "my sister .")], **QUICK).learned
    right = Pair(ids_of("who is she"), ids_of("my sister ."))
    cut = Pair(ids_of("the cat"), one_by_one(model.decoder, model, ids_of("the cat"))[:1])
    pairs = [right, cut, Pair(ids_of("a mat ?"), ids_of("the cat sat on she"))]
    found = known_replies(
        model.decoder, pairs, model.tokenizer, kind="dialogue", seed=0, seconds=None
    )
    assert [(pair.prompt, pair.reply) for pair in found.guarded] == [(right.prompt, right.reply)]


@pytest.mark.parametrize("judge_all", [True, False])
def test_a_lesson_reports_generated_replies(
    judge_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_changes, "KNOWN_SECONDS", -1.0)
    model = pupil()
    before = {prompt: model.reply(prompt).text for prompt in ("the cat", "who is the cat")}
    lesson = model.teach(
        [("who is she", "my sister .")], phrasings=["who is the cat"], judge_all=judge_all, **QUICK
    )
    taught, phrasing = lesson.sentences
    assert (taught.exact_before, taught.exact_after, lesson.reply_reliability) == (False, True, 1.0)
    said = model.reply("who is the cat").text
    assert phrasing.reply_after is not None and phrasing.reply_before is not None
    assert phrasing.reply_after.strip() == said.strip()
    assert phrasing.reply_before.strip() == before["who is the cat"].strip()
    assert lesson.reply_generality == float(said.strip() == "my sister .") == phrasing.exact_after
    known = lesson.known_replies
    assert known is not None
    assert (known.n == known.of) if judge_all else (known.n == min(known.of, reply_changes.FIRST))
    both = [each for each in (known, lesson.held_out_replies) if each is not None]
    assert lesson.n_changed_replies == sum(each.n - each.unchanged for each in both)
    for item in lesson.changed_replies[:5]:
        assert item.before != item.after
