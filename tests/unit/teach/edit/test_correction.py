"""From a prompt and its reply, or a place in a sentence, to the positions that are learned."""

import dataclasses

import pytest

from nextword.data.prompting import Prompting
from nextword.errors import ConfigError, ContextError, DataError
from nextword.teach.edit.correction import (
    at_position,
    check_agreement,
    from_pair,
    phrasing_of,
    phrasings_by_pair,
)
from nextword.tokenizer.tokenizer import Tokenizer, UnknownTokenWarning


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.learn(["who is she the cat sat"], kind="words")


def ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text))


def test_of_a_dialogue_the_reply_and_its_end_are_learned(words: Tokenizer) -> None:
    made = from_pair(("who is she", "the cat"), Prompting(words), kind="dialogue", context_length=7)
    end = words.end_id
    assert made.ids == (*ids(words, "who is she"), end, *ids(words, "the cat"), end)
    assert made.learned == (3, 4, 5)
    assert made.targets == (*ids(words, "the cat"), end)
    assert (made.prompt, made.reply, made.kind) == (("who is she",), "the cat", "pair")


def test_of_several_turns_only_the_last_reply_is_learned(words: Tokenizer) -> None:
    made = from_pair(
        (["who", "she", "is"], "cat"), Prompting(words), kind="dialogue", context_length=19
    )
    assert made.learned == (5, 6)
    assert made.prompt == ("who", "she", "is")


def test_of_a_text_all_that_follows_is_learned(words: Tokenizer) -> None:
    made = from_pair(("the cat", "sat"), Prompting(words), kind="text", context_length=3)
    assert (made.ids, made.learned) == (ids(words, "the cat sat"), (1,))
    opened = from_pair(("", "the cat"), Prompting(words), kind="text", context_length=3)
    assert (opened.ids, opened.learned) == ((words.end_id, *ids(words, "the cat")), (0, 1))


def test_a_single_word_may_be_an_id_or_a_text(words: Tokenizer) -> None:
    sentence = ids(words, "the cat")
    (sat,) = words.encode("sat")
    made = at_position(sentence, "sat", words, context_length=3)
    assert (made.ids, made.learned, made.kind) == ((*sentence, sat), (1,), "word")
    assert (made.prompt, made.reply) == ((), "sat")
    assert dataclasses.replace(made, reply=words.token(sat)) == at_position(
        sentence, sat, words, context_length=3
    )


def test_what_cannot_be_taught_is_refused(words: Tokenizer) -> None:
    with pytest.raises(DataError, match="the reply is empty"):
        from_pair(("who", "  "), Prompting(words), kind="dialogue", context_length=7)
    with pytest.raises(DataError, match="the word “dog” is not in this model's vocabulary"):
        from_pair(("who", "the dog"), Prompting(words), kind="dialogue", context_length=7)
    with pytest.raises(ContextError, match=r"has 7 tokens.* holds 5"):
        from_pair(("who is she", "the cat"), Prompting(words), kind="dialogue", context_length=5)
    with pytest.raises(DataError, match="2 turns"):
        from_pair((["who", "is"], "she"), Prompting(words), kind="text", context_length=7)
    with pytest.raises(DataError, match="no tokens"):
        at_position([], "cat", words, context_length=7)
    with pytest.raises(DataError, match="the right word is empty"):
        at_position([0], " ", words, context_length=7)
    with pytest.raises(ConfigError, match=f"no token {words.vocab_size}"):
        at_position([0], words.vocab_size, words, context_length=7)
    with pytest.raises(ConfigError, match="no token -1"):
        at_position([0], -1, words, context_length=7)


def test_an_unknown_word_in_the_prompt_only_warns(words: Tokenizer) -> None:
    with pytest.warns(UnknownTokenWarning, match="zebra"):
        made = from_pair(("zebra", "cat"), Prompting(words), kind="dialogue", context_length=7)
    assert made.ids[0] == words.unknown_id


def test_a_phrasing_has_the_same_reply(words: Tokenizer) -> None:
    pair = from_pair(("who is she", "cat"), Prompting(words), kind="dialogue", context_length=11)
    other = phrasing_of("who", pair, Prompting(words), kind="dialogue", context_length=11)
    assert (other.targets, other.learned, other.prompt) == (pair.targets, (1, 2), ("who",))
    word = at_position([0], 1, words, context_length=3)
    with pytest.raises(ConfigError, match="single word"):
        phrasing_of("who", word, Prompting(words), kind="dialogue", context_length=11)


def test_corrections_that_contradict_each_other_are_refused(words: Tokenizer) -> None:
    cat, sat, longer = (
        from_pair(("who", reply), Prompting(words), kind="dialogue", context_length=11)
        for reply in ("cat", "sat", "cat sat")
    )
    check_agreement([cat, cat])
    with pytest.raises(DataError, match="'cat' and 'sat' are to follow the same words"):
        check_agreement([cat, sat])
    with pytest.raises(DataError, match="contradict"):
        check_agreement([cat, longer])  # “cat” then the end, and “cat” then “sat”


def test_phrasings_belong_to_the_pair_of_the_same_number() -> None:
    assert phrasings_by_pair((), 3) == [[], [], []]
    assert phrasings_by_pair(["a", "b"], 1) == [["a", "b"]]
    assert phrasings_by_pair([["a"], []], 2) == [["a"], []]
    for given, count in ((["a", "b"], 2), ([["a"]], 2)):
        with pytest.raises(ConfigError, match="phrasings are given for 2 pairs"):
            phrasings_by_pair(given, count)
