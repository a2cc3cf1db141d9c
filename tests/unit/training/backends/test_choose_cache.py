"""Speeds that were measured are kept for later runs, and measured anew when they may differ."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.training.backends.fake_machine import LONG, SIZES, Machine, chosen, installed

import nextword
from nextword.errors import RunError
from nextword.presets import preset
from nextword.training.backends import choose


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return installed(tmp_path, monkeypatch)


def test_a_second_run_measures_nothing(machine: Machine) -> None:
    first = chosen()
    machine.steps.clear()
    machine.seconds["float32"] = 0.001
    assert chosen() == first
    assert chosen(steps=LONG + 1, seed=5, learning_rate=0.5) == first
    assert machine.steps == []


def test_speeds_measured_beside_other_work_are_not_kept(machine: Machine) -> None:
    machine.busy = 1.0
    chosen()
    machine.steps.clear()
    machine.busy = 0.0
    machine.seconds["float32"] = 0.03  # what slowed it down is over
    assert chosen().precision == "float32"
    machine.steps.clear()
    chosen()
    assert machine.steps == []


def test_only_what_is_not_known_yet_is_measured(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "goes_at_once", lambda *_: False)
    assert chosen().precision == "float32"
    machine.steps.clear()
    monkeypatch.setattr(choose, "goes_at_once", lambda *_: True)  # a compiler was installed
    assert chosen().precision == "int8"
    assert machine.measured == ["int8"]
    monkeypatch.setattr(choose, "goes_at_once", lambda *_: False)
    assert list(chosen().speeds) == ["float32", "bfloat16"]  # what cannot be had is not taken


@pytest.mark.parametrize(
    "other",
    [
        {"model": {"d_model": 14}},
        {"model": {"n_layers": 2}},
        {"model": {"query_key_norm": False}},
        {"batch_size": 5},
        {"accumulate": 7},
        {"context": 5},
        {"learn": "replies"},
        {"optimizer": "adamw"},
        {"dropout": 0.1},
        {"pretrained": True},
        {"threads": 5},
        {"processor": "another"},
        {"version": "9.9"},
        {"torch": "9.9"},
    ],
    ids=str,
)
def test_what_speeds_depend_on_is_measured_anew(
    other: dict[str, Any], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen()
    machine.steps.clear()
    given = dict(other)
    if "model" in given:
        given["model"] = preset("qwen3", **SIZES | given["model"])
    places: dict[str, tuple[Any, str]] = {
        "threads": (torch, "get_num_threads"),
        "processor": (choose, "processor_name"),
    }
    for name, (place, function) in places.items():
        if name in given:
            value = given.pop(name)
            monkeypatch.setattr(place, function, lambda value=value: value)
    for name, module in {"version": nextword, "torch": torch}.items():
        if name in given:
            monkeypatch.setattr(module, "__version__", given.pop(name))
    chosen(**given)
    assert len(machine.measured) == 3
    machine.steps.clear()
    chosen(**given)
    assert machine.steps == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "\udc80",
        '{"a": 3}',
        '{"a": {"float32": 0.0}}',
        '{"a": {"float32": NaN}}',
        '{"a": {"float32": true}}',
        '{"a": {"float32": "fast"}}',
        '{"a": {"int4": 2.5}}',
    ],
    ids=ascii,
)
def test_a_damaged_cache_is_measured_anew_and_mended(
    content: str, machine: Machine, tmp_path: Path
) -> None:
    first = chosen()
    (file,) = tmp_path.rglob(choose.CACHE)
    file.write_bytes(content.encode(errors="surrogateescape"))
    machine.steps.clear()
    assert chosen() == first
    assert len(machine.measured) == 3
    assert list(json.loads(file.read_text()).values()) == [first.speeds]


def test_where_nothing_can_be_kept_it_is_measured_each_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RunError("the disk is full")

    for name, broken in (("cache_folder", lambda: None), ("write_whole", full)):
        with monkeypatch.context() as patch:
            patch.setattr(choose, name, broken)
            machine.steps.clear()
            assert chosen() == chosen()
            assert machine.steps.count("float32") == 2 * (1 + choose.MAX_STEPS)


def test_the_oldest_entries_make_room(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "CACHE_ENTRIES", 2)
    for rows in (2, 3, 5):
        chosen(batch_size=rows)
    machine.steps.clear()
    chosen(batch_size=3)
    chosen(batch_size=5)
    assert machine.steps == []
    chosen(batch_size=2)
    assert len(machine.measured) == 3
