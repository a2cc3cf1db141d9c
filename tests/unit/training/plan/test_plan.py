"""A plan survives its JSON, and plans of version 0.1 are read unless they are of ensembles."""

import dataclasses
import json
import time
from typing import Any

import pytest

from nextword.config import TrainingConfig
from nextword.errors import RunError
from nextword.presets import preset
from nextword.training.backends.backend import Backend
from nextword.training.loop.step_budget import Pace
from nextword.training.plan.plan import ANSWER_SHARE, MARGIN_SECONDS, RESERVE_SHARE, Plan

TEXT = Plan(
    model=preset("qwen3", vocab_size=13, context_length=8, d_model=16, n_layers=1),
    training=TrainingConfig(steps=100, dropout=0.1),
    deadline=60.0,
    why=("one", "two"),
    most_steps=200,
)
ANSWERS = dataclasses.replace(
    TEXT,
    aim="answers",
    split_rule=2,
    backend=Backend("int8", 2, True, "bfloat16", {"float32": 1.5, "int8": 2.5}, "int8, measured"),
    refit_steps=20,
    minutes_needed=7.25,
)
NEW_KEYS = ("aim", "split_rule", "backend", "refit_steps", "minutes_needed")


@pytest.mark.parametrize("plan", [TEXT, ANSWERS], ids=["text", "answers"])
def test_a_plan_comes_back_from_its_json(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def of_version_0_1(**training: int) -> dict[str, Any]:
    """Return the text's plan as version 0.1 would have written it."""
    values = TEXT.as_json()
    for name in NEW_KEYS:
        del values[name]
    values["training"] |= {"generations": 1, "siblings": 1} | training
    return values | {"seconds": []}


def test_a_plan_of_version_0_1_is_read() -> None:
    assert Plan.from_json(of_version_0_1()) == TEXT
    oldest = of_version_0_1()
    del oldest["most_steps"], oldest["seconds"]
    assert Plan.from_json(oldest) == dataclasses.replace(TEXT, most_steps=None)


@pytest.mark.parametrize(
    ("ensemble", "named"),
    [({"generations": 2}, "training.generations 2"), ({"siblings": 3}, "training.siblings 3")],
)
def test_the_plan_of_an_ensemble_is_refused(ensemble: dict[str, int], named: str) -> None:
    with pytest.raises(RunError, match=rf"version 0\.1 with {named}: .* --fresh"):
        Plan.from_json(of_version_0_1(**ensemble))


def test_a_run_with_steps_is_not_timed_and_leaves_the_second_round_its_steps() -> None:
    plan = dataclasses.replace(ANSWERS, deadline=None)
    pace = plan.pace(started=0.0)
    assert (pace.steps, pace.timed, plan.reserve) == (80, False, 0.0)


def test_a_timed_run_keeps_time_free_for_what_comes_after_its_steps() -> None:
    started = time.monotonic()

    def spare(plan: Plan) -> tuple[Pace, float]:
        pace = plan.pace(started=started)
        return pace, pace.seconds_to_spare + time.monotonic() - started

    pace, seconds = spare(TEXT)
    reserve = 60.0 * RESERVE_SHARE + MARGIN_SECONDS
    assert TEXT.reserve == reserve
    assert pace.steps == 100
    assert seconds == pytest.approx(60.0 - reserve, abs=0.1)

    pace, seconds = spare(ANSWERS)
    reserve = 60.0 * (RESERVE_SHARE + ANSWER_SHARE) + MARGIN_SECONDS
    assert ANSWERS.reserve == reserve
    assert pace.steps == 80  # the second round has the other 20, and their share of the time
    assert seconds == pytest.approx((60.0 - reserve) * 0.8, abs=0.1)
