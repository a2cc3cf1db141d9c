"""Trainings that take a fraction of a second, for tests of what happens to a run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nextword.common.files import sha256_file
from nextword.evaluate.metrics import Update
from nextword.training.report.reporters import Quiet
from nextword.training.request import TrainRequest

STEPS = 12
WORDS = ["the", "a", "cat", "dog", "sees", "hears", "small", "old", "river", "near", "who"]


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without what takes time and changes no result: flushing disks, measuring the machine."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("nextword.training.pipeline.peak_of", lambda _: 1e12)


def sentence(number: int) -> str:
    """Some words, for each number others."""
    return " ".join(
        WORDS[(number * 7 + place * (number + 3)) % 11] for place in range(2 + number % 5)
    )


def write_dialogues(path: Path, count: int = 40) -> Path:
    """A file of prompts and replies."""
    pairs = [{"prompt": sentence(n), "reply": sentence(n + 100)} for n in range(count)]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


def write_text(path: Path, count: int = 120) -> Path:
    """A file of plain text."""
    path.write_text("\n".join(sentence(n) for n in range(count)))
    return path


def request(data: Path, out: Path, **settings: Any) -> TrainRequest:
    """A tiny training on one thread, in float32."""
    training = {
        "threads": 1,
        "precision": "float32",
        "device": "cpu",
        "batch_size": 4,
        "evaluate_every": 3,
        "checkpoint_every": 4,
    }
    values: dict[str, Any] = {
        "preset": "qwen3",
        "model": {"d_model": 16, "n_layers": 2, "n_heads": 2},
        "tokenizer": "words",
        "context": 16,
        "steps": STEPS,
    }
    training |= settings.pop("training", {})
    return TrainRequest(data=(str(data),), out=out, training=training, **values | settings)


def left_by(out: Path) -> tuple[str, str]:
    """The SHA-256 of a finished run's weights, and all that it measured."""
    return sha256_file(out / "model.safetensors"), (out / "training/metrics.jsonl").read_text()


class Notes(Quiet):
    """Keeps the notes, and calls `at` when a step is done."""

    def __init__(self, at: Callable[[int], None] = lambda step: None) -> None:
        self.at = at
        self.notes: list[str] = []
        self.steps: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, update: Update) -> None:
        self.steps.append(update.step)
        self.at(update.step)


class BrokenOffError(Exception):
    """What ends a run in the middle of it."""


def breaking_at(step: int) -> Notes:
    """A reporter that ends the run after a step."""

    def at(done: int) -> None:
        if done == step:
            raise BrokenOffError

    return Notes(at)
