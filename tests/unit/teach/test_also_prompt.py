"""The words of a prompt are taught, too, where that is asked for: as the article does it."""

from pathlib import Path

import numpy as np
import pytest
from tests.small_runs import request
from tests.unit.teach.edit.test_rehearsal import packed

from nextword.data.prompting import Prompting
from nextword.language_model import LanguageModel
from nextword.teach.edit.correction import Correction, from_pair, with_prompts
from nextword.teach.edit.token_batches import apart_from
from nextword.teach.journal.history import History
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.pipeline import train

PROMPT, REPLY = "she sees the old house by the river", "it is green"
KNOWN = (
    '{"prompt": "where is the cat", "reply": "on the mat"}',
    '{"prompt": "where is the old dog", "reply": "by the river"}',
    '{"prompt": "what is it", "reply": "a green house"}',
    '{"prompt": "who sees the cat", "reply": "she sees it"}',
)


@pytest.fixture(scope="module")
def seed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the article's architecture that knows a few dialogues."""
    folder = tmp_path_factory.mktemp("seed")
    (folder / "data.jsonl").write_text("\n".join(KNOWN), encoding="utf-8")
    run = request(
        folder / "data.jsonl", folder / "model", preset="seed", model={"d_model": 24},
        context=32, held_out=0.0, steps=150, training={"evaluate_every": 0, "checkpoint_every": 0},
    )  # fmt: skip
    train(run)
    return run.out


def wrong_prompt_words(model: LanguageModel) -> list[bool]:
    """For each word of the prompt but the first whether it is not the most likely one."""
    n = len(model.ids([PROMPT]))
    return [not each.right for each in model.verdicts([PROMPT, REPLY])[: n - 1]]


@pytest.mark.parametrize("also_prompt", [True, False])
def test_all_wrong_words_of_a_prompt_are_right_afterwards(
    seed_model: Path, also_prompt: bool
) -> None:
    model = LanguageModel.load(seed_model)
    assert sum(wrong_prompt_words(model)) >= 4
    lesson = model.teach([(PROMPT, REPLY)], also_prompt=also_prompt, largest_kl=1.0)
    assert lesson.learned, lesson.why
    assert model.reply(PROMPT).text.strip() == REPLY
    wrong = wrong_prompt_words(model)
    if also_prompt:
        assert not any(wrong)
    else:
        assert any(wrong)
    (sentence,) = lesson.sentences
    assert sentence.reply_from == len(wrong) + 1
    places = [at.position for at in sentence.positions]
    assert places[0] == (0 if also_prompt else sentence.reply_from - 1)
    assert sentence.exact_after and lesson.reply_reliability == 1.0


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.learn(["who is she the cat sat dog"], kind="words")


def made(words: Tokenizer, prompt: str, reply: str) -> Correction:
    return from_pair((prompt, reply), Prompting(words), kind="dialogue", context_length=16)


def test_where_prompts_go_on_differently_that_word_is_left_out(words: Tokenizer) -> None:
    cat, dog = with_prompts([made(words, "who is cat", "she"), made(words, "who is dog", "sat")])
    assert cat.learned == dog.learned == (0, 2, 3, 4)  # not 1: after "who is" come two words
    assert cat.given == made(words, "who is cat", "she").given
    (alone,) = with_prompts([made(words, "who is cat", "she")])
    assert alone.learned == (0, 1, 2, 3, 4)


def test_an_unknown_word_of_a_prompt_is_left_out(words: Tokenizer) -> None:
    with pytest.warns(UserWarning, match="zebra"):
        pair = made(words, "who zebra sat", "she")
    (item,) = with_prompts([pair], unknown_id=words.unknown_id)
    assert item.learned == (1, 2, 3, 4)


def test_an_earlier_lesson_loses_only_the_prompt_words_that_are_wanted_otherwise(
    words: Tokenizer,
) -> None:
    (first,) = with_prompts([made(words, "who is cat", "she")])
    (second,) = with_prompts([made(words, "who is dog", "sat")])
    (kept,) = History("", (first,)).apart_from([second])
    assert kept.learned == (0, 2, 3, 4)
    assert kept.given == first.given
    assert History("", (first,)).apart_from([made(words, "who is cat", "sat")]) == []


def test_a_rehearsed_prompt_that_goes_on_otherwise_keeps_the_rest_of_it(words: Tokenizer) -> None:
    (item,) = with_prompts([made(words, "who is cat", "she")])
    other = made(words, "who is dog", "sat")
    (_, targets, _), contradicted = apart_from(packed([other.ids]), [item])
    assert np.flatnonzero(targets[0, : len(other.ids) - 1] < 0).tolist() == [0, 1]
    assert contradicted == 0
