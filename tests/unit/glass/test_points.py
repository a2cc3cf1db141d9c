"""The table of what can be seen in a forward."""

import pytest

from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.glass.points import matching, points_of
from nextword.presets import preset

SEED = preset("seed", vocab_size=11, d_model=2, context_length=7)


def test_the_articles_model_has_the_articles_values_in_order() -> None:
    assert list(points_of(SEED)) == [
        "token_embedding",
        "position",
        "residual",
        "blocks.0.residual_pre",
        "blocks.0.attention.query",
        "blocks.0.attention.key",
        "blocks.0.attention.value",
        "blocks.0.attention.scores",
        "blocks.0.attention.masked_scores",
        "blocks.0.attention.attention_weights",
        "blocks.0.attention.context",
        "blocks.0.attention.output",
        "blocks.0.residual_mid",
        "blocks.0.residual_post",
        "logits",
        "probabilities",
    ]


def test_sizes_are_the_letters_in_numbers() -> None:
    config = ModelConfig(
        vocab_size=101, d_model=23, n_heads=6, n_kv_heads=3, d_head=14, d_ff=37, n_layers=1
    )
    points = points_of(config)
    assert points["blocks.0.attention.query"].sizes(config, 5) == (6, 5, 14)
    assert points["blocks.0.attention.key"].sizes(config, 5) == (3, 5, 14)
    assert points["blocks.0.attention.scores"].sizes(config, 5) == (6, 5, 5)
    assert points["blocks.0.feed_forward.gate"].sizes(config, 5) == (5, 37)
    assert points["logits"].sizes(config, 5) == (5, 101)


def test_patterns_match_whole_names() -> None:
    assert matching(["blocks.*.attention.query"], SEED) == {"blocks.0.attention.query"}
    assert matching(["*"], SEED) == set(points_of(SEED))
    assert matching([], SEED) == set()


def test_a_pattern_without_a_match_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'logits'"):
        matching(["logit"], SEED)
    with pytest.raises(ConfigError, match="unknown point 'final_norm'"):
        matching(["*", "final_norm"], SEED)  # this model has none
