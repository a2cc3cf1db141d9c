"""Which documents count as equal, and what is held out by that."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextword.data.corpus import open_corpus
from nextword.data.samples.document_hashes import ContentKeys, content_keys, normalized
from nextword.data.samples.split_by_content import (
    Overlap,
    count_duplicates,
    overlap,
    split_by_content,
    split_phrasings_by_content,
)
from nextword.data.samples.splits import Part, split_phrasings, whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.errors import ConfigError
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.tokenizer.training import KINDS, TokenizerKind

Pair = tuple[str, str]


def prepared(
    folder: Path, records: Sequence[Pair | str], *, kind: TokenizerKind = "bpe"
) -> tuple[Shards, Tokenizer]:
    """Shards of dialogues (pairs) and texts (strings)."""
    lines: list[dict[str, Any]] = [
        {"text": record} if isinstance(record, str) else {"prompt": record[0], "reply": record[1]}
        for record in records
    ]
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    texts = [text for line in lines for text in line.values()]
    tokenizer = Tokenizer.learn(texts, kind=kind)
    return prepare(open_corpus([path]), tokenizer, folder / "shards"), tokenizer


def keys_of(
    folder: Path, records: Sequence[Pair | str], *, kind: TokenizerKind = "bpe"
) -> ContentKeys:
    shards, tokenizer = prepared(folder, records, kind=kind)
    return content_keys(shards, whole(shards), tokenizer)


def numbers(shards: Shards, part: Part | None) -> list[int]:
    """The numbers of the documents in a part."""
    starts = shards.document_starts.tolist()
    return [] if part is None else [starts.index(start) for start, _ in part.spans.tolist()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is the cat?", "where is  the cat ?"),
        ("ÄRGER!", "ärger"),
        ("„Wo?“ fragte sie.", "wo fragte sie"),
        ("猫在哪里？", "猫在哪里"),
        ("a\n\nb", "A b"),
    ],
)
def test_case_spaces_and_marks_around_words_do_not_count(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 + 1", "1 - 1"),
        ("1+1", "11"),
        ("1.5", "15"),
        ("it's", "its"),
        ("?", "!"),
        ("🙂", "🙁"),
        ("the cat", "thecat"),
    ],
)
def test_what_says_something_else_is_not_equal(one: str, other: str) -> None:
    assert normalized(one) != normalized(other)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_of_what_the_tokens_say(kind: TokenizerKind, tmp_path: Path) -> None:
    records = [
        ("Where is the Käse?", "in the oak"),
        ("where is the käse", "In the oak."),
        ("where is the käse", "on the mat"),
        ("who", "in the oak"),
    ]
    keys = keys_of(tmp_path, records, kind=kind)
    prompt, reply = keys.prompt.tolist(), keys.reply.tolist()
    assert prompt[0] == prompt[1] == prompt[2] != prompt[3]
    assert reply[0] == reply[1] == reply[3] != reply[2]
    exact = keys.exact_reply.tolist()
    assert exact[0] == exact[3] and len(set(exact)) == 3
    assert count_duplicates(keys) == 1


def test_keys_do_not_depend_on_how_many_documents_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, tokenizer = prepared(tmp_path, [(f"prompt {n}", f"reply {n % 5}") for n in range(50)])
    at_once = content_keys(shards, whole(shards), tokenizer)
    monkeypatch.setattr("nextword.data.samples.document_hashes.BLOCK_TOKENS", 1)
    monkeypatch.setattr("nextword.data.samples.document_hashes.LONG", 10**9)
    one_by_one = content_keys(shards, whole(shards), tokenizer)
    np.testing.assert_array_equal(at_once.document, one_by_one.document)
    some = Part(whole(shards).spans[::3])
    np.testing.assert_array_equal(content_keys(shards, some, tokenizer).prompt, at_once.prompt[::3])


@pytest.mark.parametrize("seed", range(5))
def test_equal_prompts_and_equal_replies_stay_on_one_side(seed: int, tmp_path: Path) -> None:
    records = [
        (f"What is {n // 2}{'?' * (n % 2)}", f"reply {n}" if n < 60 else f"reply {n % 7}")
        for n in range(100)
    ]
    shards, tokenizer = prepared(tmp_path, records)
    keys = content_keys(shards, whole(shards), tokenizer)
    train, held_out = split_by_content(shards, keys, share=0.2, seed=seed, context_length=8)
    asked, learned = numbers(shards, held_out), numbers(shards, train)
    assert len(asked) == 20 and sorted(asked + learned) == list(range(100))
    assert not {normalized(records[n][0]) for n in asked} & {
        normalized(records[n][0]) for n in learned
    }
    assert not {records[n][1] for n in asked} & {records[n][1] for n in learned}


def test_where_replies_repeat_too_often_prompts_decide(tmp_path: Path) -> None:
    records = [(f"What is {n}", ("yes", "no")[n % 2]) for n in range(60)]
    shards, tokenizer = prepared(tmp_path, records)
    keys = content_keys(shards, whole(shards), tokenizer)
    train, held_out = split_by_content(shards, keys, share=0.1, seed=0, context_length=8)
    assert held_out is not None and held_out.n_documents == 6
    held = np.isin(np.arange(60), numbers(shards, held_out))
    found = overlap(keys.only(~held), keys.only(held))
    assert found == Overlap(n_documents=6, documents=0, prompts=0, replies=6)
    assert train.n_documents == 54


@pytest.mark.parametrize("records", [[("where", "here")] * 40, ["The same text."] * 40])
def test_of_equal_documents_nothing_is_held_out(records: list[Any], tmp_path: Path) -> None:
    shards, tokenizer = prepared(tmp_path, records)
    keys = content_keys(shards, whole(shards), tokenizer)
    assert count_duplicates(keys) == 39
    train, held_out = split_by_content(shards, keys, share=0.1, seed=0, context_length=2)
    assert (train.n_documents, held_out) == (40, None)


def test_equal_texts_stay_on_one_side(tmp_path: Path) -> None:
    records = [f"Text number {n % 30}." for n in range(90)]
    shards, tokenizer = prepared(tmp_path, records)
    keys = content_keys(shards, whole(shards), tokenizer)
    train, held_out = split_by_content(shards, keys, share=0.2, seed=1, context_length=4)
    asked, learned = numbers(shards, held_out), numbers(shards, train)
    assert len(asked) == 18
    assert not {n % 30 for n in asked} & {n % 30 for n in learned}


def test_the_choice_follows_from_seed_and_content_not_from_the_order(tmp_path: Path) -> None:
    records = [(f"What is {n}", f"reply {n}") for n in range(200)]

    def chosen(order: Sequence[Pair], seed: int) -> set[Pair]:
        folder = tmp_path / f"{order[0][0]}{seed}"
        folder.mkdir()
        shards, tokenizer = prepared(folder, order)
        keys = content_keys(shards, whole(shards), tokenizer)
        _, held_out = split_by_content(shards, keys, share=0.1, seed=seed, context_length=8)
        return {order[n] for n in numbers(shards, held_out)}

    forth, back = chosen(records, 3), chosen(records[::-1], 3)
    assert forth == back and len(forth) == 20
    assert chosen(records, 4) != forth


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_at_least_one_document_in_each_part(share: float, tmp_path: Path) -> None:
    shards, tokenizer = prepared(tmp_path, [(f"What {n}", f"reply {n}") for n in range(20)])
    keys = content_keys(shards, whole(shards), tokenizer)
    train, held_out = split_by_content(shards, keys, share=share, seed=0, context_length=2)
    assert held_out is not None
    assert {train.n_documents, held_out.n_documents} == {1, 19}
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        split_by_content(shards, keys, share=1.0, seed=0, context_length=2)


@pytest.mark.parametrize("seed", range(3))
def test_phrasings_by_content_are_those_of_rule_2(seed: int, tmp_path: Path) -> None:
    records = [(f"prompt {place}, {n}?", f"reply {n}") for place in range(4) for n in range(9)]
    shards, tokenizer = prepared(tmp_path, [*records, *records[:5]])
    keys = content_keys(shards, whole(shards), tokenizer)

    def key(ids: list[int]) -> str:
        return "".join(filter(str.isalnum, tokenizer.decode(ids).casefold()))

    before = split_phrasings(shards, share=0.2, seed=seed, prompt_key=key)
    now = split_phrasings_by_content(shards, keys, share=0.2, seed=seed)
    assert numbers(shards, now[1]) == numbers(shards, before[1]) != []
    asked, learned = numbers(shards, now[1]), numbers(shards, now[0])
    held = np.isin(np.arange(len(keys.prompt)), asked)
    assert overlap(keys.only(~held), keys.only(held)) == Overlap(
        n_documents=len(asked), replies=len(asked)
    )
    assert len(asked) + len(learned) == 41


def test_texts_beside_dialogues_have_no_exact_reply(tmp_path: Path) -> None:
    keys = keys_of(tmp_path, [("who", "me")])
    assert keys.exact_reply.tolist() != [0]
    assert keys_of(tmp_path, ["me", "me"]).exact_reply.tolist() == [0, 0]
