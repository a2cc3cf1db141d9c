"""The settings of a lesson are checked where they are made."""

from typing import Any

import pytest

from nextword.errors import ConfigError
from nextword.teach.config import RATES, TeachingConfig
from nextword.validation import config_from


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"margin": 1.0}, "margin is 1.0; it must be at least 0 and below 1"),
        ({"margin": -0.5}, "margin is -0.5"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"seconds": 0.0}, "seconds is 0.0"),
        ({"largest_kl": 0.0}, "largest_kl is 0.0"),
        ({"rank": 0}, "rank is 0"),
        ({"last_layers": 0}, "last_layers is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"scope": "everything"}, "unknown scope 'everything'"),
        ({"positions": "some"}, "unknown positions 'some'"),
        ({"seed": -1}, "seed is -1"),
        ({"margni": 0.5}, "Did you mean 'margin'"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        config_from(TeachingConfig, values)


def test_a_margin_of_nothing_and_no_rehearsal_are_allowed() -> None:
    config = TeachingConfig(margin=0.0, rehearsal_weight=0.0)
    assert (config.margin, config.rehearsal_weight) == (0.0, 0.0)


def test_every_scope_but_auto_has_a_rate() -> None:
    assert set(RATES) == {"all", "last", "adapter"}
