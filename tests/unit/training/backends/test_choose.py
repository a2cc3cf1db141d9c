"""The fastest way to take a step is measured and chosen, or the one that was asked for."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.unit.training.backends.fake_machine import MODEL, TOKENS, Machine, chosen, installed

from nextword.config import Precision, TrainingConfig
from nextword.errors import ConfigError
from nextword.training.backends import choose
from nextword.training.backends.choose import candidates, fastest_muon


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return installed(tmp_path, monkeypatch)


@pytest.mark.parametrize("fastest", ["float32", "bfloat16", "int8"])
def test_the_fastest_is_chosen_and_all_that_was_measured_is_told(
    fastest: Precision, machine: Machine
) -> None:
    machine.seconds[fastest] = 0.05
    found = chosen()
    assert (found.precision, found.shards) == (fastest, 3)
    assert machine.measured == ["float32", "bfloat16", "int8"]
    expected = {"float32": TOKENS / 0.125, "bfloat16": TOKENS / 0.25, "int8": TOKENS / 0.0625}
    assert found.speeds == pytest.approx(expected | {fastest: TOKENS / 0.05})
    assert found.reason.startswith(f"{fastest} 1,540 tokens/s, measured; ")
    for name, speed in found.speeds.items():
        assert f"{name} {speed:,.0f} tokens/s" in found.reason


def test_of_each_the_fastest_step_counts_and_the_first_one_warms_up(machine: Machine) -> None:
    machine.seconds["float32"] = [0.01, 0.5, 0.25, 0.125, 0.5, *[1.0] * 20]
    assert chosen().speeds["float32"] == TOKENS / 0.125
    assert machine.steps.count("float32") == 1 + choose.MAX_STEPS


def test_what_is_much_slower_is_not_measured_for_long(machine: Machine) -> None:
    machine.seconds["bfloat16"] = 0.19  # more than half as long again as 0.125
    machine.seconds["int8"] = [4.0, 0.01]  # twenty times as long, and more than three seconds
    found = chosen()
    assert machine.steps.count("bfloat16") == 3
    assert machine.steps.count("int8") == 1
    assert found.precision == "float32"
    assert found.speeds["int8"] == TOKENS / 4.0


def test_time_ends_the_steps_of_a_candidate(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def now() -> float:  # a clock that goes as fast as steps are taken
        return 0.125 * len(machine.steps)

    monkeypatch.setattr(choose, "time", SimpleNamespace(perf_counter=now))
    chosen()
    assert machine.steps.count("float32") == 5  # the first two, then 0.3 seconds


def test_a_precision_that_was_asked_for_is_taken_unmeasured(machine: Machine) -> None:
    for name in ("float32", "bfloat16", "int16", "int8"):
        found = chosen(precision=name)
        assert (found.precision, found.speeds) == (name, {})
        assert found.reason == f"{name}, as asked for"
    assert machine.steps == []


@pytest.mark.parametrize(("fast", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_compiled_steps_are_not_measured(
    fast: bool, expected: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "has_fast_bfloat16", lambda _: fast)
    found = chosen(compile="yes")
    assert (found.precision, found.speeds, machine.steps) == (expected, {}, [])
    assert "not measured" in found.reason


def test_what_cannot_be_computed_in_is_left_out(machine: Machine) -> None:
    machine.seconds["int8"] = ConfigError("three rows cannot be split evenly across two threads")
    found = chosen()
    assert found.precision == "float32"
    assert list(found.speeds) == ["float32", "bfloat16"]
    assert "int8" not in found.reason
    machine.seconds["float32"] = ConfigError("too slow")
    assert chosen(batch_size=5).precision == "bfloat16"


def test_where_no_step_can_be_taken_the_reason_is_told(machine: Machine) -> None:
    """Such as learning the replies of plain text, which has none: no precision mends that."""
    for name in machine.seconds:
        machine.seconds[name] = ConfigError("windows of text have no replies")
    with pytest.raises(ConfigError, match="windows of text have no replies"):
        chosen()


def test_a_short_run_is_measured_in_float32_alone(machine: Machine, tmp_path: Path) -> None:
    found = chosen(steps=23)  # 2.875 seconds
    assert (found.precision, found.speeds) == ("float32", {"float32": TOKENS / 0.125})
    assert found.reason == "float32: nothing else was worth measuring"
    assert machine.measured == ["float32"]
    assert not list(tmp_path.rglob(choose.CACHE))
    assert chosen(steps=24).precision == "int8"  # 3 seconds
    assert machine.measured == ["float32", "bfloat16", "int8"]
    assert chosen(steps=23).precision == "int8"  # known by now


def test_learned_weights_and_long_vectors_have_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingConfig(steps=1, device="cpu")
    assert candidates(MODEL, training) == ["float32", "bfloat16", "int8"]
    assert candidates(MODEL, training, pretrained=True) == ["float32", "bfloat16", "int16"]
    assert chosen(pretrained=True).precision == "int16"
    monkeypatch.setattr(choose, "fits_8_bits", lambda _: False)
    assert candidates(MODEL, training) == ["float32", "bfloat16", "int16"]


def test_a_machine_that_can_little_has_few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingConfig(steps=1, device="cpu")
    monkeypatch.setattr(choose, "goes_at_once", lambda *_: False)
    assert candidates(MODEL, training) == ["float32", "bfloat16"]
    monkeypatch.setattr(choose, "has_bfloat16", lambda _: False)
    assert candidates(MODEL, training) == ["float32"]
    assert chosen().reason == "float32: nothing else was worth measuring"


# In what Muon computes


@pytest.mark.parametrize(
    ("seconds", "given", "expected"),
    [
        (1.21, {}, "bfloat16"),
        (1.2, {}, "float32"),  # bfloat16 must be more than a fifth faster
        (math.inf, {"optimizer": "adamw"}, "float32"),
        (math.inf, {"precision": "int8"}, "float32"),
        (0.0, {"precision": "bfloat16"}, "bfloat16"),
    ],
)
def test_muon_computes_in_bfloat16_where_that_is_faster(
    seconds: float, given: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def muon_seconds(_: object, dtype: torch.dtype) -> float:
        return seconds if dtype == torch.float32 else 1.0

    monkeypatch.setattr(choose, "_muon_seconds", muon_seconds)
    values: dict[str, Any] = {"steps": 1, "device": "cpu"}
    training = TrainingConfig(**values | given)
    assert fastest_muon(MODEL, training) == expected
    assert chosen(**given).muon_precision == expected
    monkeypatch.setattr(choose, "has_bfloat16", lambda _: False)
    if "precision" not in given:
        assert fastest_muon(MODEL, training) == "float32"
