"""A machine whose speeds a test sets, for tests of what is chosen on it."""

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nextword.config import ModelConfig, Precision, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.presets import preset
from nextword.training.backends import choose
from nextword.training.backends.backend import Backend
from nextword.training.backends.choose import choose_backend

CONTEXT, ROWS, LONG = 11, 7, 1000
TOKENS = CONTEXT * ROWS  # of a step
SIZES = {"vocab_size": 13, "context_length": CONTEXT, "d_model": 10, "n_layers": 1, "n_heads": 1}
MODEL = preset("qwen3", **SIZES)

Seconds = float | list[float] | Exception  # of every step, or of one after the other, or what fails


class Machine:
    """How long a step takes in each precision; keeps which ones were measured, step by step."""

    def __init__(self) -> None:
        self.seconds: dict[Precision, Seconds] = {
            "float32": 0.125,
            "bfloat16": 0.25,
            "int8": 0.0625,
            "int16": 0.1,
        }
        self.steps: list[Precision] = []
        self.busy = 0.0  # cores that other programs keep busy

    def busy_cores(self) -> float:
        return self.busy

    def step_times(
        self, model: ModelConfig, data: Prepared, training: TrainingConfig, **_: object
    ) -> Generator[float]:
        assert training.precision != "auto"
        each = self.seconds[training.precision]
        if isinstance(each, Exception):
            raise each
        following = iter(each) if isinstance(each, list) else iter(lambda: each, None)
        for seconds in following:
            self.steps.append(training.precision)
            yield seconds

    @property
    def measured(self) -> list[Precision]:
        """The precisions measured so far, in their order."""
        return list(dict.fromkeys(self.steps))


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that can everything, with nothing cached; three threads share a batch."""
    made = Machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr(choose, "LoadMeter", lambda: made)
    monkeypatch.setattr(choose, "step_times", made.step_times)
    monkeypatch.setattr(choose, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    monkeypatch.setattr(choose, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(choose, "goes_at_once", lambda *_: True)
    monkeypatch.setattr(choose, "n_shards", lambda *_, **__: 3)
    monkeypatch.setattr(choose, "_muon_seconds", lambda *_: 1.0)
    return made


def chosen(
    model: ModelConfig = MODEL, *, context: int = CONTEXT, pretrained: bool = False, **given: Any
) -> Backend:
    values: dict[str, Any] = {"steps": LONG, "batch_size": ROWS, "device": "cpu"}
    data = cast(Prepared, SimpleNamespace(context=context, is_dialogue=True))
    training = TrainingConfig(**values | given)
    return choose_backend(model, data, training, pretrained=pretrained)
