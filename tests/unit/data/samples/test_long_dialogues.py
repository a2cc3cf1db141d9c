"""How dialogues longer than the context are cut, by hand and for any dialogue."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.letters import END, Letters

from nextword.data.corpus import open_corpus
from nextword.data.samples.long_dialogues import CutCounts, cut_dialogues
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.tokenizer.tokenizer import Tokenizer


def shards_of(folder: Path, *dialogues: Sequence[str]) -> Shards:
    path = folder / "a.jsonl"
    roles = ["user", "assistant"]
    records = [
        {
            "messages": [
                {"role": roles[number % 2], "content": turn} for number, turn in enumerate(turns)
            ]
        }
        for turns in dialogues
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return prepare(open_corpus([path]), cast(Tokenizer, Letters()), folder / "shards")


def cut(shards: Shards, capacity: int) -> tuple[list[tuple[str, str]], CutCounts]:
    """Each segment: what is seen, and below each token what it is to predict (`.`: nothing)."""
    segments, counts = cut_dialogues(shards, whole(shards), capacity)
    found = []
    for start, length, goes_on, lead in zip(
        segments.start.tolist(),
        segments.length.tolist(),
        segments.goes_on.tolist(),
        segments.lead.tolist(),
        strict=True,
    ):
        seen = letters(shards, start, start + length)
        targets = letters(shards, start + 1, start + length + goes_on) + "." * (not goes_on)
        known = "".join("." if place + 1 < lead else each for place, each in enumerate(targets))
        found.append((seen, known))
    return found, counts


def letters(shards: Shards, start: int, stop: int) -> str:
    return "".join("|" if id == END else chr(id) for id in shards.tokens(start, stop).tolist())


def test_what_fits_is_left_whole(tmp_path: Path) -> None:
    found, counts = cut(shards_of(tmp_path, ["abc", "def"], ["g", "h"]), 7)
    assert found == [("abc|def", "bc|def|"), ("g|h|", "|h|.")]
    assert counts == CutCounts(longest=8)


def test_a_prompt_loses_its_beginning_and_the_reply_keeps_what_stands_before_it(
    tmp_path: Path,
) -> None:
    found, counts = cut(shards_of(tmp_path, ["abcdefgh", "xyz"]), 7)  # abcdefgh|xyz|
    assert found == [("abcdef", "bcdef."), ("fgh|xyz", "gh|xyz|")]
    assert counts == CutCounts(dialogues=1, prompts=1, longest=13)


def test_the_oldest_turns_are_cut_before_a_prompt_is(tmp_path: Path) -> None:
    found, counts = cut(shards_of(tmp_path, ["ab", "cd", "ef", "gh", "ij", "kl"]), 12)
    assert found == [
        ("ab|cd|ef|gh|", "b|cd|ef|gh|."),
        ("ef|gh|ij|kl|", ".....ij|kl|."),
    ]
    assert counts == CutCounts(dialogues=1, turns=1, longest=18)


def test_earlier_turns_take_no_more_than_half_of_the_context(tmp_path: Path) -> None:
    turns = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]  # 20 tokens
    found, _ = cut(shards_of(tmp_path, turns), 12)
    assert found == [
        ("a|b|c|d|e|f|", "|b|c|d|e|f|."),
        ("e|f|g|h|i|j|", "...g|h|i|j|."),
    ]


def test_a_reply_that_does_not_fit_alone_is_divided_after_a_part_of_its_prompt(
    tmp_path: Path,
) -> None:
    found, counts = cut(shards_of(tmp_path, ["abcdef", "pqrstuvw"]), 6)
    assert found == [
        ("abcde", "bcde."),
        ("ef|pqr", "f|pqrs"),
        ("stuvw|", "tuvw|."),
    ]
    assert counts == CutCounts(dialogues=1, prompts=1, replies=1, longest=16)


dialogues = st.lists(
    st.lists(st.integers(1, 12), min_size=2, max_size=8).map(
        lambda sizes: ["p" * size for size in sizes[: len(sizes) // 2 * 2]]
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(turns=dialogues, capacity=st.integers(2, 20))
def test_every_token_of_a_reply_is_learned_once_and_from_its_prompt_where_it_fits(
    turns: list[list[str]], capacity: int, tmp_path: Path
) -> None:
    shards = shards_of(tmp_path, *turns)
    segments, _ = cut_dialogues(shards, whole(shards), capacity)
    assert segments.length.max() <= capacity
    learned = np.zeros(shards.n_tokens, np.int64)
    for number in range(len(segments.start)):
        start, length = int(segments.start[number]), int(segments.length[number])
        first = start + max(int(segments.lead[number]), 1)
        stop = start + length + bool(segments.goes_on[number])
        learned[first:stop] += 1
    is_reply = shards.replies(0, shards.n_tokens)
    assert (learned <= 1).all()
    assert (learned[is_reply] == 1).all()
    rows = Rows(shards, context_length=capacity, seed=0, learn="replies")
    targets = rows.batch(0, rows.n_samples(0))[1]
    assert (targets >= 0).sum() == is_reply.sum()
