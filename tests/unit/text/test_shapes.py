"""Every shape of record becomes the document that it stands for; a broken one says why."""

from typing import Any

import pytest

from nextword.errors import DataError
from nextword.text.dialogue import Dialogue, Document, Text
from nextword.text.shapes import SHAPES, ShapeError, shape_of


def document_of(record: dict[str, Any]) -> Document | None:
    return shape_of(record, where="a.jsonl:1").document(record)


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        ({"prompt": "p", "reply": "r"}, ("p", "r")),
        ({"prompt": "p", "completion": "c", "id": 7}, ("p", "c")),
        ({"prompt": "p", "response": "r", "category": None}, ("p", "r")),
        ({"question": "q", "answer": "a"}, ("q", "a")),
        ({"instruction": "do", "input": "this", "output": "done"}, ("do\n\nthis", "done")),
        ({"instruction": "do", "input": "", "output": "done"}, ("do", "done")),
        ({"instruction": "do", "input": None, "output": "done"}, ("do", "done")),
        ({"instruction": "do", "output": "done", "text": "both"}, ("do", "done")),
        (
            {
                "prompt": "repeated by some corpora",
                "messages": [
                    {"role": "system", "content": "be kind"},
                    {"role": "user", "content": "u"},
                    {"role": "assistant", "content": "a"},
                ],
            },
            ("be kind\n\nu", "a"),
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "1"},
                    {"from": "gpt", "value": "2"},
                    {"from": "human", "value": "3"},
                    {"from": "gpt", "value": "4"},
                ]
            },
            ("1", "2", "3", "4"),
        ),
    ],
)
def test_dialogue_shapes(record: dict[str, Any], turns: tuple[str, ...]) -> None:
    assert document_of(record) == Dialogue(turns)


def test_text_shape_and_its_blank_lines() -> None:
    assert document_of({"text": " a ", "url": "x"}) == Text(" a ")
    assert document_of({"text": " \n"}) is None


def test_each_shape_but_text_is_a_dialogue() -> None:
    assert [shape.name for shape in SHAPES if not shape.is_dialogue] == ["text"]


def test_unknown_keys_list_the_allowed_and_the_nearest() -> None:
    with pytest.raises(DataError) as caught:
        shape_of({"promt": "p", "reply": "r"}, where="a.jsonl:1")
    message = str(caught.value)
    assert message.startswith("a.jsonl:1: the keys of the record are 'promt', 'reply'; allowed")
    assert "question + answer" in message
    assert message.endswith("Did you mean 'prompt' where it says 'promt'?")


def test_a_wrong_capital_is_a_near_match() -> None:
    with pytest.raises(DataError, match="Did you mean 'question' where it says 'Question'"):
        shape_of({"Question": "q", "Answer": "a"}, where="a.csv:2")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"prompt": "", "reply": "r"}, "'prompt' is empty"),
        ({"prompt": "p", "reply": " \n"}, "'reply' is empty"),
        ({"prompt": "p", "reply": 3}, "'reply' is a number; it must be a string"),
        ({"prompt": "p", "reply": None}, "'reply' is null"),
        ({"prompt": ["p"], "reply": "r"}, "'prompt' is a list"),
        ({"prompt": "p", "reply": "\ud83d"}, r"'\\ud83d', which is half a character"),
        ({"instruction": "i", "input": {}, "output": "o"}, "'input' is an object"),
        ({"text": True}, "'text' is a truth value"),
        ({"messages": "hi"}, "'messages' is a string; it must be a list"),
        ({"messages": [{"role": "user"}]}, "message 1 of 'messages' must be an object with"),
        ({"messages": [{"role": "user", "content": None}]}, "'content' in message 1 .* is null"),
        ({"messages": []}, "0 messages"),
        ({"conversations": [{"from": "human", "value": "1"}]}, "no reply"),
        ({"conversations": [{"from": "gpt", "value": "1"}]}, "message 1 is from assistant"),
    ],
)
def test_broken_records_say_why(record: dict[str, Any], problem: str) -> None:
    with pytest.raises(ShapeError, match=problem):
        document_of(record)


def test_a_later_record_without_a_key() -> None:
    shape = shape_of({"prompt": "p", "reply": "r"}, where="a.jsonl:1")
    with pytest.raises(ShapeError, match="'reply' is missing; the keys found are: 'prompt'"):
        shape.document({"prompt": "p"})
