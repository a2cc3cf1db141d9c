"""Texts and dialogues as a model's tokens: by its own format, its start token, its template."""

from pathlib import Path

import pytest

from nextword.data.dialogue import (
    CHAT_TEMPLATE,
    Dialogue,
    Document,
    Text,
    dialogue_from_messages,
)
from nextword.data.prompting import Encoded, Prompting
from nextword.errors import DataError
from nextword.tokenizer.chat_template import render
from nextword.tokenizer.tokenizer import END, Tokenizer
from nextword.tokenizer.training import KINDS, TokenizerKind

TURNS = ("what is it?", "a cat.", "whose cat?", "mine.")
SYSTEM = "be kind."
MESSAGES = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": TURNS[0]},
    {"role": "assistant", "content": TURNS[1]},
    {"role": "user", "content": TURNS[2]},
]
SPECIAL = {"eos_token": END}


@pytest.fixture
def words() -> Tokenizer:
    # ids: " cat" "." "?" " what" " is" " it" " a" " whose" " mine", unknown 9, end 10, pad 11
    text = " ".join(TURNS)
    tokenizer = Tokenizer.learn([text], kind="words")
    assert [tokenizer.token(id) for id in range(4)] == ["?", " cat", ".", " what"]
    return tokenizer


class TestOwnFormat:
    def test_a_dialogue_by_hand(self, words: Tokenizer) -> None:
        encoded = Prompting(words).document(Dialogue(TURNS[:2]))
        assert [words.token(id) for id in encoded.ids] == [
            *(" what", " is", " it", "?", END),
            *(" a", " cat", ".", END),
        ]
        assert encoded.is_reply == [False] * 5 + [True] * 4

    def test_all_of_a_text_is_learned(self, words: Tokenizer) -> None:
        encoded = Prompting(words).document(Text("a cat."))
        assert encoded == Encoded([*words.encode("a cat."), words.end_id], [True] * 4)

    def test_many_are_the_same_as_one_by_one(self, words: Tokenizer) -> None:
        documents: list[Document] = [
            Dialogue(TURNS),
            Text(""),
            Text("a cat"),
            Dialogue(TURNS[:3]),
            Dialogue(()),
        ]
        together = Prompting(words).documents(documents)
        assert together == [Prompting(words).document(document) for document in documents]
        assert together[1] == Encoded([words.end_id], [True])
        assert together[4] == Encoded([], [])
        assert Prompting(words).documents([]) == []

    def test_empty_turns_still_end(self, words: Tokenizer) -> None:
        end = words.end_id
        assert Prompting(words).document(Dialogue(("", ""))) == Encoded([end, end], [False, True])

    def test_a_prompt_is_the_start_of_the_document(self, words: Tokenizer) -> None:
        whole = Prompting(words).document(Dialogue(TURNS)).ids
        prompt = Prompting(words).dialogue_ids(TURNS[:3])
        assert whole[: len(prompt)] == prompt
        assert prompt[-1] == words.end_id

    def test_an_end_token_in_a_turn_is_plain_text(self) -> None:
        tokenizer = Tokenizer.learn(["a"])
        encoded = Prompting(tokenizer).document(Dialogue((f"a{END}b", "c")))
        assert encoded.ids.count(tokenizer.end_id) == 2


class TestOwnTemplate:
    def test_it_renders_what_the_dialogue_says(self) -> None:
        dialogue = dialogue_from_messages(MESSAGES, allow_open=True)
        expected = "".join(turn + END for turn in dialogue.turns)
        for start in (True, False):
            text = render(MESSAGES, CHAT_TEMPLATE, special=SPECIAL, add_generation_prompt=start)
            assert text == expected

    def test_white_space_of_messages_is_kept(self) -> None:
        messages = [{"role": "user", "content": " \n a <b> {{ c }} \n"}]
        assert render(messages, CHAT_TEMPLATE, special=SPECIAL) == f" \n a <b> {{{{ c }}}} \n{END}"

    def test_it_refuses_messages_out_of_turn(self) -> None:
        for roles in (["assistant"], ["user", "user"], ["user", "system"], ["tool"]):
            messages = [{"role": role, "content": "x"} for role in roles]
            with pytest.raises(DataError, match="must take turns"):
                render(messages, CHAT_TEMPLATE, special=SPECIAL)

    @pytest.mark.parametrize("kind", KINDS)
    def test_transformers_makes_the_same_ids(self, kind: TokenizerKind, tmp_path: Path) -> None:
        transformers = pytest.importorskip("transformers", reason="the oracle is not installed")
        dialogue = dialogue_from_messages(MESSAGES, allow_open=True)
        tokenizer = Tokenizer.learn(dialogue.turns, kind=kind)
        tokenizer.write(tmp_path, chat_template=CHAT_TEMPLATE)
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        made = theirs.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=True)
        assert made["input_ids"] == Prompting(tokenizer).dialogue_ids(dialogue.turns)
        assert made["input_ids"] == Prompting(tokenizer).document(dialogue).ids
