"""Lessons as data for further training, in the shapes that a corpus reads."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nextword.common.files import write_whole
from nextword.errors import LessonError
from nextword.formats.huggingface.save_load import Kind, load_model
from nextword.teach.journal.lesson_records import Kept, Records
from nextword.tokenizer.tokenizer import Tokenizer

LESSONS_DATA = "lessons-data.jsonl"  # in the new model's training folder
TIMES = 8  # how often each pair stands in it


def write_lessons(folder: Path, path: Path, *, times: int = TIMES) -> int:
    """Write all that a model was taught, and not undone, as prompts and replies or texts.

    Args:
        folder: the model's.
        path: the file; an equal one is left alone.
        times: how often each pair is written.

    Returns:
        How many lessons were left out: single words corrected in a dialogue are no replies.

    Raises:
        LessonError: there is nothing to write, or the folder's lessons are damaged.
        FolderError: it is no model.
        RunError: the file may not be written.
    """
    records, model = Records.read(folder), load_model(folder)
    lines: list[str] = []
    left_out = 0
    for kept in (*records.absorbed, *records.active):
        found = list(_documents(kept, model.kind, model.tokenizer))
        left_out += not found
        lines += found * times
    if not lines:
        raise LessonError(
            f"{folder} was taught no pair that further training could learn; leave out --lessons"
        )
    content = "".join(f"{line}\n" for line in lines).encode("utf-8")
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return left_out


def _documents(kept: Kept, kind: Kind, tokenizer: Tokenizer) -> Iterator[str]:
    """What was taught in a lesson, a line of JSON each."""
    for sentence in kept.lesson["sentences"]:
        if sentence["role"] != "taught":
            continue
        if kind == "text":
            ids = [number for number in sentence["ids"] if number not in tokenizer.end_ids]
            yield _line({"text": tokenizer.decode(ids)})
        elif sentence["prompt"]:
            yield _line(_dialogue(sentence["prompt"], sentence["reply"]))


def _dialogue(prompt: list[str], reply: str) -> Mapping[str, Any]:
    if len(prompt) == 1:
        return {"prompt": prompt[0], "reply": reply}
    turns = [*prompt, reply]
    roles = ("user", "assistant")
    return {
        "messages": [
            {"role": roles[number % 2], "content": turn} for number, turn in enumerate(turns)
        ]
    }


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)
