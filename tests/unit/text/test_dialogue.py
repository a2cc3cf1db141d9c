"""Dialogues as tokens, chat messages as dialogues, and the chat template that agrees with both."""

from pathlib import Path

import pytest

from nextword.errors import DataError
from nextword.text.dialogue import (
    CHAT_TEMPLATE,
    Dialogue,
    Document,
    Encoded,
    Text,
    dialogue_from_messages,
    encode_document,
    encode_documents,
    prompt_ids,
    render,
)
from nextword.text.learn_tokenizer import KINDS, TokenizerKind
from nextword.text.tokenizer import END, Tokenizer

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


class TestEncoding:
    def test_a_dialogue_by_hand(self, words: Tokenizer) -> None:
        encoded = encode_document(Dialogue(TURNS[:2]), words)
        assert [words.token(id) for id in encoded.ids] == [
            *(" what", " is", " it", "?", END),
            *(" a", " cat", ".", END),
        ]
        assert encoded.is_reply == [False] * 5 + [True] * 4

    def test_all_of_a_text_is_learned(self, words: Tokenizer) -> None:
        encoded = encode_document(Text("a cat."), words)
        assert encoded == Encoded([*words.encode("a cat."), words.end_id], [True] * 4)

    def test_many_are_the_same_as_one_by_one(self, words: Tokenizer) -> None:
        documents: list[Document] = [
            Dialogue(TURNS),
            Text(""),
            Text("a cat"),
            Dialogue(TURNS[:3]),
            Dialogue(()),
        ]
        together = encode_documents(documents, words)
        assert together == [encode_document(document, words) for document in documents]
        assert together[1] == Encoded([words.end_id], [True])
        assert together[4] == Encoded([], [])
        assert encode_documents([], words) == []

    def test_empty_turns_still_end(self, words: Tokenizer) -> None:
        end = words.end_id
        assert encode_document(Dialogue(("", "")), words) == Encoded([end, end], [False, True])

    def test_a_prompt_is_the_start_of_the_document(self, words: Tokenizer) -> None:
        whole = encode_document(Dialogue(TURNS), words).ids
        prompt = prompt_ids(TURNS[:3], words)
        assert whole[: len(prompt)] == prompt
        assert prompt[-1] == words.end_id

    def test_an_end_token_in_a_turn_is_plain_text(self) -> None:
        tokenizer = Tokenizer.learn(["a"])
        encoded = encode_document(Dialogue((f"a{END}b", "c")), tokenizer)
        assert encoded.ids.count(tokenizer.end_id) == 2


class TestMessages:
    def test_system_stands_before_the_first_prompt(self) -> None:
        dialogue = dialogue_from_messages(MESSAGES, allow_open=True)
        assert dialogue == Dialogue((f"{SYSTEM}\n\n{TURNS[0]}", TURNS[1], TURNS[2]))

    @pytest.mark.parametrize("roles", [("human", "gpt"), ("user", "bot"), ("user", "assistant")])
    def test_other_names_of_roles(self, roles: tuple[str, str]) -> None:
        messages = [{"role": roles[0], "content": "a"}, {"role": roles[1], "content": "b"}]
        assert dialogue_from_messages(messages) == Dialogue(("a", "b"))

    @pytest.mark.parametrize(
        ("roles", "problem"),
        [
            ("assistant", "none of the 1 messages is from user"),
            ("user user", "message 2, the last one, is from user and has no reply"),
            ("user system", "message 2 is from system, but it is in the middle"),
            ("user assistant user", "message 3, the last one, is from user and has no reply"),
            ("system", "none of the 1 messages is from user"),
            ("", "none of the 0 messages is from user"),
            ("user asistant", "message 2: unknown role 'asistant'.*Did you mean 'assistant'"),
        ],
    )
    def test_out_of_turn(self, roles: str, problem: str) -> None:
        messages = [{"role": role, "content": "x"} for role in roles.split()]
        with pytest.raises(DataError, match=problem):
            dialogue_from_messages(messages)

    def test_messages_of_one_speaker_are_one_turn(self) -> None:
        roles = ("model", "SYSTEM", "user", "User", "Assistant", "gpt", "human", "bot")
        messages = [{"role": role, "content": str(n)} for n, role in enumerate(roles)]
        noted: list[str] = []
        dialogue = dialogue_from_messages(messages, note=noted.append)
        assert dialogue == Dialogue(("1\n\n2\n\n3", "4\n\n5", "6", "7"))
        assert [note.split()[:4] for note in noted] == [
            ["a", "reply", "before", "the"],
            ["a", "message", "joined", "to"],
            ["a", "message", "joined", "to"],
        ]

    def test_what_a_tool_says_is_for_the_assistant_to_read(self) -> None:
        roles = ("developer", "user", "function_call", "observation", "assistant")
        messages = [{"role": role, "content": role} for role in roles]
        noted: list[str] = []
        dialogue = dialogue_from_messages(messages, note=noted.append)
        assert dialogue.turns == ("developer\n\nuser", *roles[2:])
        assert noted == ["a message of a tool kept as text"] * 2

    def test_broken_messages(self) -> None:
        with pytest.raises(DataError, match="message 1 has the content 'None'"):
            dialogue_from_messages([{"role": "user"}])
        with pytest.raises(DataError, match="message 1: unknown role 'None'"):
            dialogue_from_messages([{"content": "a"}])


class TestTemplate:
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
        assert made["input_ids"] == prompt_ids(dialogue.turns, tokenizer)
        assert made["input_ids"] == encode_document(dialogue, tokenizer).ids
