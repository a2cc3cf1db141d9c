"""`nextword train --json`: every line is an event, the last one the result."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.small_runs import quick, write_dialogues

from nextword.cli.main import main

TINY = "--tokenizer words --width 16 --layers 1 --heads 1 --steps 3 --threads 1 --batch 4"


def events(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(main, ["train", *arguments, *TINY.split(), "--no-tensorboard"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_was_read_and_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    data = write_dialogues(tmp_path / "a.jsonl")
    with data.open("a") as file:
        file.write(data.read_text().splitlines()[0])
    place = (str(data), "--out", str(tmp_path / "m"))
    found = events(*place, "--json", "--context", "8")
    names = [event["event"] for event in found]
    assert names[:2] == ["note", "note"] and names[-2:] == ["finish", "result"]
    assert found[0]["text"] == "read a.jsonl: 41 dialogues; nothing was left out"
    assert "longer than the context of 8 tokens" in str(found[1]["text"])
    start = next(event for event in found if event["event"] == "start")
    facts = start["facts"]
    assert isinstance(facts, dict)
    assert facts["duplicates"] == ["1 dialogue equals one before"]
    assert facts["held out"] == ["nothing: no reply stands after different prompts"]
    assert facts["first pair"][0].endswith("<|end|>")
    assert found[-1]["already"] is False and found[-1]["steps"] == 3
    (again,) = events(*place, "--json", "--context", "8")
    assert again == found[-1] | {"already": True}
    assert not events(*place, "--json", "--context", "8", "--quiet")
