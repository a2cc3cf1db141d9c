"""Keys of other families in a config.json: what would change the forward without a word.

A file that says `llama` and carries Gemma's soft caps opens everywhere and computes wrong logits.
So what is known to change the forward of any family is refused wherever it stands, unless it has
the value with which it changes nothing. Source: the configuration classes and forwards of Hugging
Face transformers 5.24, `transformers/models/*`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from nextword.errors import FolderError

Json = Mapping[str, Any]
Neutral = tuple[Any, ...] | Callable[[Any, Json], bool]
OFF: tuple[Any, ...] = (None, False, 0)
ONE: tuple[Any, ...] = (None, 1.0)
NOT_SET: tuple[Any, ...] = (None,)
NEVER: tuple[Any, ...] = ()  # the key alone tells of another family
SHOWN = 80  # characters of a value in a message


def _all_ones(value: Any, _: Json) -> bool:
    """Return whether a list for each layer, or each part, has a 1 (or true) everywhere."""
    return value is None or (isinstance(value, list) and all(item == 1 for item in value))


def _interval(value: Any, values: Json) -> bool:
    """Return whether SmolLM3's interval counts for nothing: the list of layers goes before it."""
    return value in OFF or isinstance(values.get("no_rope_layers"), list)


def _all_full(value: Any, _: Json) -> bool:
    """Return whether every layer looks back on everything."""
    full = isinstance(value, list) and all(kind == "full_attention" for kind in value)
    return value is None or full


def _inactive_window(value: Any, values: Json) -> bool:
    """Return whether a window is switched off, or as wide as the context."""
    context = values.get("max_position_embeddings")
    wide = isinstance(value, int) and isinstance(context, int) and value >= context
    return value in OFF or wide or values.get("use_sliding_window") is False


def _beside_rms(value: Any, values: Json) -> bool:
    """Return whether the epsilon of a layer norm has an RMS norm's beside it, which counts."""
    return value is None or "rms_norm_eps" in values


FOREIGN: dict[str, Neutral] = {
    # quantized, encoders, experts, and other layers altogether
    "quantization_config": NOT_SET,
    "is_encoder_decoder": OFF,
    "add_cross_attention": OFF,
    "num_experts": OFF,
    "num_local_experts": OFF,
    "n_routed_experts": OFF,
    "moe_num_experts": OFF,  # ERNIE 4.5
    "enable_moe_block": OFF,
    "kv_lora_rank": OFF,  # DeepSeek
    "num_kv_shared_layers": OFF,  # Gemma 3n
    "hidden_size_per_layer_input": OFF,
    "activation_sparsity_pattern": OFF,
    "use_double_wide_mlp": OFF,
    "attention_k_eq_v": OFF,
    "n_recurrent_loops": ONE,
    # factors
    "embedding_multiplier": ONE,  # Granite, Falcon-H1
    "residual_multiplier": ONE,
    "attention_multiplier": NOT_SET,  # Granite: instead of 1/sqrt(d_head), so 1 is none
    "logits_scaling": ONE,
    "lm_head_multiplier": ONE,
    "key_multiplier": ONE,
    "attention_in_multiplier": ONE,
    "attention_out_multiplier": ONE,
    "mlp_multipliers": _all_ones,
    "logit_scale": ONE,  # Cohere
    "scale_emb": ONE,  # MiniCPM
    "scale_depth": NOT_SET,
    "dim_model_base": NOT_SET,
    "scale_embedding": OFF,
    "embedding_multiplier_scale": ONE,  # Grok
    "output_multiplier_scale": ONE,
    "attn_output_multiplier": ONE,
    "output_multiplier": ONE,
    "qk_scale_factor": NOT_SET,
    "mup_enabled": OFF,
    "query_pre_attn_scalar": NOT_SET,  # Gemma 2 and 3
    # caps
    "final_logit_softcapping": OFF,
    "attn_logit_softcapping": OFF,
    "logits_soft_cap": OFF,
    "clip_qkv": NOT_SET,  # OLMo
    "swiglu_limit": NOT_SET,
    "swiglu_limits": NOT_SET,
    # attention
    "use_bidirectional_attention": NEVER,  # Gemma writes it always; its norms multiply by 1 + w
    "is_causal": (None, True),
    "use_qk_norm": OFF,
    "qk_layernorm": OFF,
    "attention_chunk_size": OFF,  # Llama 4
    "attn_temperature_tuning": OFF,
    "sliding_window_pattern": OFF,
    "global_attn_every_n_layers": ONE,
    "local_attention": NOT_SET,
    "attention_out_bias": OFF,
    # blocks
    "use_parallel_residual": OFF,
    "parallel_attn": OFF,
    "swin_norm": OFF,
    "norm_after": OFF,
    "hidden_activation": NOT_SET,
    "use_bias": NEVER,  # ERNIE 4.5, whose pairs of dimensions lie side by side; StarCoder 2
    # position
    "alibi": OFF,
    "partial_rotary_factor": ONE,
    "rotary_pct": ONE,
    "rotary_dim": NOT_SET,
    "rope_interleave": OFF,
    "rope_interleaved": OFF,
    "rope_local_base_freq": NOT_SET,
    "layer_rope_theta": NOT_SET,
    "rope_scaling_layers": NOT_SET,
    "no_rope_layers": _all_ones,  # SmolLM3, Llama 4: 1 for a layer that has it
    "no_rope_layer_interval": _interval,
}
ROTARY_FOREIGN: dict[str, Neutral] = {  # in the families with an RMS norm
    "layer_norm_eps": _beside_rms,  # Cohere, Phi, StableLM
    "layer_norm_epsilon": _beside_rms,
    "norm_eps": _beside_rms,
    "norm_epsilon": _beside_rms,
}
NO_WINDOWS: dict[str, Neutral] = {  # in the families that look back on everything
    "sliding_window": _inactive_window,
    "layer_types": _all_full,
}
_KIND = re.compile(r"(For[A-Z]\w*|LMHeadModel|DoubleHeadsModel|PreTrainedModel|Model)$")


def check_foreign(values: Json, known: Mapping[str, Neutral]) -> None:
    """Refuse keys with a value that changes the forward.

    Args:
        values: of config.json.
        known: the keys, each with the values that change nothing.

    Raises:
        FolderError: names the key, its value, and what is supported.
    """
    for name, neutral in known.items():
        if name not in values:
            continue
        value = values[name]
        if neutral(value, values) if callable(neutral) else value in neutral:
            continue
        raise FolderError(
            f"config.json sets {name} to {str(value)[:SHOWN]}, which changes the model in a way "
            f"that Nextword does not compute; {_supported(neutral)}"
        )


def check_architecture(values: Json, family: str, architecture: str) -> None:
    """Refuse a model_type that is another family's than the class that the file names.

    Raises:
        FolderError: names both.
    """
    named = values.get("architectures")
    own = _KIND.sub("", architecture).lower()
    for name in named if isinstance(named, list) else ():
        if isinstance(name, str) and _KIND.sub("", name).lower() != own:
            raise FolderError(
                f"config.json says model_type {family!r}, but its architecture is "
                f"{name[:SHOWN]!r}, which computes something else; give both the name of the "
                f"model's own family ({architecture!r} goes with {family!r})"
            )


def _supported(neutral: Neutral) -> str:
    if callable(neutral):
        return "supported is the value that changes nothing, or none"
    if not neutral:
        return "no family that Nextword reads has this key, whatever its value"
    return f"supported is {' or '.join(map(repr, neutral))}"
