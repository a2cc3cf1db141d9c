"""A lesson as a value: through JSON and back, and what cannot be done without its model."""

import json

import pytest
from tests.unit.teach.samples import lesson

from nextword.errors import ConfigError
from nextword.teach.config import TeachingConfig
from nextword.teach.evaluation.lesson_evaluation import why
from nextword.teach.lesson import Lesson, Locality, Outcome, TeachingStep


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"number": 7},
        {"generality": None, "held_out": None, "account": None, "number": None},
        {"newly_wrong": (), "n_newly_wrong": 0, "changes": ()},
    ],
)
def test_it_comes_back_from_json(changes: dict[str, object]) -> None:
    made = lesson(**changes)
    values = json.loads(json.dumps(made.as_json()))
    assert "_link" not in values
    assert values["known"]["share"] == made.known.share
    assert (values["held_out"] is None) == (made.held_out is None)
    assert Lesson.from_json(values) == made


def test_json_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="leraned"):
        Lesson.from_json(lesson().as_json() | {"leraned": True})


def test_without_its_model_it_is_neither_kept_nor_undone() -> None:
    read = Lesson.from_json(lesson().as_json())
    for refused in (read.keep, read.undo):
        with pytest.raises(ConfigError, match="read from a file; use nextword lessons"):
            refused()


def test_the_share_that_stayed() -> None:
    some = {"kl": 0.0, "was_right": 0, "newly_wrong": 0, "newly_right": 0}
    assert Locality(n=8, kept=7, **some).share == 0.875  # type: ignore[arg-type]
    assert Locality(n=0, kept=0, **some).share == 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("learned", "Learned in 13 steps."),
        ("already", "All 3 words were right already, each at 50 % or more; nothing was changed."),
        ("steps", "Not learned in 13 steps: 2 of 3 words are right, the least likely at 25 %; "
         "the weights are as they were."),
        ("seconds", "Not learned in 1.5 seconds: 2 of 3 words are right, the least likely at "
         "25 %; the weights are as they were."),
        ("stopped", "Stopped after 13 steps: 2 of 3 words are right, the least likely at 25 %; "
         "the weights are as they were."),
        ("kl", "Not learned in 13 steps: what the model knows elsewhere would have moved by more "
         "than 0.02 nats per word; the weights are as they were."),
        ("not_finite", "Stopped after 13 steps, as the loss was no finite number; the weights "
         "are as they were."),
    ],
)  # fmt: skip
def test_outcomes_as_sentences(outcome: Outcome, sentence: str) -> None:
    step = TeachingStep(
        step=13, seconds=1.5, loss=0.5, rehearsal_kl=0.0, probabilities=(0.5, 0.25, 0.75),
        least=0.25, n_right=2, n_targets=3,
    )  # fmt: skip
    assert why(outcome, step, TeachingConfig()) == sentence
