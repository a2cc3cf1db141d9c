"""What teaching leaves in a model's folder, told apart from what a training run leaves there."""

import re
from pathlib import Path

TRAINING = "training"  # the subfolder of runs and lessons
TAUGHT = frozenset({"lessons", "lessons.jsonl", "lessons-data.jsonl", "lock", "holder.json"})
LESSONS = re.compile(r"\n## Lessons\n\n[^\n]*training/lessons\.jsonl\.\n")


def has_run(folder: Path) -> bool:
    """Whether a training run was begun in a folder; lessons alone are none."""
    training = folder / TRAINING
    if not training.is_dir():
        return False
    names = {path.name for path in training.iterdir() if not path.name.startswith(".")}
    return bool(names - TAUGHT)


def with_lessons(card: str, n: int) -> str:
    """A model card that says how many lessons came after its results; with 0 it says nothing."""
    card = LESSONS.sub("", card)
    if n == 0:
        return card
    were, they = ("lesson was", "it is") if n == 1 else ("lessons were", "they are")
    return (
        f"{card}\n## Lessons\n\n{n} {were} taught after these results were measured; "
        f"{they} in training/lessons.jsonl.\n"
    )
