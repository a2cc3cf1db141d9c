"""How often to go through the data, and how fast to learn from data that is seen many times.

What a model sees for the twentieth time it learns by heart more than it learns from. So where time
is the budget, small data is not gone through more than MOST_PASSES times: time that is left goes to
more models (turns.py). And data seen often is learned at gentler rates, with dropout and smoothed
labels, so that the model does not become too sure of what it knows by heart. Measured:
docs/lab-log.md.
"""

from collections.abc import Mapping
from typing import Any

from nextword.learn.data import Prepared

MOST_PASSES = 40  # over the data, where time is the budget
OFTEN = 20  # passes, from which on the rates are the gentle ones
GENTLE = {"learning_rate": 3e-3, "muon_learning_rate": 2e-2}
UNSURE = {"dropout": 0.2, "label_smoothing": 0.1}


def tokens_of_pass(data: Prepared) -> int:
    """The tokens of one pass over what is learned from, padding included."""
    return data.samples(seed=0, learn="everything").n_samples(0) * data.context


def seen_often(passes: float) -> bool:
    """Whether so many passes over the data call for gentle rates, dropout and smoothed labels."""
    return passes >= OFTEN


def gentle(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of TrainingConfig with the gentle rates, where none was asked for.

    AdamW alone has a gentle rate by default.
    """
    rates = GENTLE if settings.get("optimizer", "muon") == "muon" else {}
    return rates | dict(settings)


def unsure(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of TrainingConfig with dropout and smoothed labels, where none were asked for."""
    return UNSURE | dict(settings)
