"""A run in two rounds that was broken off in either goes on to the same weights, bit for bit."""

import signal
from pathlib import Path

import pytest
from tests.repeated_replies import FIRST, SECOND, write_repeated_replies
from tests.small_runs import BrokenOffError, Notes, breaking_at, left_by, quick, request

from nextword.errors import StoppedError
from nextword.training.pipeline import train
from nextword.training.request import TrainRequest

REGULARIZED = {"dropout": 0.2, "label_smoothing": 0.1, "checkpoint_every": 5}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    return write_repeated_replies(tmp_path / "dialogues.jsonl")


def broken(asked: TrainRequest, step: int) -> None:
    with pytest.raises(BrokenOffError):
        train(asked, reporter=breaking_at(step))


@pytest.mark.parametrize(
    ("step", "goes_on_with"),
    [
        (3, 1),  # before the first checkpoint
        (7, 6),
        (FIRST, 6),  # the last step of the first round
        (FIRST + 1, FIRST + 1),  # the first step of the second round, which no checkpoint has
        (FIRST + 2, FIRST + 2),
        (FIRST + SECOND, FIRST + 2),
    ],
)
def test_a_run_broken_in_either_round_leaves_what_an_undisturbed_one_leaves(
    step: int, goes_on_with: int, dialogues: Path, tmp_path: Path
) -> None:
    train(request(dialogues, tmp_path / "undisturbed", training=REGULARIZED))
    asked = request(dialogues, tmp_path / "broken", training=REGULARIZED)
    broken(asked, step)
    last = Notes()
    train(asked, reporter=last)
    assert last.steps == list(range(goes_on_with, FIRST + SECOND + 1))
    assert left_by(tmp_path / "broken") == left_by(tmp_path / "undisturbed")


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_run_broken_everywhere_leaves_what_an_undisturbed_one_leaves(
    optimizer: str, dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = REGULARIZED | {"optimizer": optimizer, "accumulate": 2}
    undisturbed = train(request(dialogues, tmp_path / "undisturbed", training=settings))
    asked = request(dialogues, tmp_path / "broken", training=settings)
    broken(asked, 7)
    broken(asked, FIRST)

    def breaks(*_: object, **__: object) -> None:
        raise BrokenOffError

    for place in (
        "training.loop.rounds.count_answers",
        "training.loop.trainer.Trainer.begin_round",
    ):
        with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
            patch.setattr(f"nextword.{place}", breaks)  # while measuring, and after it
            train(asked)
    broken(asked, FIRST + 1)
    broken(asked, FIRST + 2)
    for place in ("training.pipeline.judge_run", "training.pipeline.save_model"):
        with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
            patch.setattr(f"nextword.{place}", breaks)
            train(asked)
    last = Notes()
    trained = train(asked, reporter=last)
    assert last.steps == []
    assert left_by(tmp_path / "broken") == left_by(tmp_path / "undisturbed")
    for name in ("scores", "answers", "phrasings", "held_out_until"):
        assert getattr(trained, name) == getattr(undisturbed, name)
    again = train(asked)
    assert again.already
    assert (again.phrasings, again.held_out_until) == (undisturbed.phrasings, FIRST)


@pytest.mark.parametrize("step", [FIRST - 2, FIRST, FIRST + 1])
def test_a_run_stopped_in_either_round_goes_on(step: int, dialogues: Path, tmp_path: Path) -> None:
    train(request(dialogues, tmp_path / "undisturbed", training=REGULARIZED))
    asked = request(dialogues, tmp_path / "stopped", training=REGULARIZED)
    ask = Notes(lambda done: signal.raise_signal(signal.SIGINT) if done == step else None)
    of = FIRST if step <= FIRST else FIRST + SECOND
    with pytest.raises(StoppedError, match=f"stopped at step {step} of {of}; everything is saved"):
        train(asked, reporter=ask)
    last = Notes()
    train(asked, reporter=last)
    assert last.steps == list(range(step + 1, FIRST + SECOND + 1))
    assert left_by(tmp_path / "stopped") == left_by(tmp_path / "undisturbed")
