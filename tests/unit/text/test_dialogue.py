"""Chat messages as dialogues."""

import pytest

from nextword.errors import DataError
from nextword.text.dialogue import Dialogue, dialogue_from_messages

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
            ("assistant", "message 1 is from assistant, but it is the turn of user"),
            ("user user", "message 2 is from user, but it is the turn of assistant"),
            ("user assistant assistant", "message 3 is from assistant, but .* turn of user"),
            ("user system", "message 2 is from system"),
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

    def test_broken_messages(self) -> None:
        with pytest.raises(DataError, match="message 1 has the content 'None'"):
            dialogue_from_messages([{"role": "user"}])
        with pytest.raises(DataError, match="message 1: unknown role 'None'"):
            dialogue_from_messages([{"content": "a"}])
