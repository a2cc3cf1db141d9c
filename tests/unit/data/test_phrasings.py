"""Which dialogues are held out as other phrasings, by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from tests.letters import END, Letters

from nextword.data.corpus import open_corpus
from nextword.data.samples.splits import Part, split_phrasings
from nextword.data.shards.token_shards import Shards, prepare
from nextword.errors import ConfigError
from nextword.tokenizer.tokenizer import Tokenizer

Turns = Sequence[str]  # prompt, reply, prompt, reply, …


def shards_of(folder: Path, *files: Sequence[dict[str, Any]]) -> Shards:
    paths = [folder / f"{number}.jsonl" for number in range(len(files))]
    for path, records in zip(paths, files, strict=True):
        path.write_text("\n".join(map(json.dumps, records)))
    return prepare(open_corpus(paths), cast(Tokenizer, Letters()), folder / "shards")


def record(turns: Turns) -> dict[str, Any]:
    if len(turns) == 2:
        return {"prompt": turns[0], "reply": turns[1]}
    roles = ["user", "assistant"] * (len(turns) // 2)
    return {
        "messages": [
            {"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)
        ]
    }


def key(ids: list[int]) -> str:
    """What equal prompts have in common: their letters and digits, in small letters."""
    return "".join(filter(str.isalnum, map(chr, ids))).lower()


def dialogues_of(shards: Shards, part: Part | None) -> list[tuple[str, ...]]:
    """The turns of each dialogue in a part; of no part, no dialogues."""
    spans = [] if part is None else part.spans.tolist()
    return [
        tuple("".join(map(chr, shards.tokens(start, stop - 1).tolist())).split(chr(END)))
        for start, stop in spans
    ]


def split_by_hand(
    folder: Path, dialogues: Sequence[Turns], *, share: float = 0.2, seed: int = 0
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The dialogues to train on, and those held out; nothing is lost or doubled."""
    shards = shards_of(folder, [record(turns) for turns in dialogues])
    train, held_out = split_phrasings(shards, share=share, seed=seed, prompt_key=key)
    learned, asked = dialogues_of(shards, train), dialogues_of(shards, held_out)
    assert sorted(learned + asked) == sorted(map(tuple, dialogues))
    return learned, asked


def normalized(dialogue: Turns) -> str:
    return key([ord(letter) for turn in dialogue[::2] for letter in turn])


def phrasings(n_replies: int, n_each: int) -> list[Turns]:
    """Dialogues with `n_each` prompts to each of `n_replies` replies; no prompt stands twice."""
    return [
        (f"prompt {reply} {place}", f"reply {reply}")
        for place in range(n_each)
        for reply in range(n_replies)
    ]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_each_reply_that_is_asked_for_is_learned_from_another_prompt(
    share: float, seed: int, tmp_path: Path
) -> None:
    learned, asked = split_by_hand(tmp_path, phrasings(7, 3), share=share, seed=seed)
    assert 0 < len(asked) <= round(share * 21)
    assert len(asked) == min(round(share * 21), 14)  # 2 of 3 prompts at most: one stays to learn
    assert {reply for _, reply in asked} <= {reply for _, reply in learned}
    assert not {*map(normalized, asked)} & {*map(normalized, learned)}


def test_each_reply_is_asked_for_once_before_any_is_asked_for_twice(tmp_path: Path) -> None:
    _, asked = split_by_hand(tmp_path, phrasings(5, 5), share=0.2)  # 5 of 25
    assert sorted(reply for _, reply in asked) == [f"reply {number}" for number in range(5)]
    (tmp_path / "more").mkdir()
    _, asked = split_by_hand(tmp_path / "more", phrasings(5, 5), share=0.28)  # 7 of 25
    counts = [sum(reply == f"reply {number}" for _, reply in asked) for number in range(5)]
    assert sorted(counts) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("dialogues", "share"),
    [
        ([(f"prompt {n}", f"reply {n}") for n in range(23)], 0.2),  # no reply repeats
        (phrasings(7, 3), 0.0),
        (phrasings(7, 3), 0.02),  # of 21: less than half a dialogue
        (phrasings(1, 19), 0.2),  # too few documents
    ],
    ids=["no reply repeats", "share 0", "a tiny share", "19 documents"],
)
def test_nothing_is_held_out(dialogues: list[Turns], share: float, tmp_path: Path) -> None:
    learned, asked = split_by_hand(tmp_path, dialogues, share=share)
    assert not asked
    assert learned == [tuple(turns) for turns in dialogues]


def test_of_20_documents_with_one_reply_some_are_held_out(tmp_path: Path) -> None:
    learned, asked = split_by_hand(tmp_path, phrasings(1, 20), share=0.25)
    assert (len(learned), len(asked)) == (15, 5)


def test_of_plain_text_nothing_is_held_out(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [{"text": "the same text"} for _ in range(23)])
    train, held_out = split_phrasings(shards, share=0.2, seed=0, prompt_key=key)
    assert (train.n_documents, held_out) == (23, None)


def test_a_text_beside_the_dialogues_stays_in_training(tmp_path: Path) -> None:
    texts = [{"text": "the same text"} for _ in range(10)]
    shards = shards_of(tmp_path, texts, [record(turns) for turns in phrasings(5, 2)])
    train, held_out = split_phrasings(shards, share=0.9, seed=0, prompt_key=key)
    assert train.n_documents == 15
    asked = dialogues_of(shards, held_out)
    assert sorted(reply for _, reply in asked) == [f"reply {number}" for number in range(5)]


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        split_by_hand(tmp_path, phrasings(7, 3), share=share)


@pytest.mark.parametrize("seed", range(5))
def test_equal_dialogues_stay_on_one_side(seed: int, tmp_path: Path) -> None:
    dialogues = [turns for turns in phrasings(7, 3) for _ in range(2)]
    learned, asked = split_by_hand(tmp_path, dialogues, share=0.25, seed=seed)  # 10.5 → 10 of 42
    assert len(asked) == 10
    assert all(asked.count(dialogue) == 2 for dialogue in asked)
    assert not set(asked) & set(learned)


@pytest.mark.parametrize("seed", range(5))
def test_prompts_that_differ_in_case_and_marks_alone_are_equal(seed: int, tmp_path: Path) -> None:
    spelled = ["{}", "{}?", "{} !"]
    dialogues = [
        (form.format(prompt.title() if form.endswith("!") else prompt), reply)
        for prompt, reply in phrasings(3, 3)
        for form in spelled
    ]
    learned, asked = split_by_hand(tmp_path, dialogues, share=0.5, seed=seed)  # 13.5 → 14 of 27
    assert len(asked) == 12  # in threes
    assert not {*map(normalized, asked)} & {*map(normalized, learned)}


def test_what_stands_too_often_for_the_share_makes_room_for_what_does_not(tmp_path: Path) -> None:
    often: list[Turns] = [("often", "reply")] * 17
    others = [("one", "reply"), ("two", "reply"), ("three", "other"), ("four", "other")]
    learned, asked = split_by_hand(tmp_path, [*often, *others], share=0.1)  # 2 of 21
    assert len(asked) == 2
    assert ("often", "reply") not in asked
    assert {reply for _, reply in asked} <= {reply for _, reply in learned}


@pytest.mark.parametrize("seed", range(5))
def test_a_prompt_with_two_repeated_replies_is_never_held_out(seed: int, tmp_path: Path) -> None:
    dialogues = [*phrasings(5, 4), ("both", "reply 0"), ("Both?", "reply 1")]
    _, asked = split_by_hand(tmp_path, dialogues, share=0.9, seed=seed)
    assert len(asked) > 10
    assert "both" not in {*map(normalized, asked)}


@pytest.mark.parametrize("seed", range(2))
def test_a_prompt_with_a_repeated_reply_and_a_unique_one_is_never_held_out(
    seed: int, tmp_path: Path
) -> None:
    dialogues = [*phrasings(5, 4), ("both", "reply 0"), ("Both?", "said nowhere else")]
    learned, asked = split_by_hand(tmp_path, dialogues, share=0.9, seed=seed)
    assert len(asked) > 10
    assert not {*map(normalized, asked)} & {*map(normalized, learned)}
    assert "both" not in {*map(normalized, asked)}


@pytest.mark.parametrize("seed", range(5))
def test_of_several_turns_all_replies_must_repeat(seed: int, tmp_path: Path) -> None:
    alike: list[Turns] = [(f"hello {n}", "hi", f"and {n}", "bye") for n in range(7)]
    other: list[Turns] = [(f"good day {n}", "hi", "now", f"bye {n}") for n in range(17)]
    learned, asked = split_by_hand(tmp_path, [*alike, *other], share=0.25, seed=seed)  # 6 of 24
    assert len(asked) == 6
    assert {dialogue[1::2] for dialogue in asked} == {("hi", "bye")}
    assert not {*map(normalized, asked)} & {*map(normalized, learned)}


def test_the_seed_decides(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [record(turns) for turns in phrasings(11, 5)])

    def chosen(seed: int) -> list[tuple[str, ...]]:
        _, held_out = split_phrasings(shards, share=0.2, seed=seed, prompt_key=key)
        return dialogues_of(shards, held_out)

    assert chosen(3) == chosen(3)
    assert len({tuple(chosen(seed)) for seed in range(5)}) == 5
