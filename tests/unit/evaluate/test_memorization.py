"""What a model says, looked up in what it learned from: by models whose next word is known."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_runs import write_dialogues
from torch import Tensor

from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.evaluate.memorization import GROUP, OUTPUTS, Parroting, measure_parroting
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.request import TrainRequest

LETTERS = "abcdefg"
BACK = {letter: LETTERS[place - 1] for place, letter in enumerate(LETTERS)}
FORTH = {before: letter for letter, before in BACK.items()}


class Follows(Decoder):
    """Always goes on in the same way after the same token."""

    def __init__(self, data: Prepared, following: Mapping[int, int], *, context: int) -> None:
        size = data.tokenizer.vocab_size
        super().__init__(
            preset("qwen3", vocab_size=size, context_length=context, d_model=2, n_heads=1)
        )
        self.next = torch.tensor([following.get(token, 0) for token in range(size)])

    def forward(self, token_ids: Tensor, *, last_only: bool = False, **_: Any) -> Tensor:
        if last_only:
            token_ids = token_ids[:, -1:]
        logits = torch.zeros(*token_ids.shape, self.config.vocab_size)
        return logits.scatter(-1, self.next[token_ids].unsqueeze(-1), 1000.0)


def prepared(data: Path, kind: str, **settings: Any) -> Prepared:
    request = TrainRequest(data=(str(data),), out=data.parent, tokenizer=kind, **settings)
    corpus = open_corpus(request.data)
    tokenizer = find_tokenizer(request, corpus)
    return prepare_data(request, corpus, tokenizer, request.out / "training", warn=print)


@pytest.fixture
def text(tmp_path: Path) -> Prepared:
    """The letters over and over to learn from; held out are 143 of them, backwards."""
    (tmp_path / "forth.txt").write_text(LETTERS * 40)
    (tmp_path / "back.txt").write_text((LETTERS[::-1] * 21)[:143])
    return prepared(tmp_path / "forth.txt", "characters", held_out=str(tmp_path / "back.txt"))


def by_letter(data: Prepared, following: Mapping[str, str]) -> dict[int, int]:
    one = data.tokenizer.encode
    return {one(a)[0]: one(b)[0] for a, b in following.items()}


def test_a_model_that_repeats_the_training_text(text: Prepared) -> None:
    # 143 letters and the end token are (144 - 1) / 35 = 4 starts of 16 with 20 tokens after them
    found = measure_parroting(Follows(text, by_letter(text, FORTH), context=36), text)
    assert found == Parroting(copied=1.0, usual=0.0, n_outputs=4, searched=1.0)


def test_a_model_that_says_something_else(text: Prepared) -> None:
    found = measure_parroting(Follows(text, by_letter(text, BACK), context=36), text)
    assert found == Parroting(copied=0.0, usual=0.0, n_outputs=4, searched=1.0)


def test_real_text_that_repeats_itself_is_found_as_well(tmp_path: Path) -> None:
    (tmp_path / "forth.txt").write_text(LETTERS * 80)  # the last tenth is held out: 56 of 561
    data = prepared(tmp_path / "forth.txt", "characters", context=16)
    found = measure_parroting(Follows(data, by_letter(data, FORTH), context=36), data)
    assert found == Parroting(copied=1.0, usual=1.0, n_outputs=1, searched=1.0)


def test_a_short_context_has_shorter_starts_or_none(text: Prepared) -> None:
    # 1 token and 20 after it: (144 - 1) / 20 = 7 starts
    shortest = measure_parroting(Follows(text, by_letter(text, FORTH), context=21), text)
    assert shortest is not None and shortest.n_outputs == 7
    assert measure_parroting(Follows(text, {}, context=20), text) is None


def test_nothing_is_measured_where_nothing_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "forth.txt").write_text(LETTERS * 40)
    data = prepared(tmp_path / "forth.txt", "characters", held_out=0.0)
    assert measure_parroting(Follows(data, {}, context=36), data) is None
    (tmp_path / "short.txt").write_text(LETTERS * 5)  # 35 and the end token: one start
    short = str(tmp_path / "short.txt")
    data = prepared(tmp_path / "forth.txt", "characters", held_out=short)
    one = measure_parroting(Follows(data, {}, context=36), data)
    assert one is not None and one.n_outputs == 1
    (tmp_path / "short.txt").write_text(LETTERS * 4 + "abcdef")
    data = prepared(tmp_path / "forth.txt", "characters", held_out=short)
    assert measure_parroting(Follows(data, {}, context=36), data) is None


def write_pairs(path: Path, *pairs: tuple[str, str]) -> Path:
    lines = [json.dumps({"prompt": prompt, "reply": reply}) for prompt, reply in pairs]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def dialogues(tmp_path: Path) -> Prepared:
    held_out = write_pairs(
        tmp_path / "held.jsonl", ("b a", "c d e"), ("b", "d e"), ("a a", "c d"), ("a", "e")
    )
    data = write_pairs(tmp_path / "a.jsonl", ("a b", "c d e"), ("a d e", "a b c d e"), ("a", "e"))
    return prepared(data, "words", held_out=str(held_out), context=32)


@pytest.mark.parametrize(
    ("says", "copied"),
    [
        ("c d e", 1.0),  # a whole reply of the data
        ("e", 1.0),
        ("d e", 0.0),  # the end of one, and of a prompt
        ("c d", 0.0),  # the beginning of one
        ("a b", 0.0),  # a prompt, but nothing before it that ends a prompt
    ],
)
def test_a_short_reply_counts_whole(dialogues: Prepared, says: str, copied: float) -> None:
    end = dialogues.tokenizer.end_id
    ids = [end, *dialogues.tokenizer.encode(says), end]
    decoder = Follows(dialogues, dict(itertools.pairwise(ids)), context=32)
    found = measure_parroting(decoder, dialogues)
    # of the data's four replies "c d e" and "e" are in the training text, "d e" and "c d" not whole
    assert found == Parroting(copied=copied, usual=0.5, n_outputs=4, searched=1.0)


def test_of_a_long_reply_the_first_twenty_tokens_count(tmp_path: Path) -> None:
    long = " ".join("abcdefghijklmnopqrstu")  # 21 words
    held_out = write_pairs(tmp_path / "held.jsonl", ("b", long + " b"), ("c", "b " + long))
    data = prepared(
        write_pairs(tmp_path / "a.jsonl", ("a", "x " + long)),
        "words",
        held_out=str(held_out),
        context=32,
    )
    ids = [data.tokenizer.end_id, *data.tokenizer.encode(long)]
    decoder = Follows(data, dict(itertools.pairwise(ids)), context=32)
    found = measure_parroting(decoder, data)
    assert found == Parroting(copied=1.0, usual=0.5, n_outputs=2, searched=1.0)


def test_a_prompt_without_room_for_an_output_is_left_out(dialogues: Prepared) -> None:
    # with their end tokens the prompts have 3, 2, 3 and 2 tokens
    found = measure_parroting(Follows(dialogues, {}, context=22), dialogues)
    assert found is not None and found.n_outputs == 2
    assert measure_parroting(Follows(dialogues, {}, context=21), dialogues) is None


def test_the_draws_are_the_same_each_time_and_time_is_kept(tmp_path: Path) -> None:
    held_out = str(write_dialogues(tmp_path / "held.jsonl", count=70))
    data = prepared(write_dialogues(tmp_path / "a.jsonl"), "words", held_out=held_out, context=64)
    config = preset(
        "qwen3", vocab_size=data.tokenizer.vocab_size, context_length=64, d_model=4, n_heads=1
    )
    decoder = Decoder(config, seed=3).train()
    first = measure_parroting(decoder, data)
    assert first is not None and first.n_outputs == OUTPUTS
    assert measure_parroting(decoder, data) == first
    assert decoder.training
    hasty = measure_parroting(decoder, data, seconds=0.0)
    assert hasty is not None and hasty.n_outputs == GROUP
