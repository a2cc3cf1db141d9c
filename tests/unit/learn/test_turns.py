"""How many generations a time has room for, and how the time is dealt out to them."""

import time
from typing import Any

import pytest
from tests.small_runs import write_text

from nextword.config import ModelConfig, TrainingConfig
from nextword.learn import turns
from nextword.learn.data import Prepared, find_tokenizer, prepare_data
from nextword.learn.generations import n_models
from nextword.learn.plan import LAST_LONGER, Plan
from nextword.learn.request import TrainRequest
from nextword.learn.turns import GENERATIONS, LEAST_SHARE, MOST_SIBLINGS, in_turn
from nextword.presets import preset
from nextword.text.corpus import open_corpus

STEPS, FIRST, LATER, TEACHER = 100, 0.2, 0.05, 0.01  # seconds of a step, and of each teacher


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("turns")
    path = write_text(folder / "a.txt", 500)
    request = TrainRequest(data=(str(path),), out=folder / "out", tokenizer="words", context=16)
    corpus = open_corpus(request.data)
    return prepare_data(request, corpus, find_tokenizer(request, corpus), folder, warn=print)


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether what was measured is said to have learned before."""
    went: list[bool] = []

    def speed(
        _: ModelConfig,
        data: Prepared,
        training: TrainingConfig,
        *,
        n_teachers: int,
        learned_before: bool,
        **__: Any,
    ) -> float:
        assert training.dropout == 0
        went.append(learned_before)
        return training.batch_size * data.context / (LATER + n_teachers * TEACHER)

    monkeypatch.setattr(turns, "speed_of", speed)
    return went


def planned(data: Prepared, left: float, *, again: bool = False, **asked: int) -> Plan:
    training = TrainingConfig(steps=STEPS, batch_size=2, dropout=0.2)
    model = preset("qwen3", vocab_size=data.tokenizer.vocab_size, context_length=16, depth=1)
    plan = Plan(model, training, 1.1 * left, (), STEPS)
    speed = 2 * data.context / FIRST
    return in_turn(plan, data, asked=asked, speed=speed, left=left, learned_before=again)


@pytest.mark.parametrize("again", [False, True])
def test_what_goes_on_learning_is_measured_so(
    data: Prepared, known_speed: list[bool], again: bool
) -> None:
    planned(data, 1000.0, again=again, generations=2)
    assert known_speed == [again, again]


def lasting(siblings: int, generations: int = GENERATIONS) -> list[float]:
    taught = [LATER + siblings * TEACHER, *[LATER + TEACHER] * (generations - 2)]
    return [STEPS * each for each in [FIRST] * siblings + taught]


def test_there_are_as_many_as_the_time_has_room_for(data: Prepared) -> None:
    alone = planned(data, left=LEAST_SHARE * sum(lasting(1)) - 0.5)
    assert alone.training.generations == 1 and alone.seconds == ()
    for siblings in range(1, MOST_SIBLINGS + 1):
        plan = planned(data, left=LEAST_SHARE * sum(lasting(siblings)) + 0.5)
        assert (plan.training.generations, plan.training.siblings) == (GENERATIONS, siblings)
        assert plan.steps_of(1) == pytest.approx(LEAST_SHARE * STEPS, abs=3)
        assert plan.training.steps == pytest.approx(LEAST_SHARE * STEPS, abs=9)
    assert planned(data, left=1e6).training.siblings == MOST_SIBLINGS


def test_the_last_has_what_is_left(data: Prepared) -> None:
    left = sum(lasting(3)) + 2.0
    plan = planned(data, left=left, generations=2, siblings=3)
    assert plan.seconds[:-1] == pytest.approx(lasting(3)[:-1])
    assert sum(plan.seconds) == pytest.approx(left, abs=0.1)
    assert plan.training.steps > STEPS == plan.steps_of(1) == plan.steps_of(3) == plan.most_steps
    assert plan.steps_of(4) == plan.training.steps
    assert planned(data, left=1e6).training.steps == LAST_LONGER * STEPS
    assert Plan.from_json(plan.as_json()) == plan


def test_those_asked_for_share_what_time_there_is(data: Prepared) -> None:
    assert planned(data, left=1e6, generations=1).training.siblings == 1
    left = sum(lasting(2, generations=3)) / 2
    plan = planned(data, left=left, generations=3, siblings=2)
    assert (plan.training.generations, plan.training.siblings) == (3, 2)
    assert plan.most_steps == pytest.approx(STEPS / 2, abs=1)
    assert len(plan.seconds) == n_models(plan.training) == 4
    assert sum(plan.seconds) == pytest.approx(left, rel=0.05)
    assert planned(data, left=1e6, generations=4).training.siblings == MOST_SIBLINGS


def test_each_has_its_share_of_the_time_that_is_left(
    data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(data, left=sum(lasting(2)) + 0.5, generations=2, siblings=2)
    assert plan.deadline is not None and len(plan.seconds) == 3
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    first, second = (plan.pace(n, started=1000.0, gone=0.0, began=1000.0).ends for n in (1, 2))
    last = plan.pace(3, started=1000.0, gone=0.0, began=1000.0)
    assert last.ends == pytest.approx(1000 + plan.deadline)
    assert last.steps == plan.training.steps
    assert first is not None and second is not None
    usable = plan.deadline - (plan.deadline * 0.05 + 1.5)
    assert first - 1000 == pytest.approx(usable * plan.seconds[0] / sum(plan.seconds))
    assert second - 1000 == pytest.approx(usable * plan.seconds[1] / sum(plan.seconds[1:]))
    gone = plan.pace(3, started=1000.0, gone=4.0, began=1000.0)
    assert gone.ends == pytest.approx(1000 + plan.deadline - 4)


def test_the_last_does_not_take_more_than_is_of_use(
    data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    plan = planned(data, left=1e5)
    pace = plan.pace(n_models(plan.training), started=1000.0, gone=0.0, began=1000.0)
    pace._clock = lambda: clock[0]
    for step in range(1, 200):
        clock[0] += 500.0  # past every point at which steps are planned anew
        pace.count(0.1, step)
    assert pace.steps <= LAST_LONGER * STEPS == plan.training.steps
