"""What a run is for: with which aim it goes in rounds, and for how long."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests.repeated_replies import FIRST, SECOND, write_repeated_replies
from tests.small_runs import STEPS, Notes, quick, request, write_dialogues, write_text

from nextword.common.files import read_json
from nextword.data.prepared import Prepared
from nextword.errors import ConfigError
from nextword.training.data.held_out import SPLIT_RULE
from nextword.training.loop import rounds
from nextword.training.loop.trainer import Trainer
from nextword.training.pipeline import train
from nextword.training.plan.dialogue_plan import REFIT_PEAK
from nextword.training.plan.plan import Plan


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def rates(out: Path) -> list[float]:
    lines = (out / "training" / "metrics.jsonl").read_text().splitlines()
    return [line["learning_rate"] for line in map(json.loads, lines) if "learning_rate" in line]


def rises(numbers: list[float]) -> list[int]:
    """The places at which a number is larger than the one before."""
    return [place for place in range(1, len(numbers)) if numbers[place] > numbers[place - 1]]


def test_dialogues_are_for_answers_unless_asked_otherwise(tmp_path: Path) -> None:
    data = write_repeated_replies(tmp_path / "a.jsonl")
    trained = train(request(data, tmp_path / "out"))
    plan = read_json(tmp_path / "out" / "training" / "plan.json")["plan"]
    assert (plan["aim"], plan["split_rule"], plan["refit_steps"]) == ("answers", SPLIT_RULE, SECOND)
    assert trained.held_out_until == FIRST
    assert rises(rates(tmp_path / "out")) == [1, FIRST]  # the first step warms up
    asked = train(request(data, tmp_path / "asked", aim="answers"))
    assert (asked.answers, asked.phrasings) == (trained.answers, trained.phrasings)


def test_to_generalize_a_run_has_one_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[Trainer, Prepared]] = []

    def later(trainer: Trainer, data: Prepared, plan: Plan, **values: Any) -> None:
        rounds.train_later_rounds(trainer, data, plan, **values)
        runs.append((trainer, data))

    monkeypatch.setattr("nextword.training.pipeline.train_later_rounds", later)
    data = write_repeated_replies(tmp_path / "a.jsonl")
    settings = {"dropout": 0.2, "label_smoothing": 0.1}
    trained = train(request(data, tmp_path / "out", aim="generalize", training=settings))
    plan = read_json(tmp_path / "out" / "training" / "plan.json")["plan"]
    assert (plan["aim"], plan["refit_steps"], trained.steps) == ("generalize", 0, STEPS)
    assert (trained.answers, trained.phrasings, trained.held_out_until) == (None, None, None)
    assert trained.scores is not None and trained.replies is not None
    assert rises(rates(tmp_path / "out")) == [1]
    ((trainer, prepared),) = runs
    assert (trainer.round.number, trainer.findings, trainer.decoder.dropout) == (0, {}, 0.2)
    assert not prepared.learns_held_out
    assert prepared.held_out is not None
    held_out = {tuple(span) for span in prepared.held_out[1].spans.tolist()}
    assert held_out and not held_out & {tuple(span) for span in prepared.train.spans.tolist()}


def test_plain_text_is_not_for_answers(tmp_path: Path) -> None:
    data = write_text(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match=r"--aim answers is for dialogues, .* is plain text"):
        train(request(data, tmp_path / "out", aim="answers"))
    trained = train(request(data, tmp_path / "out", steps=2))
    assert (trained.answers, trained.held_out_until) == (None, None)
    plan = read_json(tmp_path / "out" / "training" / "plan.json")["plan"]
    assert plan["aim"] == "generalize"


def test_an_unknown_aim_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"aim 'answer'.*answers"):
        request(tmp_path / "a.jsonl", tmp_path / "out", aim="answer")
    with pytest.raises(ConfigError, match="generalize"):
        request(tmp_path / "a.jsonl", tmp_path / "out", aim="generalise")


@pytest.mark.parametrize("settings", [{}, {"held_out": 0.0}, {"held_out": "other.jsonl"}])
def test_where_nothing_is_held_out_of_what_was_given_there_is_one_round(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    if settings:
        data = write_repeated_replies(tmp_path / "a.jsonl")
    else:
        data = write_dialogues(tmp_path / "a.jsonl")  # no reply repeats
    if settings.get("held_out"):
        settings = {"held_out": str(write_dialogues(tmp_path / "other.jsonl", count=7))}
    told = Notes()
    trained = train(request(data, tmp_path / "out", aim="answers", **settings), reporter=told)
    assert told.steps == list(range(1, STEPS + 1))
    assert rises(rates(tmp_path / "out")) == [1]
    assert trained.answers is not None and trained.held_out_until is None


# Rounds after the second, where there is time


class FakeTrainer:
    """A trainer in its second round, whose rounds take no time; each one learns one reply more."""

    def __init__(self, *, learned: int, seconds: float) -> None:
        self.learned, self.begun = learned, 0
        self.round = SimpleNamespace(number=1)
        self.decoder = SimpleNamespace(config=SimpleNamespace(context_length=17))
        self.pace = SimpleNamespace(seconds_per_step=0.5, seconds_to_spare=seconds)

    def begin_round(self, steps: int, *, peak: float, regularized: bool) -> None:
        assert (steps, peak, regularized) == (14, REFIT_PEAK, False)
        self.begun += 1

    def fit(self) -> None:
        self.learned += 1
        self.pace.seconds_to_spare -= 7.0

    @contextlib.contextmanager
    def own_precision(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    ("learned", "seconds", "deadline", "expected"),
    [
        (3, 100.0, 60.0, 2),  # until all five are learned
        (5, 100.0, 60.0, 0),
        (1, 100.0, 60.0, 4),
        (1, 10.5, 60.0, 2),  # 3.5 seconds are half a round of 14 steps: then there is no time
        (1, 3.4, 60.0, 0),
        (1, 100.0, None, 0),  # so many steps were asked for
    ],
)
def test_rounds_follow_until_all_is_learned_or_time_is_up(
    learned: int,
    seconds: float,
    deadline: float | None,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = FakeTrainer(learned=learned, seconds=seconds)
    pairs = SimpleNamespace(answerable=list(range(5)))
    monkeypatch.setattr(rounds, "whole", lambda shards: shards)
    monkeypatch.setattr(rounds, "given_pairs", lambda *_, **__: pairs)
    all_checked = np.ones(5, np.bool_)
    monkeypatch.setattr(
        rounds, "screen", lambda *_, **__: (np.arange(5) < trainer.learned, all_checked)
    )
    training = SimpleNamespace(steps=70)  # of which a fifth makes a further round
    plan = cast(
        Plan, SimpleNamespace(aim="answers", deadline=deadline, refit_steps=42, training=training)
    )
    data = cast(Prepared, SimpleNamespace(shards=None, tokenizer=SimpleNamespace(pad_id=0)))
    notes: list[str] = []
    rounds.train_later_rounds(cast(Trainer, trainer), data, plan, note=notes.append)
    assert trainer.begun == expected
    assert notes == [
        f"{learned + number} of 5 replies are learned; another round follows"
        for number in range(expected)
    ]
