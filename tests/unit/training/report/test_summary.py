"""What a run says at its start and its end, and what is kept of it."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests.unit.training.fakes import scores

from nextword.data.samples.datasets import Batch, Samples
from nextword.evaluate.exact_replies import AnswerScores
from nextword.evaluate.memorization import Parroting
from nextword.evaluate.scoring import ReplyScores
from nextword.training.report.summary import Trained, loss_share
from nextword.training.run.run_dir import Run

ANSWERS = Trained(
    folder=Path("models/mine"),
    steps=300,
    seconds=12.5,
    answers=AnswerScores(n_pairs=1200, n_exact=1190, n_generated=1200, n_ended=1199),
    advice="nothing to mend: 99.2% of the given replies are as given",
)
PHRASINGS = dataclasses.replace(
    ANSWERS,
    scores=scores(),
    answers=AnswerScores(
        n_pairs=1200, n_exact=640, n_generated=960, n_ended=959, n_contradictory=4, n_too_long=2
    ),
    phrasings=AnswerScores(n_pairs=40, n_exact=31, n_generated=40, n_ended=40),
    held_out_until=1240,
    minutes_needed=7.5,
)
FULL = Trained(
    folder=Path("models/mine"),
    steps=300,
    seconds=12.5,
    scores=scores(),
    replies=ReplyScores(exact=0.25, stopped=0.875, n_replies=8),
    training_loss=1.25,
    parroting=Parroting(copied=0.46, usual=0.02, n_outputs=50, searched=1.0),
    advice="more data: 46% of it",
)


def test_the_end_in_plain_lines() -> None:
    assert FULL.lines() == [
        "held-out loss 2.0000, bits per byte 1.2340, next word right 46.0%, in top 5 71.3%",
        "training loss 1.2500, measured in the same way",
        "of 50 outputs of 20 tokens or a whole reply 46% stand word for word in the training text "
        "(of real text 2%)",
        "of 8 replies 25.0% are word for word the data's, 87.5% ended by the end token",
        "advice: more data: 46% of it",
        "model saved in models/mine",
    ]


def test_where_the_aim_is_to_answer_the_given_replies_come_first() -> None:
    assert ANSWERS.lines() == [
        "1,190 of 1,200 replies as given, 1,199 ended by the end token",
        "advice: nothing to mend: 99.2% of the given replies are as given",
        "model saved in models/mine",
    ]
    assert PHRASINGS.lines()[:4] == [
        "640 of 1,200 replies as given, 959 of 960 that were generated ended by the end token",
        "not counted: 4 replies to prompts that stand with different replies",
        "not counted: 2 replies that do not fit into the context",
        "of 40 other phrasings 31 answered right (by the model after step 1,240; they were "
        "learned after that)",
    ]
    never_learned = dataclasses.replace(PHRASINGS, held_out_until=None)
    assert never_learned.lines()[3] == "of 40 other phrasings 31 answered right"


def test_a_text_searched_in_part() -> None:
    parroting = Parroting(copied=0.0, usual=0.1, n_outputs=10, searched=0.37)
    text = dataclasses.replace(FULL, replies=None, parroting=parroting)
    assert text.lines()[2] == (
        "of 10 outputs of 20 tokens 0% stand word for word in the training text (of real text "
        "10%; 37 % of the text was searched)"
    )


def test_only_what_was_measured_is_said() -> None:
    bare = Trained(folder=Path("m"), steps=1, seconds=0.1, scores=None, replies=None)
    assert bare.lines() == ["model saved in m"]


@pytest.mark.parametrize(
    "trained",
    [FULL, ANSWERS, PHRASINGS, Trained(folder=Path("m"), steps=1, seconds=0.1)],
    ids=["full", "answers", "phrasings", "bare"],
)
def test_a_finished_run_says_the_same_again(trained: Trained) -> None:
    kept = json.loads(json.dumps(trained.summary()))
    run = cast(Run, SimpleNamespace(folder=trained.folder, summary=kept))
    assert Trained.earlier(run) == dataclasses.replace(trained, already=True)


def test_a_run_finished_before_there_was_advice_is_still_read() -> None:
    kept: dict[str, Any] = {"steps": 7, "seconds": 1.5, "scores": None, "replies": None}
    run = cast(Run, SimpleNamespace(folder=Path("m"), summary=kept))
    assert Trained.earlier(run) == Trained(
        folder=Path("m"), steps=7, seconds=1.5, scores=None, replies=None, already=True
    )


class Given(Samples):
    """Five rows of three positions, of which 0, 1, 2, 3 and 1 carry loss."""

    context_length = 3

    def __init__(self) -> None:
        self.targets = np.array([[-1, -1, -1], [4, -1, -1], [0, 5, -1], [1, 1, 1], [-1, -1, 9]])

    def n_samples(self, epoch: int) -> int:
        return 5

    def _gather(self, epoch: int, keys: Any) -> Batch:
        raise NotImplementedError

    def batch(self, first: int, count: int) -> Batch:
        targets = self.targets[first : first + count]
        return targets, targets, None


def test_the_share_of_positions_that_carry_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loss_share(Given()) == 7 / 15
    monkeypatch.setattr("nextword.training.report.summary.ROWS_COUNTED", 3)
    assert loss_share(Given()) == 3 / 9
