"""Messages in the shapes that published sets have become a role and a text."""

from typing import Any

import pytest

from nextword.data.dialogue import Dialogue
from nextword.data.records.read_report import Tally
from nextword.data.records.record_schemas import ShapeError, shape_of

CALL = {"type": "function", "id": "1", "function": {"name": "add", "arguments": '{"a": 2}'}}


def read(record: dict[str, Any]) -> tuple[Any, Tally]:
    tally = Tally("a.jsonl")
    return shape_of(record, where="a.jsonl:1").document(record, tally), tally


@pytest.mark.parametrize("list_key", ["messages", "conversations", "Messages"])
@pytest.mark.parametrize("pair", [("role", "content"), ("from", "value"), ("Role", "CONTENT")])
def test_either_pair_of_keys_under_either_list(list_key: str, pair: tuple[str, str]) -> None:
    messages = [{pair[0]: "Human", pair[1]: "q"}, {pair[0]: "GPT", pair[1]: "a"}]
    document, tally = read({list_key: messages})
    assert document == Dialogue(("q", "a"))
    assert tally.report().is_plain


def test_parts_of_text_are_joined_and_others_counted() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, "b"]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": [parts[0]]}]
    document, tally = read({"messages": messages})
    assert document == Dialogue(("a\nb", "a"))
    assert tally.notes == {"a part of a message left out: image_url": 1}
    with pytest.raises(ShapeError, match="'content' in message 1 of 'messages' is empty"):
        read({"messages": [{"role": "user", "content": [parts[1]]}]})


def test_tool_calls_are_kept_as_text() -> None:
    messages = [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
        {"role": "assistant", "content": "Four.", "tool_calls": None},
    ]
    document, tally = read({"messages": messages, "tools": [{"name": "add"}]})
    call = '{"name": "add", "arguments": {"a": 2}}'
    assert document == Dialogue(("2 + 2?", call, "4", "Four."))
    assert tally.notes == {"a tool call kept as text": 1, "a message of a tool kept as text": 1}
    assert tally.unused == {"tool_call_id of a message": 1, "tools": 1}


def test_an_empty_system_message_is_passed_over() -> None:
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
    ]
    assert read({"messages": messages})[0] == Dialogue(("q", "a"))


def test_a_reply_of_weight_zero_leaves_its_record_out() -> None:
    messages = [
        {"role": "user", "content": "q", "weight": 0},
        {"role": "assistant", "content": "a", "weight": 1},
    ]
    assert read({"messages": messages})[0] == Dialogue(("q", "a"))
    messages[1]["weight"] = 0
    document, tally = read({"messages": messages})
    assert document is None
    assert list(tally.left_out.values()) == [1]
