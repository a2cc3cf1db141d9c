"""Batches that suit the data and the budget, and settings that follow from the request."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.unit.training.plan.requests import asked

from nextword.data.prepared import Prepared
from nextword.errors import ConfigError
from nextword.presets import preset
from nextword.training.plan.sizes import (
    BATCH_TOKENS,
    batch_size,
    batch_tokens_for,
    default_batch,
    training_settings,
)


def test_batches_are_smaller_for_small_data_and_fit_their_parts(
    data: Prepared, tmp_path: Path
) -> None:
    n_samples = data.samples(seed=0, learn="everything").n_samples(0)
    batch = default_batch(data, BATCH_TOKENS)
    assert batch == min(4096 // 32, n_samples // 8)
    request = asked(tmp_path, steps=3, training={"accumulate": 7})
    in_parts = batch_size(request, data, BATCH_TOKENS)
    assert in_parts % 7 == 0
    assert 0 <= in_parts - batch < 7
    with pytest.raises(ConfigError, match="not a multiple"):
        asked(tmp_path, steps=3, training={"accumulate": 7, "batch_size": 8})


def test_a_batch_size_that_was_asked_for_is_taken(data: Prepared, tmp_path: Path) -> None:
    request = asked(tmp_path, steps=3, training={"batch_size": 500})
    assert batch_size(request, data, BATCH_TOKENS) == 500


@pytest.mark.parametrize(
    ("tokens", "batch"),
    [
        (0.0, 1024),
        (1.4e6, 1024),  # 1,399 is nearer to 1,024 than to 2,048, by their logarithms
        (3e6, 2048),
        (12e6, 4096),  # four times the tokens, twice the batch
        (192e6, 16384),
        (1e12, 32768),
    ],
)
def test_the_batch_of_a_timed_run_follows_from_the_tokens_that_fit(
    tokens: float, batch: int
) -> None:
    assert batch_tokens_for(tokens) == batch


def test_weights_decay_unless_scores_are_not_scaled(data: Prepared, tmp_path: Path) -> None:
    def decay(**settings: Any) -> float:
        request = asked(tmp_path, steps=7, **settings)
        return training_settings(request, data, batch=1, steps=7, often=False).weight_decay

    assert decay() == 0.1
    assert decay(preset="seed") == 0.0
    assert decay(preset="llama", model={"scaled_scores": False}) == 0.0
    assert decay(preset="seed", training={"weight_decay": 0.3}) == 0.3


def test_only_new_models_of_which_more_is_asked_are_regularized(
    data: Prepared, tmp_path: Path
) -> None:
    config = preset("qwen3", vocab_size=data.tokenizer.vocab_size, context_length=32, depth=1)
    nothing_held_out = dataclasses.replace(data, held_out=None)
    pretrained = dataclasses.replace(data, model=config)
    answering = dataclasses.replace(nothing_held_out, aim="answers")

    def regularization(prepared: Prepared, **settings: Any) -> tuple[float, float]:
        request = asked(tmp_path, steps=7, **settings)
        training = training_settings(request, prepared, batch=1, steps=7, often=True)
        return training.dropout, training.label_smoothing

    assert regularization(data) == (0.2, 0.1)
    assert regularization(answering) == (0.2, 0.1)  # other phrasings are asked of it
    assert regularization(nothing_held_out) == (0.0, 0.0)
    assert regularization(pretrained) == (0.0, 0.0)
    assert regularization(data, preset="seed") == (0.0, 0.0)
