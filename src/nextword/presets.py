"""Named points of ModelConfig: the article's model, and the families that the field uses.

`preset("seed", vocab_size=100)` is the article to the letter; `preset("qwen3", vocab_size=100,
depth=4)` derives every size from one dial: d_model = 64 × depth, depth blocks, depth heads of 64.
"""

from typing import Any

from nextword.config import ModelConfig, config_from
from nextword.errors import ConfigError, unknown

WIDTH_PER_DEPTH = 64  # d_model added by one step of the dial
DEFAULT_DEPTH = 4

SEED: dict[str, Any] = {  # one head, one block, nothing that the article does not have
    "position": "sinusoidal",
    "norm": "none",
    "scaled_scores": False,
    "output_projection": False,
    "feed_forward": "none",
    "unembedding_bias": True,
}
GPT2: dict[str, Any] = {  # Radford et al. 2019
    "position": "learned",
    "norm": "layer",
    "norm_epsilon": 1e-5,
    "feed_forward": "gelu_tanh",
    "attention_bias": True,
    "output_bias": True,
    "feed_forward_bias": True,
    "tied_embeddings": True,
}
LLAMA: dict[str, Any] = {  # Touvron et al. 2023
    "position": "rotary",
    "norm": "rms",
    "norm_epsilon": 1e-5,
    "feed_forward": "swiglu",
}
QWEN3: dict[str, Any] = {  # Qwen team 2025: llama, with query and key normed
    "position": "rotary",
    "norm": "rms",
    "norm_epsilon": 1e-6,
    "feed_forward": "swiglu",
    "query_key_norm": True,
}
NEXTWORD: dict[str, Any] = QWEN3 | {  # the best for the time; opened by Nextword alone
    "token_shift": 2,
}
PRESETS: dict[str, dict[str, Any]] = {
    "seed": SEED,
    "gpt2": GPT2,
    "llama": LLAMA,
    "qwen3": QWEN3,
    "nextword": NEXTWORD,
}


def preset(
    name: str,
    *,
    vocab_size: int,
    context_length: int = 256,
    depth: int | None = None,
    **overrides: Any,
) -> ModelConfig:
    """The ModelConfig of a named preset.

    Args:
        name: one of `PRESETS`.
        vocab_size: V, tokens in the vocabulary.
        context_length: tokens that the model can look back on.
        depth: the dial that derives the sizes; None is `DEFAULT_DEPTH`. The seed preset takes its
            width from it and keeps one block and one head.
        overrides: any setting of ModelConfig, in place of the preset's.

    Raises:
        ConfigError: for an unknown preset or setting, or sizes that do not fit together.
    """
    if name not in PRESETS:
        raise ConfigError(unknown("preset", name, PRESETS))
    sizes = sizes_at(DEFAULT_DEPTH if depth is None else depth, one_block=name == "seed")
    if "d_model" in overrides and "n_heads" not in overrides and name != "seed":
        sizes["n_heads"] = max(1, overrides["d_model"] // WIDTH_PER_DEPTH)
    values = {"vocab_size": vocab_size, "context_length": context_length}
    return config_from(ModelConfig, values | sizes | PRESETS[name] | overrides)


def sizes_at(depth: int, *, one_block: bool = False) -> dict[str, int]:
    """The sizes that the dial `depth` derives.

    Raises:
        ConfigError: depth below 1.
    """
    if depth < 1:
        raise ConfigError(f"depth is {depth}; it must be at least 1 (d_model = 64 × depth)")
    width = WIDTH_PER_DEPTH * depth
    if one_block:
        return {"d_model": width, "n_layers": 1, "n_heads": 1}
    return {"d_model": width, "n_layers": depth, "n_heads": depth}
