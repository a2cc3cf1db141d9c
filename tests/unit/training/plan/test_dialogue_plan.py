"""The dial for dialogues: epochs, regularization, rounds, and the minutes that would suffice."""

import time
from pathlib import Path
from typing import Any

import pytest
from tests.repeated_replies import write_repeated_replies
from tests.unit.training.plan.requests import asked

from nextword.config import TrainingConfig
from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.training.backends.backend import Backend
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.plan import dialogue_plan, planner
from nextword.training.plan.dialogue_plan import (
    MAX_EPOCHS,
    MIN_EPOCHS,
    REFIT_PEAK,
    REFIT_SHARE,
    REGULARIZED_EPOCHS,
    TWICE_EPOCHS,
    TWICE_SHARE,
)
from nextword.training.plan.epochs import REGULARIZED, tokens_per_epoch
from nextword.training.plan.plan import ANSWER_SHARE, RESERVE_SHARE, Plan
from nextword.training.plan.planner import make_plan

MINUTES = 2.0
LEFT = MINUTES * 60 * (1 - RESERVE_SHARE - ANSWER_SHARE)  # seconds for steps


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Forty dialogues, some of which are held out as other phrasings."""
    folder = tmp_path_factory.mktemp("answers")
    request = asked(folder, path=write_repeated_replies(folder / "a.jsonl"))
    corpus = open_corpus(request.data)
    prepared = prepare_data(request, corpus, find_tokenizer(request, corpus), folder, warn=print)
    assert prepared.aim == "answers" and prepared.learns_held_out
    return prepared


def planned(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, epochs: float, **more: Any
) -> Plan:
    """Plan for MINUTES on a machine that is fast enough for so many epochs."""
    speed = epochs * tokens_per_epoch(data) / LEFT

    def choose(_: object, __: object, training: TrainingConfig, **___: object) -> Backend:
        return Backend("float32", 1, False, "float32", {}, "given")

    for room in (dialogue_plan, planner):
        monkeypatch.setattr(room, "choose_backend", choose)
        monkeypatch.setattr(room, "tokens_per_second", lambda *_, **__: speed)
    request = asked(tmp_path, minutes=MINUTES, **more)
    return make_plan(request, data, started=time.monotonic())


def epochs_of(plan: Plan, data: Prepared) -> float:
    return plan.training.steps * plan.training.batch_size * 32 / tokens_per_epoch(data)


@pytest.mark.parametrize(
    ("possible", "epochs", "dropout"),
    [
        (1000.0, MAX_EPOCHS / TWICE_SHARE, REGULARIZED["dropout"]),  # more brings nothing
        (REGULARIZED_EPOCHS + 5, REGULARIZED_EPOCHS + 5, REGULARIZED["dropout"]),
        (REGULARIZED_EPOCHS - 5, REGULARIZED_EPOCHS - 5, 0.0),
        (MIN_EPOCHS + 1, MIN_EPOCHS + 1, 0.0),
    ],
)
def test_as_many_epochs_as_pay_and_dropout_where_there_is_time(
    possible: float,
    epochs: float,
    dropout: float,
    data: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = planned(data, tmp_path, monkeypatch, epochs=possible)
    assert epochs_of(plan, data) == pytest.approx(epochs, rel=0.1)
    smoothing = REGULARIZED["label_smoothing"] if dropout else 0.0
    assert (plan.training.dropout, plan.training.label_smoothing) == (dropout, smoothing)
    twice = possible >= TWICE_EPOCHS
    share, peak = (TWICE_SHARE, 1.0) if twice else (REFIT_SHARE, REFIT_PEAK)
    assert plan.refit_steps == pytest.approx(share * plan.training.steps, abs=1)
    assert plan.refit_peak == peak
    assert (plan.minutes_needed, plan.aim) == (None, "answers")


def test_what_a_person_asks_for_is_taken(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"dropout": 0.3, "label_smoothing": 0.0, "batch_size": 3}
    plan = planned(data, tmp_path, monkeypatch, epochs=90.0, training=given, depth=2)
    training = plan.training
    assert (training.dropout, training.label_smoothing, training.batch_size) == (0.3, 0.0, 3)
    assert plan.model.n_layers == 2


def test_where_the_time_does_not_suffice_it_says_what_would_and_learns_all_the_same(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(data, tmp_path, monkeypatch, epochs=MIN_EPOCHS / 4)
    steps = 4 * LEFT  # of four times as fast a machine, or of four times the time
    assert plan.minutes_needed == pytest.approx((MINUTES * 60 - LEFT + steps) / 60, rel=0.05)
    assert plan.why[0].startswith("the time does not suffice to learn every reply")
    assert (plan.training.dropout, plan.training.label_smoothing) == (0.0, 0.0)
    assert 0 < plan.refit_steps < plan.training.steps  # the held-out phrasings are learned, too


def test_of_few_steps_the_last_are_over_everything(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        planner, "choose_backend", lambda *_, **__: Backend("float32", 1, False, "float32", {}, "")
    )
    plans = {
        steps: make_plan(asked(tmp_path, steps=steps), data, started=0.0) for steps in (1, 2, 10)
    }
    assert {steps: plan.refit_steps for steps, plan in plans.items()} == {1: 0, 2: 1, 10: 2}
