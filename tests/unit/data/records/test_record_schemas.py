"""Every shape of record becomes the document that it stands for; a broken one says why."""

from typing import Any

import pytest

from nextword.data.dialogue import Dialogue, Document, Text
from nextword.data.records import record_schemas
from nextword.data.records.read_report import Tally
from nextword.data.records.record_schemas import SHAPES, ShapeError, shape_of
from nextword.errors import DataError


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


@pytest.mark.parametrize(
    "record",
    [
        {"Question": "q", "ANSWER": "a"},
        {" question ": "q", "Answer ": "a"},
        {"question": "q", "Question": "another", "answer": "a"},
    ],
)
def test_letter_case_and_spaces_of_keys_do_not_matter(record: dict[str, Any]) -> None:
    assert document_of(record) == Dialogue(("q", "a"))


def test_named_columns_win_over_the_known_names() -> None:
    columns = {"prompt": "Frage", "reply": "antwort"}
    record = {"Frage": "q", "Antwort": "a", "prompt": "another"}
    shape = shape_of(record, where="a.csv:1", columns=columns)
    tally = Tally("a.csv")
    assert shape.document(record, tally) == Dialogue(("q", "a"))
    assert tally.unused == {"prompt": 1}
    with pytest.raises(DataError, match="given: prompt=Frge"):
        shape_of({"Frage": "q"}, where="a.csv:1", columns={"prompt": "Frge"})


@pytest.mark.parametrize(
    ("further", "turns"),
    [
        ({"system": "s"}, ("s\n\nq", "a")),
        ({"system": " "}, ("q", "a")),
        ({"context": "c"}, ("c\n\nq", "a")),
        ({"history": [["p", "r"]]}, ("p", "r", "q", "a")),
        ({"history": []}, ("q", "a")),
        ({"history": None, "context": None, "system": None, "weight": 1}, ("q", "a")),
        (
            {"system": "s", "context": "c", "history": [["p", "r"]]},
            ("s\n\np", "r", "c\n\nq", "a"),
        ),
        (
            {"history": [{"role": "user", "content": "p"}, {"role": "model", "content": "r"}]},
            ("p", "r", "q", "a"),
        ),
    ],
)
@pytest.mark.parametrize("keys", [("question", "answer"), ("instruction", "output")])
def test_system_history_and_context(
    keys: tuple[str, str], further: dict[str, Any], turns: tuple[str, ...]
) -> None:
    tally = Tally("a.jsonl")
    record = {keys[0]: "q", keys[1]: "a", **further}
    assert shape_of(record, where="a.jsonl:1").document(record, tally) == Dialogue(turns)
    assert not tally.unused


def test_a_system_key_beside_messages() -> None:
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert document_of({"system": "s", "conversations": turns}) == Dialogue(("s\n\nq", "a"))


@pytest.mark.parametrize("weight", [0, 0.0, False, "0"])
def test_a_record_of_weight_zero_is_left_out_and_counted(weight: object) -> None:
    record = {"prompt": "q", "reply": "a", "weight": weight}
    tally = Tally("a.csv")
    assert shape_of(record, where="a.csv:2").document(record, tally) is None
    assert (tally.documents, tally.left_out) == (0, {"its weight is 0": 1})


def test_other_keys_are_counted_where_they_are_filled() -> None:
    tally = Tally("a.jsonl")
    first: dict[str, Any] = {"prompt": "q", "reply": "a", "rejected": "b", "id": 7, "weight": 0.5}
    shape = shape_of(first, where="a.jsonl:1")
    for record in (first, {**first, "id": None}, {**first, "rejected": "", "context": {"a": 1}}):
        shape.document(record, tally)
    assert tally.unused == {"rejected": 2, "id": 2, "weight": 3, "context": 1}
    assert tally.documents == 3


def test_a_dialogue_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_schemas, "LONGEST_DIALOGUE", 10)
    assert document_of({"prompt": "p" * 5, "reply": "r" * 5}) is not None
    with pytest.raises(ShapeError, match="has 11 characters; the most is 10"):
        document_of({"prompt": "p" * 5, "reply": "r" * 6})


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
        ({"conversations": [{"from": "gpt", "value": "1"}]}, "none of the 1 messages"),
        ({"prompt": "p", "reply": "r", "history": [["p"]]}, "'history' is a list; it must be"),
        ({"prompt": "p", "reply": "r", "history": [["p", ""]]}, "turn 2 of 'history' is empty"),
    ],
)
def test_broken_records_say_why(record: dict[str, Any], problem: str) -> None:
    with pytest.raises(ShapeError, match=problem):
        document_of(record)


def test_a_later_record_without_a_key() -> None:
    shape = shape_of({"prompt": "p", "reply": "r"}, where="a.jsonl:1")
    with pytest.raises(ShapeError, match="'reply' is missing; the keys found are: 'prompt'"):
        shape.document({"prompt": "p"})
