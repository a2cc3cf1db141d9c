"""How many epochs small data pays for, and how gently to train on data that is seen many times.

After about 20 epochs a small model memorizes more than it generalizes. So where time is the budget,
a small text is not gone through more than MAX_EPOCHS times, and data seen often is trained on at
gentler rates, with dropout and label smoothing. Measured: docs/lab-log.md.
"""

from collections.abc import Mapping
from typing import Any

from nextword.data.prepared import Prepared

MAX_EPOCHS = 40  # where held-out loss is the aim and time the budget
SMALL_DATA_EPOCHS = 20  # from which on the rates are the gentle ones
GENTLE = {"learning_rate": 3e-3, "muon_learning_rate": 2e-2}
REGULARIZED = {"dropout": 0.2, "label_smoothing": 0.1}


def tokens_per_epoch(data: Prepared) -> int:
    """Return the tokens of one epoch over what is learned from, padding included."""
    return data.samples(seed=0, learn="everything").n_samples(0) * data.context


def is_small_data(epochs: float) -> bool:
    """Return True if so many epochs call for gentle rates and regularization."""
    return epochs >= SMALL_DATA_EPOCHS


def with_gentle_rates(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of TrainingConfig with the gentle rates, where none was asked for.

    AdamW alone has a gentle rate by default.
    """
    rates = GENTLE if settings.get("optimizer", "muon") == "muon" else {}
    return rates | dict(settings)


def with_regularization(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of TrainingConfig with dropout and label smoothing, unless asked for."""
    return REGULARIZED | dict(settings)
