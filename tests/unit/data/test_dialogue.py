"""Chat messages as dialogues."""

import pytest

from nextword.data.dialogue import Dialogue, dialogue_from_messages
from nextword.errors import DataError

TURNS = ("what is it?", "a cat.", "whose cat?", "mine.")
SYSTEM = "be kind."
MESSAGES = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": TURNS[0]},
    {"role": "assistant", "content": TURNS[1]},
    {"role": "user", "content": TURNS[2]},
]


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
