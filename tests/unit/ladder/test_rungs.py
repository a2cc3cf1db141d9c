"""Each rung changes exactly what it names, and the ladder leads from the article to today."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest

from nextword.config import ModelConfig, TrainingConfig, config_from
from nextword.errors import ConfigError
from nextword.ladder.rung import Rung
from nextword.ladder.rungs import RATES, RUNGS, choose, settings_at
from nextword.presets import preset

SIZES = {"n_heads": 3, "n_layers": 5}
GIVEN = {"vocab_size": 7, "context_length": 11, "d_model": 18}
FOLLOWS = {"n_heads": {"n_kv_heads", "d_head"}, "feed_forward": {"d_ff"}}  # derived sizes


def resolved(rung: Rung) -> dict[str, Any]:
    model, training = settings_at(rung, SIZES)
    return dataclasses.asdict(config_from(ModelConfig, model | GIVEN)) | dataclasses.asdict(
        config_from(TrainingConfig, training | {"steps": 1})
    )


@pytest.mark.parametrize(("before", "rung"), list(pairwise(RUNGS)), ids=lambda rung: rung.key)
def test_a_rung_changes_what_it_names_and_nothing_else(before: Rung, rung: Rung) -> None:
    old, new = resolved(before), resolved(rung)
    changed = {name for name in new if old[name] != new[name]}
    named = set(rung.settings)
    allowed = named.union(*(FOLLOWS.get(name, set()) for name in named))
    assert named <= changed <= allowed


@pytest.mark.parametrize("rung", RUNGS[1:], ids=lambda rung: rung.key)
def test_a_rung_changes_one_thing(rung: Rung) -> None:
    assert len(rung.settings) == 1


def test_the_first_rung_is_the_article() -> None:
    model, training = settings_at(RUNGS[0], SIZES)
    assert config_from(ModelConfig, model | GIVEN) == preset(
        "seed", vocab_size=7, context_length=11, d_model=18
    )
    assert training["optimizer"] == "adamw"


def test_the_last_rung_is_a_model_of_today() -> None:
    model, training = settings_at(RUNGS[-1], SIZES)
    today = preset("qwen3", vocab_size=7, context_length=11, d_model=18, n_heads=3, n_layers=5)
    ours = config_from(ModelConfig, model | GIVEN)
    same = ("position", "norm", "scaled_scores", "output_projection", "query_key_norm")
    assert [getattr(ours, name) for name in same] == [getattr(today, name) for name in same]
    assert ours.gated
    assert training["optimizer"] == "muon"


def test_one_learning_rate_for_each_optimizer_on_every_rung() -> None:
    for rung in RUNGS:
        training = settings_at(rung, SIZES)[1]
        assert training["learning_rate"] == RATES["adamw"]
        assert training["muon_learning_rate"] == RATES["muon"]


@pytest.mark.parametrize("rung", RUNGS[1:], ids=lambda rung: rung.key)
def test_a_rung_says_what_was_not_nice_and_shows_what_changes(rung: Rung) -> None:
    assert "not nice" in rung.not_nice
    assert rung.not_nice[0].islower() and rung.mend[0].islower()  # after "But wait," and "So,"
    assert rung.was and rung.now and rung.was != rung.now


def test_rungs_come_in_the_ladders_order() -> None:
    assert [rung.key for rung in choose(["muon", "article"])] == ["article", "muon"]
    assert choose(None) == RUNGS


def test_an_unknown_rung_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown rung 'mun'.*Did you mean 'muon'"):
        choose(["mun"])
    with pytest.raises(ConfigError, match="no rung is given"):
        choose([])
