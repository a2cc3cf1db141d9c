"""What may be asked of a training; all that is impossible is refused before anything is read."""

from pathlib import Path
from typing import Any

import pytest

from nextword.errors import ConfigError
from nextword.training.request import DEFAULT_MINUTES, TrainRequest


def asked(**settings: Any) -> TrainRequest:
    return TrainRequest(data=("a.txt",), out=Path("out"), **settings)


def test_without_a_budget_it_is_five_minutes() -> None:
    assert asked().timed_minutes == DEFAULT_MINUTES == 5.0
    assert asked(minutes=0.5).timed_minutes == 0.5
    assert asked(steps=3).timed_minutes is None
    assert asked(tokens=3).timed_minutes is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 3, "minutes": 1.0}, "steps and minutes are given"),
        ({"steps": 0}, "steps is 0; it must be above 0"),
        ({"minutes": -1.0}, "minutes is -1.0"),
        ({"minutes": float("inf")}, "minutes is inf"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"held_out": 1.0}, "the share held out is 1.0"),
        ({"held_out": -0.1}, "the share held out is -0.1"),
        ({"preset": "qwen"}, "Did you mean 'qwen3'"),
        ({"depth": 0}, "depth is 0"),
        ({"context": 0}, "context_length is 0"),
        ({"model": {"vocab_size": 3}}, "it follows from the tokenizer's"),
        ({"model": {"context_length": 3}}, "it follows from --context"),
        ({"model": {"n_head": 3}}, "Did you mean 'n_heads'"),
        ({"model": {"d_model": 30, "n_heads": 4}}, "d_model 30 is not a multiple of n_heads 4"),
        ({"aim": "answer"}, "Did you mean 'answers'"),
        ({"training": {"generations": 2}}, "training.generations is no longer a setting"),
        ({"training": {"steps": 3}}, "it follows from --steps"),
        ({"training": {"learningrate": 1.0}}, "Did you mean 'learning_rate'"),
        ({"training": {"dropout": 1.5}}, "dropout is 1.5"),
        ({"training": {"batch_size": "many"}}, "batch_size is 'many'; it must be of type int"),
        ({"training": {"batch_size": 16, "accumulate": 3}}, "not a multiple of accumulate 3"),
        ({"training": {"seed": 1.5}}, "seed is 1.5; it must be of type int"),
    ],
)
def test_the_impossible_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        asked(**settings)
    assert message in str(error.value)


def test_accumulate_alone_leaves_the_batch_to_the_plan() -> None:
    assert asked(training={"accumulate": 3}).training == {"accumulate": 3}


def test_the_settings_are_all_but_the_places() -> None:
    settings = asked(steps=3).settings()
    assert settings["steps"] == 3
    assert not {"data", "out"} & settings.keys()


def test_later_settings_that_nobody_gave_are_not_kept_with_the_run(tmp_path: Path) -> None:
    """So that a run that an earlier Nextword began goes on."""
    assert not {"start", "aim"} & TrainRequest(data=("a",), out=tmp_path).settings().keys()
    begun = TrainRequest(data=("a",), out=tmp_path, start="there", aim="generalize")
    assert (begun.settings()["start"], begun.settings()["aim"]) == ("there", "generalize")
