"""What is planned for a budget: depth, steps, epochs and regularization, unless asked for."""

import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.training.plan.requests import asked

from nextword.config import ModelConfig, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.kernels import fused_blocks
from nextword.model.decoder import Decoder
from nextword.training.backends import compiling
from nextword.training.backends.backend import Backend
from nextword.training.backends.choose import choose_backend
from nextword.training.data.held_out import SPLIT_RULE
from nextword.training.plan import planner
from nextword.training.plan.epochs import (
    GENTLE,
    MAX_EPOCHS,
    SMALL_DATA_EPOCHS,
    tokens_per_epoch,
)
from nextword.training.plan.plan import MARGIN_SECONDS, Plan
from nextword.training.plan.planner import (
    SMALL_DATA_DEPTH,
    TOKENS_PER_WEIGHT,
    make_plan,
)
from nextword.training.plan.sizes import block_weights


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing has to be measured to know that float32 is the fastest."""
    computed_in(monkeypatch)


def computed_in(monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """Let every backend have these values; as ever, speeds are measured for "auto" alone."""

    def choose(_: object, __: object, training: TrainingConfig, **___: object) -> Backend:
        name = "float32" if training.precision == "auto" else training.precision
        values: dict[str, Any] = {"precision": name, "shards": 1, "muon_precision": "float32"}
        values["native"] = False
        values |= {"speeds": {}, "reason": "given"} | given
        if training.precision != "auto":
            values["speeds"] = {}
        return Backend(**values)

    monkeypatch.setattr(planner, "choose_backend", choose)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine whose speed is known, and as much data as it can see; the widths it measured."""
    monkeypatch.setattr(planner, "tokens_per_epoch", lambda data: 10**12)
    return known_speed(monkeypatch)


def known_speed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    widths: list[int] = []

    def speed(model: ModelConfig, *_: object, **__: object) -> float:
        widths.append(model.d_model)
        return 1e11 / Decoder(model, seed=0).n_parameters / 6 if model.d_model < 300 else 1.0

    monkeypatch.setattr(planner, "tokens_per_second", speed)
    return widths


def planned(data: Prepared, tmp_path: Path, **settings: Any) -> Plan:
    return make_plan(asked(tmp_path, **settings), data, started=time.monotonic())


def test_steps_and_tokens_are_taken_as_they_are(
    data: Prepared, tmp_path: Path, machine: list[int]
) -> None:
    plan = planned(data, tmp_path, steps=17, training={"batch_size": 5})
    assert (plan.training.steps, plan.training.batch_size, plan.deadline) == (17, 5, None)
    assert plan.model.d_model == 256
    plan = planned(data, tmp_path, tokens=1000, training={"batch_size": 5})
    assert plan.training.steps == 7  # of 160 tokens
    assert machine == []  # nothing was measured


def test_the_depth_grows_with_the_time(data: Prepared, tmp_path: Path, machine: list[int]) -> None:
    depths = []
    for minutes in (0.05, 0.5, 5.0, 50.0):
        machine.clear()
        plan = planned(data, tmp_path, minutes=minutes)
        depths.append(plan.model.n_layers)
        assert plan.deadline == minutes * 60
        assert machine == sorted(machine)  # from the smallest up, no further than need be
    assert depths == sorted(depths)
    assert depths[0] == 1 and depths[-1] == 4  # above which the machine is slow
    assert machine == [64, 128, 192, 256, 384]


def test_every_weight_sees_its_tokens(data: Prepared, tmp_path: Path, machine: list[int]) -> None:
    plan = planned(data, tmp_path, minutes=0.5)
    tokens = plan.training.steps * plan.training.batch_size * data.context
    assert plan.model.n_layers == 1 or tokens > 0.9 * TOKENS_PER_WEIGHT * block_weights(plan.model)


@pytest.mark.parametrize(
    ("settings", "width"),
    [({"depth": 2}, 128), ({"model": {"d_model": 192}}, 192), ({"model": {"n_layers": 1}}, 256)],
)
def test_of_a_model_that_was_asked_for_only_the_steps_are_chosen(
    settings: dict[str, Any], width: int, data: Prepared, tmp_path: Path, machine: list[int]
) -> None:
    plan = planned(data, tmp_path, minutes=5.0, **settings)
    assert machine == [width] == [plan.model.d_model]
    longer = planned(data, tmp_path, minutes=10.0, **settings)
    assert longer.model == plan.model
    assert longer.training.steps == pytest.approx(2 * plan.training.steps, rel=0.01)


def test_time_that_is_gone_is_not_planned_with(
    data: Prepared, tmp_path: Path, machine: list[int]
) -> None:
    now = time.monotonic()
    request = asked(tmp_path, minutes=1.0, depth=1)
    whole, half = (make_plan(request, data, started=now - gone) for gone in (0, 28.5))
    assert half.training.steps == pytest.approx(whole.training.steps / 2, rel=0.02)
    late = make_plan(request, data, started=now - 100)
    assert 1 <= late.training.steps <= whole.training.steps / 50
    assert MARGIN_SECONDS > 0


def test_small_data_gets_a_depth_that_is_fast_enough_for_all_epochs(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds: dict[int, float] = {}

    def speed(model: ModelConfig, *_: object, **__: object) -> float:
        return speeds.setdefault(model.n_layers, 8e7 / Decoder(model, seed=0).n_parameters)

    monkeypatch.setattr(planner, "tokens_per_second", speed)
    planned(data, tmp_path, minutes=1.0, depth=SMALL_DATA_DEPTH)
    all_epochs = MAX_EPOCHS * tokens_per_epoch(data) / speeds[SMALL_DATA_DEPTH] / 60
    for minutes, depth in (
        (0.95 * all_epochs, SMALL_DATA_DEPTH - 1),
        (1.05 * all_epochs, SMALL_DATA_DEPTH),
    ):
        assert planned(data, tmp_path, minutes=minutes).model.n_layers == depth


def test_small_data_is_gone_through_so_often_and_no_more(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = known_speed(monkeypatch)
    epoch = tokens_per_epoch(data)
    assert epoch == data.samples(seed=0, learn="everything").n_samples(0) * 32
    for minutes in (5.0, 50.0):
        plan = planned(data, tmp_path, minutes=minutes)
        batch = plan.training.batch_size * 32
        assert plan.training.steps == plan.most_steps == -(-MAX_EPOCHS * epoch // batch)
        assert plan.model.n_layers == SMALL_DATA_DEPTH  # a deeper one would gain nothing
        assert plan.training.muon_learning_rate == GENTLE["muon_learning_rate"]
        assert plan.why[0].endswith(
            f"{plan.training.steps:,} steps of {batch:,} tokens, depth 3, width 192"
        )
        assert plan.why[1].startswith(f"no more than {MAX_EPOCHS} epochs of {epoch:,} tokens")
    assert max(widths) == 256  # tried, and found too large


def test_data_seen_once_is_learned_from_at_full_rates(data: Prepared, tmp_path: Path) -> None:
    n_samples = data.samples(seed=0, learn="everything").n_samples(0)
    once, often = (
        planned(data, tmp_path, steps=n_samples * epochs, training={"batch_size": 1}).training
        for epochs in (1, SMALL_DATA_EPOCHS)
    )
    assert (once.learning_rate, once.muon_learning_rate) == (0.02, 0.04)
    assert (often.learning_rate, often.muon_learning_rate) == tuple(GENTLE.values())


@pytest.mark.parametrize(
    ("epochs", "slower", "found"),  # epochs in the time without dropout, and what dropout costs
    [
        (10.0, 2.0, (0.0, 0.0, 0.04)),  # not often
        (30.0, 2.0, (0.0, 0.1, 0.02)),  # often, but not with dropout
        (90.0, 2.0, (0.2, 0.1, 0.02)),
        (22.0, 1.0, (0.2, 0.1, 0.02)),
    ],
)
def test_data_seen_often_is_learned_with_dropout_if_there_is_time(
    epochs: float,
    slower: float,
    found: tuple[float, float, float],
    data: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = epochs * tokens_per_epoch(data) / 60

    def speed(_: object, __: object, training: TrainingConfig, **___: object) -> float:
        return plain / (slower if training.dropout else 1.0)

    monkeypatch.setattr(planner, "tokens_per_second", speed)
    plan = planned(data, tmp_path, minutes=1.0, depth=1)
    training = plan.training
    assert (training.dropout, training.label_smoothing, training.muon_learning_rate) == found
    seen = training.steps * training.batch_size * 32 / tokens_per_epoch(data)
    expected = min(epochs / (slower if training.dropout else 1.0), MAX_EPOCHS)
    assert seen == pytest.approx(expected, rel=0.1)
    named = "dropout 0.2 and label smoothing 0.1: small data, many epochs"
    assert (named in plan.why) == bool(training.dropout)


def test_the_plan_records_how_steps_are_computed(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed_in(monkeypatch, precision="int8", shards=2)
    plan = planned(data, tmp_path, steps=3)
    assert plan.backend is not None and plan.backend.shards == 2
    assert plan.training.precision == plan.backend.precision == "int8"
    assert (plan.aim, plan.split_rule, plan.refit_steps) == ("generalize", SPLIT_RULE, 0)


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_long_runs_are_compiled_and_the_plan_says_why(
    precision: str, data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    computed_in(monkeypatch, speeds={"float32": 1e9})
    asked = {"compile": "auto", "precision": precision}
    few = planned(data, tmp_path, steps=299, training=asked)
    assert (few.training.compile, few.why[0]) == ("no", "299 steps")
    assert not any("compiled" in reason for reason in few.why)
    computed_in(monkeypatch, speeds={"float32": 1.0})  # token per second
    monkeypatch.setattr(planner, "tokens_per_second", lambda *_, **__: 1.0)
    long = planned(data, tmp_path, steps=1000, training=asked)
    assert long.training.compile == "yes"
    assert long.why[0] == "1,000 steps"
    assert long.why[-1].startswith("compiled: takes up to 40 s, saves about ")


@pytest.mark.parametrize("given", [{"shards": 2}, {"native": True}])
def test_what_is_fast_already_is_not_compiled(
    given: dict[str, Any], data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    slow: dict[str, Any] = {"speeds": {"float32": 1.0, "int8": 1.0}}
    computed_in(monkeypatch, **slow)
    assert planned(data, tmp_path, steps=1000).training.compile == "yes"
    computed_in(monkeypatch, **slow | given)
    assert planned(data, tmp_path, steps=1000).training.compile == "no"


@pytest.mark.usefixtures("one_thread")
def test_blocks_in_one_call_are_not_compiled(
    data: Prepared, tmp_path: Path, machine: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    monkeypatch.setattr(planner, "choose_backend", choose_backend)
    asked = {"precision": "float32", "device": "cpu"}  # so that it measures nothing
    plan = planned(data, tmp_path, minutes=100.0, depth=1, training=asked)
    assert plan.training.compile == "no"
