"""The grid of configurations over which the two forwards are held together.

Every switch of ModelConfig appears in at least one row (a test checks it). Sizes are distinct
primes where the model allows it, so that no two axes can be mixed up unnoticed.
"""

from typing import Any

from nextword.config import ModelConfig, RotaryScaling

LLAMA3 = RotaryScaling(kind="llama3", factor=8.0, original_context_length=19)
YARN = RotaryScaling(kind="yarn", factor=4.0, original_context_length=13)
LINEAR = RotaryScaling(kind="linear", factor=2.0, original_context_length=17)

SEED: dict[str, Any] = {
    "position": "sinusoidal",
    "norm": "none",
    "scaled_scores": False,
    "output_projection": False,
    "feed_forward": "none",
    "unembedding_bias": True,
}
BIASED: dict[str, Any] = {
    "attention_bias": True,
    "output_bias": True,
    "feed_forward_bias": True,
}
GRID: dict[str, dict[str, Any]] = {
    "seed": SEED | {"d_model": 7},
    "seed of width 2": SEED | {"d_model": 2},
    "seed with several heads": SEED | {"d_model": 21, "n_heads": 3},
    "no blocks": {"d_model": 6, "n_layers": 0},
    "no position": {"position": "none"},
    "gpt2": {"position": "learned", "norm": "layer", "feed_forward": "gelu_tanh", **BIASED}
    | {"tied_embeddings": True},
    "layer norm without bias": {"norm": "layer", "norm_bias": False, "feed_forward": "gelu"},
    "norm after": {"norm": "layer", "norm_placement": "after", "feed_forward": "relu"},
    "rms norm after": {"norm": "rms", "norm_placement": "after", "norm_epsilon": 1e-3},
    "llama": {"n_heads": 6, "n_kv_heads": 2},
    "one key/value head": {"n_heads": 5, "n_kv_heads": 1, "feed_forward": "geglu"},
    "qwen3": {"query_key_norm": True, "n_heads": 4, "n_kv_heads": 2, "d_head": 10},
    "relu squared": {"feed_forward": "relu2", "d_ff": 37},
    "silu": {"feed_forward": "silu", "unembedding_bias": True},
    "sliding window": {"sliding_window": 3},
    "sliding window in some layers": {"sliding_window": 2, "sliding_layers": (1,), "n_layers": 3},
    "soft caps": {"attention_soft_cap": 2.0, "logit_soft_cap": 3.0, "n_heads": 4, "n_kv_heads": 2},
    "soft cap in a window": {"attention_soft_cap": 1.5, "sliding_window": 4},
    "unscaled": {"scaled_scores": False},
    "token shift": {"token_shift": 2},
    "token shift of many": {"token_shift": 19, "norm": "layer", "tied_embeddings": True},
    "token shift, sinusoidal": SEED | {"d_model": 7, "token_shift": 1},
    "token shift, learned": {"token_shift": 3, "position": "learned", "norm_placement": "after"},
    "token shift, no blocks": {"token_shift": 3, "d_model": 6, "n_layers": 0},
    "rotary base": {"rotary_base": 500.0},
    "rotary linear": {"rotary_scaling": LINEAR},
    "rotary llama3": {"rotary_scaling": LLAMA3, "rotary_base": 100.0},
    "rotary yarn": {"rotary_scaling": YARN, "rotary_base": 100.0},
}
DEFAULTS: dict[str, Any] = {"vocab_size": 101, "n_layers": 2, "n_heads": 3, "d_head": 14}


def config_of(name: str) -> ModelConfig:
    """The row `name` with the sizes that it does not give itself."""
    row = GRID[name]
    values = DEFAULTS | {"d_model": 23, "context_length": 31} | row
    if values.get("output_projection") is False:
        values |= {"d_head": None, "n_heads": row.get("n_heads", 1)}
    return ModelConfig(**values)
