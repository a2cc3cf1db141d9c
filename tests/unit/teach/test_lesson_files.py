"""Files of lessons: every shape of dialogues, other ways to ask, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from nextword.errors import DataError
from nextword.teach.lesson_files import Given, read_lessons

PAIR = {"prompt": "who sat?", "reply": "a cat"}
MESSAGES = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "who sat?"},
    {"role": "assistant", "content": "a cat"},
]


def written(folder: Path, name: str, *records: Any) -> Path:
    path = folder / name
    lines = (item if isinstance(item, str) else json.dumps(item) for item in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_pairs_with_and_without_phrasings(tmp_path: Path) -> None:
    more = {"question": "unused", "prompt": "who ran?", "reply": "a dog"}
    path = written(tmp_path, "two.jsonl", PAIR | {"phrasings": ["tell who sat", "who?"]}, "", more)
    first, second = read_lessons(path)
    assert first == Given(
        turns=("who sat?",),
        reply="a cat",
        phrasings=("tell who sat", "who?"),
        where="two.jsonl:1",
    )
    assert first.other_prompts == (("tell who sat",), ("who?",))
    assert second == Given(turns=("who ran?",), reply="a dog", where="two.jsonl:3")
    assert second.other_prompts == ()


def test_the_last_reply_is_learned_after_the_turns_before_it(tmp_path: Path) -> None:
    path = written(tmp_path, "talk.jsonl", {"messages": MESSAGES, "phrasings": ["who?"]})
    (first,) = read_lessons(path)
    assert (first.turns, first.reply) == (("hello", "hi", "who sat?"), "a cat")
    assert first.other_prompts == (("hello", "hi", "who?"),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps([PAIR])),
        ("a.csv", "question,answer\nwho sat?,a cat"),
        ("a.tsv", "prompt\treply\nwho sat?\ta cat"),
        ("a.jsonl", json.dumps({"instruction": "who sat?", "output": "a cat"})),
    ],
)
def test_other_formats_and_shapes(tmp_path: Path, name: str, content: str) -> None:
    (lesson,) = read_lessons(written(tmp_path, name, content))
    assert (lesson.turns, lesson.reply, lesson.phrasings) == (("who sat?",), "a cat", ())


@pytest.mark.parametrize(
    ("name", "records", "message"),
    [
        ("a.txt", ["who sat? a cat"], "a.txt is plain text; a file of lessons has prompts"),
        ("a.jsonl", [{"text": "a cat"}], "a.jsonl:1: it is a text; a lesson is a prompt"),
        ("a.jsonl", [{"text": " "}], "a.jsonl:1: it is a text"),
        ("a.jsonl", [PAIR, {"prompt": "who?"}], "a.jsonl:2: the key 'reply' is missing"),
        ("a.jsonl", [PAIR, "{"], "a.jsonl:2: not valid JSON"),
        ("a.jsonl", [PAIR | {"reply": " "}], "a.jsonl:1: 'reply' is empty"),
        ("a.jsonl", [{"messages": MESSAGES[:1]}], "a.jsonl:1: message 1, the last one, is"),
        ("a.jsonl", [PAIR | {"phrasings": "who?"}], "'phrasings' is a string; it must be a list"),
        ("a.jsonl", [PAIR | {"phrasings": ["who?", 7]}], "phrasing 2 is a number"),
        ("a.jsonl", [PAIR | {"phrasings": [" "]}], "phrasing 1 is empty"),
        ("a.json", ["[]"], "a.json holds no lesson"),
        ("a.csv", ["prompt,reply,phrasings", "who?,a cat,which?"], "'phrasings' is a string"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, records: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_lessons(written(tmp_path, name, *records))
    assert message in str(caught.value)
    assert "--skip-bad" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.jsonl"):
        read_lessons(tmp_path / "nothing.jsonl")
