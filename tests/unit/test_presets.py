"""Presets: the sizes that one dial derives, the article to the letter, known parameter counts."""

import pytest
import torch

from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.model.decoder import Decoder
from nextword.presets import DEFAULT_DEPTH, PRESETS, preset, sizes_at


def n_parameters(config: ModelConfig) -> int:
    """Counted without making the weights."""
    with torch.device("meta"):
        return Decoder(config).n_parameters


@pytest.mark.parametrize(("depth", "width"), [(1, 64), (3, 192), (12, 768), (32, 2048)])
def test_one_dial_derives_the_sizes(depth: int, width: int) -> None:
    assert sizes_at(depth) == {"d_model": width, "n_layers": depth, "n_heads": depth}
    assert sizes_at(depth, one_block=True) == {"d_model": width, "n_layers": 1, "n_heads": 1}
    for name in PRESETS:
        config = preset(name, vocab_size=11, depth=depth)
        assert config.d_model == width
        assert config.n_layers == (1 if name == "seed" else depth)
        assert config.head_width == (width if name == "seed" else 64)


@pytest.mark.parametrize("name", PRESETS)
def test_left_out_the_depth_is_the_default(name: str) -> None:
    assert preset(name, vocab_size=11) == preset(name, vocab_size=11, depth=DEFAULT_DEPTH)


def test_depth_has_to_be_at_least_one() -> None:
    with pytest.raises(ConfigError, match=r"depth is 0; it must be at least 1 \(d_model = 64 × "):
        sizes_at(0)


def test_an_unknown_preset_gets_the_nearest_match() -> None:
    with pytest.raises(ConfigError, match=r"allowed are: seed, gpt2, .*Did you mean 'gpt2'\?"):
        preset("gtp2", vocab_size=11)


def test_an_unknown_override_gets_the_nearest_match() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'n_heads'\?"):
        preset("llama", vocab_size=11, n_head=2)


def test_overrides_win() -> None:
    config = preset("llama", vocab_size=11, depth=3, n_heads=6, feed_forward="relu", norm="layer")
    assert (config.n_heads, config.feed_forward, config.norm) == (6, "relu", "layer")
    assert (config.d_model, config.n_layers) == (192, 3)


@pytest.mark.parametrize(("width", "heads"), [(63, 1), (64, 1), (192, 3), (256, 4)])
def test_another_width_brings_its_heads(width: int, heads: int) -> None:
    config = preset("gpt2", vocab_size=11, depth=2, d_model=width)
    assert (config.n_heads, config.n_layers) == (heads, 2)
    assert preset("seed", vocab_size=11, depth=2, d_model=width).n_heads == 1


def test_the_seed_is_the_article_to_the_letter() -> None:
    config = preset("seed", vocab_size=11, context_length=13, d_model=7)
    assert config.position == "sinusoidal"  # embedding + position encoding
    assert (config.n_layers, config.n_heads) == (1, 1)  # one masked self-attention
    assert config.score_scale == 1.0  # wj = query · key, and no more
    assert config.norm == "none"
    assert config.feed_forward == "none"
    assert config.sliding_window is config.attention_soft_cap is config.logit_soft_cap is None
    assert config.head_width == config.d_model  # "the size of the matrix is predetermined"
    shapes = {name: tuple(p.shape) for name, p in Decoder(config).named_parameters()}
    assert shapes == {
        "token_embedding.weight": (11, 7),
        "blocks.0.attention.query.weight": (7, 7),  # Mq
        "blocks.0.attention.key.weight": (7, 7),  # Mk
        "blocks.0.attention.value.weight": (7, 7),  # Mv
        "unembedding.weight": (11, 7),  # the fully connected layer
        "unembedding.bias": (11,),
    }


def test_gpt2_at_depth_12_is_gpt2() -> None:
    config = preset("gpt2", vocab_size=50257, context_length=1024, depth=12)
    assert n_parameters(config) == 124_439_808  # the published GPT-2


def test_llama_counted_by_hand() -> None:
    config = preset("llama", vocab_size=13, depth=2)  # M 128, F 352: 341.3 rounded up to 32
    block = 4 * 128 * 128 + 3 * 128 * 352 + 2 * 128  # attention, feed-forward, two norms
    assert n_parameters(config) == 2 * 13 * 128 + 2 * block + 128 == 405_376


def test_shared_key_and_value_heads_counted_by_hand() -> None:
    config = preset("llama", vocab_size=13, depth=2, n_kv_heads=1)
    fewer = 2 * 2 * 128 * 64  # key and value of two blocks have one head of 64 less
    assert n_parameters(config) == 405_376 - fewer


def test_qwen3_has_two_norms_more_in_each_block() -> None:
    config = preset("qwen3", vocab_size=13, depth=2)
    assert n_parameters(config) == 405_376 + 2 * (64 + 64)
