"""Which of the replies that were given can be learned."""

import json
from collections.abc import Sequence
from pathlib import Path

from nextword.data.corpus import open_corpus
from nextword.data.samples.splits import Part, whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.evaluate.exact_replies import Pair, given_pairs, unanswerable
from nextword.tokenizer.tokenizer import Tokenizer


def shards_of(
    folder: Path, dialogues: Sequence[Sequence[str]], texts: Sequence[str] = ()
) -> tuple[Shards, Tokenizer]:
    """Dialogues of turns, and texts in a file beside them."""
    paths = [folder / "dialogues.jsonl"]
    records = [
        {
            "messages": [
                {"role": ("user", "assistant")[place % 2], "content": turn}
                for place, turn in enumerate(turns)
            ]
        }
        for turns in dialogues
    ]
    paths[0].write_text("\n".join(map(json.dumps, records)))
    if texts:
        paths.append(folder / "texts.jsonl")
        paths[1].write_text("\n".join(json.dumps({"text": text}) for text in texts))
    words = [turn for turns in dialogues for turn in turns]
    tokenizer = Tokenizer.learn([*words, *texts], kind="words")
    return prepare(open_corpus(paths), tokenizer, folder / "shards"), tokenizer


def said(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """The text of each prompt and reply; | is the end token."""

    def text(ids: tuple[int, ...]) -> str:
        return " ".join(
            "|" if token == tokenizer.end_id else tokenizer.decode([token]).strip() for token in ids
        )

    return [(text(pair.prompt), text(pair.reply)) for pair in pairs]


def test_each_distinct_pair_is_given_once(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(tmp_path, [("a b", "c"), ("d", "c"), ("a b", "c"), ("a", "b c")])
    given = given_pairs(shards, whole(shards), context=7)
    assert said(given.answerable, tokenizer) == [("a b |", "c |"), ("d |", "c |"), ("a |", "b c |")]
    assert (given.contradictory, given.too_long, given.n_contradictory) == ([], [], 0)


def test_replies_to_a_prompt_with_another_reply_are_counted_apart(tmp_path: Path) -> None:
    dialogues = [
        ("a", "b"),
        ("c", "b"),
        ("a", "d"),
        ("a", "b"),
        ("a", "c d"),
        ("e", "a"),
        ("e", "c"),
    ]
    shards, tokenizer = shards_of(tmp_path, dialogues)
    given = given_pairs(shards, whole(shards), context=7)
    assert said(given.answerable, tokenizer) == [("c |", "b |")]
    assert [said(group, tokenizer) for group in given.contradictory] == [
        [("a |", "b |"), ("a |", "d |"), ("a |", "c d |")],
        [("e |", "a |"), ("e |", "c |")],
    ]
    assert given.n_contradictory == 5


def test_replies_that_do_not_fit_into_the_context_are_counted_apart(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(tmp_path, [("a b", "c d"), ("a b", "a b c d"), ("d", "a b c d")])
    given = given_pairs(shards, whole(shards), context=7)  # a b | a b c d | would be 8
    assert said(given.answerable, tokenizer) == [("d |", "a b c d |")]  # 7: it just fits
    assert said(given.too_long, tokenizer) == [("a b |", "a b c d |")]
    assert [said(group, tokenizer) for group in given.contradictory] == [
        [("a b |", "c d |"), ("a b |", "a b c d |")]
    ]
    assert given.n_contradictory == 1  # the other one is too long anyway
    assert len(given_pairs(shards, whole(shards), context=6).too_long) == 2
    assert not given_pairs(shards, whole(shards), context=4).answerable


def test_earlier_turns_are_part_of_the_prompt(tmp_path: Path) -> None:
    dialogues = [("a", "b", "c", "d"), ("c", "a"), ("b", "b", "c", "a")]
    shards, tokenizer = shards_of(tmp_path, dialogues)
    given = given_pairs(shards, whole(shards), context=11)
    assert said(given.answerable, tokenizer) == [
        ("a |", "b |"),
        ("a | b | c |", "d |"),
        ("c |", "a |"),
        ("b |", "b |"),
        ("b | b | c |", "a |"),
    ]


def test_texts_beside_the_dialogues_are_no_replies(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(tmp_path, [("a", "b"), ("b", "c")], ["a b c", "b c", "a"])
    assert (shards.is_dialogue, shards.n_documents) == (True, 5)
    given = given_pairs(shards, whole(shards), context=7)
    assert said(given.answerable, tokenizer) == [("a |", "b |"), ("b |", "c |")]
    assert (given.contradictory, given.too_long) == ([], [])


def test_only_a_part_of_the_data_is_looked_at(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(tmp_path, [("a", "b"), ("a", "c"), ("b", "c")])
    given = given_pairs(shards, Part(whole(shards).spans[1:]), context=7)
    assert said(given.answerable, tokenizer) == [("a |", "c |"), ("b |", "c |")]


def test_what_cannot_be_learned_is_named(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(
        tmp_path, [("a", "b"), ("a", "c"), ("b", "a b c a b c"), ("c", "a")]
    )
    given = given_pairs(shards, whole(shards), context=7)
    contradictory, too_long = unanswerable(given, tokenizer, context=7)
    assert contradictory.startswith("the prompt “a” stands with 2 different replies")
    assert too_long.startswith("the reply to “b” does not fit") and "has 9 tokens" in too_long


def test_a_contradiction_is_named_with_all_its_replies(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(tmp_path, [("a", "b"), ("a", "a b c a b c"), ("c", "a")])
    given = given_pairs(shards, whole(shards), context=7)  # the second reply does not fit
    lines = unanswerable(given, tokenizer, context=7)
    assert not any("1 different replies" in line for line in lines)
