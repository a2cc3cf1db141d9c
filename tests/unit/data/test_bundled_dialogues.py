"""The bundled dialogues keep the rules that src/nextword/data/bundled/README.md states."""

import json
import re
import unicodedata
from collections import Counter
from importlib.resources import files

import pytest

Row = dict[str, str]
NAMES = ("dialogues.jsonl", "phrasings.jsonl")


def read_text(name: str) -> str:
    """The text of a bundled file; fails where it is not UTF-8."""
    return files("nextword").joinpath("data", "bundled", name).read_bytes().decode("utf-8")


def read_rows(name: str) -> list[Row]:
    """Every line of a bundled file, through json."""
    rows: list[Row] = [json.loads(line) for line in read_text(name).splitlines()]
    return rows


def bare(prompt: str) -> str:
    """The prompt's letters and digits alone, lower-cased: what makes two prompts the same."""
    return "".join(char for char in prompt.lower() if char.isalnum())


def test_bare_ignores_case_spaces_and_punctuation() -> None:
    assert bare("What is  Top-K?") == bare("what is top k") == "whatistopk"


def test_counts() -> None:
    dialogues = read_rows("dialogues.jsonl")
    assert 240 <= len(dialogues) <= 320
    assert 75 <= len({row["reply"] for row in dialogues}) <= 95
    assert 50 <= len(read_rows("phrasings.jsonl")) <= 70


@pytest.mark.parametrize("name", NAMES)
def test_readme_states_the_number_of_rows(name: str) -> None:
    assert f"| `{name}` | {len(read_rows(name))} |" in read_text("README.md")


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_one_row_and_the_last_one_ends(name: str) -> None:
    text = read_text(name)
    assert text.endswith("\n")
    assert "\r" not in text
    assert all(text.splitlines()), "an empty line"


@pytest.mark.parametrize("name", NAMES)
def test_shape(name: str) -> None:
    for row in read_rows(name):
        assert list(row) == ["prompt", "reply"]
        assert all(isinstance(value, str) and bare(value) for value in row.values()), row


@pytest.mark.parametrize("name", NAMES)
def test_clean_text(name: str) -> None:
    for row in read_rows(name):
        for value in row.values():
            assert value == value.strip(), row
            assert "  " not in value, row
            assert not any(unicodedata.category(char).startswith("C") for char in value), row
            assert value == unicodedata.normalize("NFC", value), row
            assert "<|" not in value, f"a special token written out: {row}"


def test_no_prompt_twice_within_or_across_the_files() -> None:
    counts = Counter(bare(row["prompt"]) for name in NAMES for row in read_rows(name))
    assert [prompt for prompt, count in counts.items() if count > 1] == []


def test_every_held_out_reply_is_in_the_dialogues() -> None:
    learned = {row["reply"] for row in read_rows("dialogues.jsonl")}
    assert [row for row in read_rows("phrasings.jsonl") if row["reply"] not in learned] == []


def test_replies_have_8_to_30_words_in_one_or_two_sentences() -> None:
    for reply in {row["reply"] for row in read_rows("dialogues.jsonl")}:
        assert 8 <= len(reply.split()) <= 30, reply
        assert len(re.findall(r"[.!?](?= |$)", reply)) in (1, 2), reply
        assert reply[0].isupper(), reply
        assert reply[-1] in ".!?", reply


def test_replies_are_asked_for_in_several_ways() -> None:
    counts = Counter(row["reply"] for row in read_rows("dialogues.jsonl"))
    assert set(counts.values()) <= {2, 3, 4, 5}
    assert sum(count >= 2 for count in counts.values()) >= 60


def test_few_rows_leave_ascii_but_some_do() -> None:
    rows = read_rows("dialogues.jsonl")
    beyond = [row for row in rows if not (row["prompt"] + row["reply"]).isascii()]
    assert 1 <= len(beyond) <= 5
