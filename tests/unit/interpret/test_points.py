"""The table of what can be seen in a forward."""

import pytest

from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.interpret.points import check_place, check_point, chosen, points_of
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
    assert chosen(["blocks.*.attention.query"], SEED) == {"blocks.0.attention.query"}
    assert chosen(["*"], SEED) == set(points_of(SEED))
    assert chosen([], SEED) == set()


def test_a_pattern_without_a_match_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'logits'"):
        chosen(["logit"], SEED)
    with pytest.raises(ConfigError, match="unknown point 'final_norm'"):
        chosen(["*", "final_norm"], SEED)  # this model has none


@pytest.mark.parametrize(
    ("n_layers", "name", "message"),
    [
        (2, "blocks.7.attention.query", "names block 7; there are blocks 0 to 1"),
        (2, "blocks.-1.*", "names block -1; there are blocks 0 to 1"),
        (1, "blocks.1.residual_post", "names block 1; there is only block 0"),
        (0, "blocks.0.residual_post", "names block 0; this model has no blocks"),
        (2, "blocks.1.attention.queri", "Did you mean 'blocks.1.attention.query'"),
    ],
)
def test_a_block_that_is_not_there_is_told_from_a_wrong_name(
    n_layers: int, name: str, message: str
) -> None:
    config = ModelConfig(vocab_size=11, d_model=6, n_layers=n_layers)
    with pytest.raises(ConfigError, match=message):
        chosen([name], config)
    with pytest.raises(ConfigError, match=message):
        check_point(name, points_of(config))


def test_layers_limit_the_points_in_blocks_only() -> None:
    config = ModelConfig(vocab_size=11, d_model=6, n_layers=12)
    assert chosen(["blocks.*.attention.query"], config, [1, 10]) == {
        "blocks.1.attention.query",
        "blocks.10.attention.query",
    }
    assert "logits" in chosen(["*"], config, [2])
    assert chosen(["blocks.*"], config, []) == set()
    with pytest.raises(ConfigError, match="layer is 12; it must be 0 to 11"):
        chosen(["*"], config, [12])


def test_a_place_may_be_counted_from_the_end() -> None:
    assert [check_place("head", number, 3) for number in (0, 2, -1, -3)] == [0, 2, 2, 0]
    with pytest.raises(ConfigError, match="head is 3; it must be 0 to 2"):
        check_place("head", 3, 3)
    with pytest.raises(ConfigError, match="layer is 0; there is none"):
        check_place("layer", 0, 0)
