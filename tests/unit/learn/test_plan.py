"""The plan: depth and steps for the time, and nothing chosen that was asked for."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_runs import write_text

from nextword.config import ModelConfig, TrainingConfig
from nextword.errors import ConfigError
from nextword.learn import compiling, planning, turns
from nextword.learn.data import Prepared, find_tokenizer, prepare_data
from nextword.learn.passes import GENTLE, MOST_PASSES, OFTEN, tokens_of_pass
from nextword.learn.plan import MARGIN_SECONDS, Plan
from nextword.learn.planning import (
    BATCH_TOKENS,
    LITTLE_DEPTH,
    TOKENS_PER_WEIGHT,
    batch_tokens_for,
    block_weights,
    default_batch,
    make_plan,
)
from nextword.learn.request import TrainRequest
from nextword.learn.speed import speed_of
from nextword.learn.turns import GENERATIONS, MOST_SIBLINGS
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.text.corpus import open_corpus


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("plan")
    request = asked(folder, path=write_text(folder / "a.txt", 2000))
    corpus = open_corpus(request.data)
    return prepare_data(request, corpus, find_tokenizer(request, corpus), folder, warn=print)


def asked(folder: Path, path: Path | None = None, **settings: Any) -> TrainRequest:
    values: dict[str, Any] = {"tokenizer": "words", "context": 32} | settings
    return TrainRequest(data=(str(path or folder / "a.txt"),), out=folder / "out", **values)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine whose speed is known, and as much data as it can see; the widths it measured."""
    monkeypatch.setattr(planning, "tokens_of_pass", lambda data: 10**12)
    return known_speed(monkeypatch)


def known_speed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    widths: list[int] = []

    def speed(model: ModelConfig, *_: object, **__: object) -> float:
        widths.append(model.d_model)
        return 1e11 / Decoder(model, seed=0).n_parameters / 6 if model.d_model < 300 else 1.0

    for room in (planning, turns):
        monkeypatch.setattr(room, "speed_of", speed)
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


def test_small_data_gets_a_depth_at_which_two_generations_have_time(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds: dict[int, float] = {}

    def speed(model: ModelConfig, *_: object, **__: object) -> float:
        return speeds.setdefault(model.n_layers, 8e7 / Decoder(model, seed=0).n_parameters)

    for room in (planning, turns):
        monkeypatch.setattr(room, "speed_of", speed)
    planned(data, tmp_path, minutes=1.0, depth=LITTLE_DEPTH)
    once = MOST_PASSES * tokens_of_pass(data) / speeds[LITTLE_DEPTH] / 60
    for minutes, depth in ((1.5 * once, LITTLE_DEPTH - 1), (2.5 * once, LITTLE_DEPTH)):
        plan = planned(data, tmp_path, minutes=minutes)
        assert (plan.model.n_layers, plan.training.generations) == (depth, 2)
    alone = planned(data, tmp_path, minutes=1.5 * once, training={"generations": 1})
    assert alone.model.n_layers == LITTLE_DEPTH


def test_small_data_is_gone_through_so_often_and_no_more(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = known_speed(monkeypatch)
    a_pass = tokens_of_pass(data)
    assert a_pass == data.samples(seed=0, learn="everything").n_samples(0) * 32
    for minutes in (5.0, 50.0):
        plan = planned(data, tmp_path, minutes=minutes, training={"generations": 1})
        batch = plan.training.batch_size * 32
        assert plan.training.steps == plan.most_steps == -(-MOST_PASSES * a_pass // batch)
        assert plan.model.n_layers == LITTLE_DEPTH  # the largest that small data pays for
        assert plan.training.muon_learning_rate == GENTLE["muon_learning_rate"]
        assert plan.why[1].startswith(f"no more than {MOST_PASSES} passes over {a_pass:,} tokens")
    assert max(widths) == 256  # tried, and found too large
    several = planned(data, tmp_path, minutes=50.0)
    assert several.most_steps == plan.most_steps
    siblings = several.training.siblings
    assert (several.training.generations, siblings) == (GENERATIONS, MOST_SIBLINGS)
    assert several.why[0].endswith(
        f"{siblings + 1} models, {plan.most_steps:,} steps each, "
        f"the last {4 * plan.training.steps:,} steps of {batch:,} tokens, depth 3, width 192"
    )
    told = f"{siblings} learn the text, the next one what these say: the data"
    assert several.why[1].startswith(told)


def test_data_seen_once_is_learned_from_at_full_rates(data: Prepared, tmp_path: Path) -> None:
    n_samples = data.samples(seed=0, learn="everything").n_samples(0)
    once, often = (
        planned(data, tmp_path, steps=n_samples * passes, training={"batch_size": 1}).training
        for passes in (1, OFTEN)
    )
    assert (once.learning_rate, once.muon_learning_rate) == (0.02, 0.04)
    assert (often.learning_rate, often.muon_learning_rate) == tuple(GENTLE.values())


@pytest.mark.parametrize(
    ("passes", "slower", "found"),  # passes in the time without dropout, and what dropout costs
    [
        (10.0, 2.0, (0.0, 0.0, 0.04)),  # not often
        (30.0, 2.0, (0.0, 0.1, 0.02)),  # often, but not with dropout
        (90.0, 2.0, (0.2, 0.1, 0.02)),
        (22.0, 1.0, (0.2, 0.1, 0.02)),
    ],
)
def test_data_seen_often_is_learned_with_dropout_if_there_is_time(
    passes: float,
    slower: float,
    found: tuple[float, float, float],
    data: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = passes * tokens_of_pass(data) / 60

    def speed(_: object, __: object, training: TrainingConfig, **___: object) -> float:
        return plain / (slower if training.dropout else 1.0)

    for room in (planning, turns):
        monkeypatch.setattr(room, "speed_of", speed)
    plan = planned(data, tmp_path, minutes=1.0, depth=1, training={"generations": 1})
    training = plan.training
    assert (training.dropout, training.label_smoothing, training.muon_learning_rate) == found
    seen = training.steps * training.batch_size * 32 / tokens_of_pass(data)
    expected = min(passes / (slower if training.dropout else 1.0), MOST_PASSES)
    assert seen == pytest.approx(expected, rel=0.1)
    told = "dropout 0.2 and label smoothing 0.1: the data are seen often"
    assert (told in plan.why) == bool(training.dropout)


def test_nobody_is_made_unsure_of_what_cannot_be_judged_or_is_known(
    data: Prepared, tmp_path: Path
) -> None:
    steps = OFTEN * data.samples(seed=0, learn="everything").n_samples(0)
    settings: dict[str, Any] = {"steps": steps, "training": {"batch_size": 1}}
    config = preset("qwen3", vocab_size=data.tokenizer.vocab_size, context_length=32, depth=1)
    assert planned(data, tmp_path, **settings).training.dropout == 0.2
    for other, more in (
        (dataclasses.replace(data, held_out=None), {}),
        (dataclasses.replace(data, model=config), {}),
        (data, {"preset": "seed"}),
    ):
        training = planned(other, tmp_path, **settings, **more).training
        assert (training.dropout, training.label_smoothing) == (0.0, 0.0)


def test_batches_are_smaller_for_small_data_and_fit_their_parts(
    data: Prepared, tmp_path: Path
) -> None:
    n_samples = data.samples(seed=0, learn="everything").n_samples(0)
    batch = default_batch(data, BATCH_TOKENS)
    assert batch == min(4096 // 32, n_samples // 8)
    plan = planned(data, tmp_path, steps=3, training={"accumulate": 7})
    assert plan.training.batch_size % 7 == 0
    assert 0 <= plan.training.batch_size - batch < 7
    with pytest.raises(ConfigError, match="not a multiple"):
        planned(data, tmp_path, steps=3, training={"accumulate": 7, "batch_size": 8})


@pytest.mark.parametrize(
    ("tokens", "batch"),
    [
        (0.0, 1024),
        (1.4e6, 1024),  # 1,399 is nearer to 1,024 than to 2,048, by their logarithms
        (3e6, 2048),
        (12e6, 4096),  # four times the tokens, twice the batch
        (192e6, 16384),
        (1e12, 32768),
    ],
)
def test_the_batch_of_a_timed_run_follows_from_the_tokens_that_fit(
    tokens: float, batch: int
) -> None:
    assert batch_tokens_for(tokens) == batch


def test_the_steps_are_told_beside_the_reason_to_compile(
    data: Prepared, tmp_path: Path, machine: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    few = planned(data, tmp_path, steps=299, training={"compile": "auto"})
    assert (few.training.compile, few.why[0]) == ("no", "299 steps")
    monkeypatch.setattr(planning, "speed_of", lambda *_, **__: 1.0)  # token per second
    monkeypatch.setattr(planning, "_is_fast", lambda *_: False)
    asked = {"compile": "auto", "precision": "float32"}
    long = planned(data, tmp_path, steps=1000, training=asked)
    assert long.training.compile == "yes"
    assert long.why[0] == "1,000 steps"
    assert long.why[-1].startswith("compiled: takes up to 40 s, saves about ")


@pytest.mark.usefixtures("one_thread")
def test_what_is_fast_already_is_not_compiled(
    data: Prepared, tmp_path: Path, machine: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    monkeypatch.setattr(planning, "speed_of", lambda *_, **__: 1.0)
    monkeypatch.setattr(planning, "goes_at_once", lambda *_: True)
    assert planned(data, tmp_path, steps=1000).training.compile == "no"


def test_a_plan_comes_back_from_its_json(
    data: Prepared, tmp_path: Path, machine: list[int]
) -> None:
    plan = planned(data, tmp_path, minutes=1.0, training={"dropout": 0.1})
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_measuring_the_speed_disturbs_nothing(data: Prepared, tmp_path: Path) -> None:
    plan = planned(data, tmp_path, steps=1, depth=1, training={"accumulate": 2, "batch_size": 4})
    samples = data.samples(seed=0, learn="everything")
    before = samples.batch(0, 3)[0]
    speed = speed_of(plan.model, data, plan.training, seconds=1.0)
    assert speed > 0
    assert (samples.batch(0, 3)[0] == before).all()
    first, second = Decoder(plan.model, seed=3), Decoder(plan.model, seed=3)
    speed_of(plan.model, data, plan.training, seconds=1.0)
    third = Decoder(plan.model, seed=3)
    for one, two, three in zip(
        first.parameters(), second.parameters(), third.parameters(), strict=True
    ):
        assert torch.equal(one, two) and torch.equal(one, three)


def test_weights_decay_unless_scores_are_not_scaled(data: Prepared, tmp_path: Path) -> None:
    def decay(**settings: Any) -> float:
        return planned(data, tmp_path, steps=7, **settings).training.weight_decay

    assert decay() == 0.1
    assert decay(preset="seed") == 0.0
    assert decay(preset="llama", model={"scaled_scores": False}) == 0.0
    assert decay(preset="seed", training={"weight_decay": 0.3}) == 0.3
