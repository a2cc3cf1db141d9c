"""Lessons as data that a corpus reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.teach.folders import changed, drawn_change, drawn_lesson, model
from tests.unit.teach.samples import phrasing, taught

from nextword.data.corpus import open_corpus
from nextword.errors import LessonError
from nextword.formats.huggingface.save_load import load_model
from nextword.teach.journal.persist import keep
from nextword.teach.journal.undo import undo
from nextword.teach.lesson_export import write_lessons


def teach(folder: Path, seed: int, **sentence: Any) -> None:
    decoder = load_model(folder).decoder
    change = drawn_change(decoder, seed)
    after = changed(decoder, change)
    sentences = (taught(**sentence), phrasing())
    keep(folder, drawn_lesson(decoder, after, sentences=sentences), change, after)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pairs_talks_and_words_of_a_dialogue_model(tmp_path: Path) -> None:
    folder, path = model(tmp_path / "model"), tmp_path / "new" / "training" / "lessons-data.jsonl"
    teach(folder, 1)
    teach(folder, 2, prompt=("who?", "him", "sat?"), reply="a dog")
    teach(folder, 3, prompt=(), reply="cat")
    teach(folder, 4, reply="never")
    undo(folder, [4])
    assert write_lessons(folder, path, times=2) == 1
    pair = {"prompt": "who sat?", "reply": "a cat"}
    roles = ("user", "assistant", "user", "assistant")
    turns = ("who?", "him", "sat?", "a dog")
    talk = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)]
    assert lines(path) == [pair, pair, {"messages": talk}, {"messages": talk}]
    written = path.stat().st_mtime_ns
    assert write_lessons(folder, path, times=2) == 1 and path.stat().st_mtime_ns == written


def test_a_model_of_text_learns_texts(tmp_path: Path) -> None:
    folder, path = model(tmp_path / "model"), tmp_path / "data.jsonl"
    config = json.loads((folder / "config.json").read_text())
    config["nextword"]["kind"] = "text"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "SHA256SUMS").unlink()
    tokenizer = load_model(folder).tokenizer
    ids = tokenizer.encode("who sat on the mat")
    teach(folder, 1, ids=(tokenizer.end_id, *ids), prompt=(), reply="mat")
    assert write_lessons(folder, path, times=3) == 0
    assert lines(path) == [{"text": tokenizer.decode(ids)}] * 3
    assert not open_corpus([str(path)]).is_dialogue


def test_nothing_to_write(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    with pytest.raises(LessonError, match=r"was taught no pair .* leave out --lessons"):
        write_lessons(folder, tmp_path / "data.jsonl")
    assert not (tmp_path / "data.jsonl").exists()
