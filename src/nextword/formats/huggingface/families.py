"""Model families: how each one writes a ModelConfig into its config.json, as tables.

A family fixes some settings and names the others in its own way. Reading and writing follow the
same table, so what one direction can say the other understands. Source of keys and defaults: the
configuration classes of Hugging Face transformers 5.24, `transformers/models/*/configuration_*.py`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nextword.config import ModelConfig
from nextword.errors import FolderError, unsupported
from nextword.formats.huggingface.family import REQUIRED, Family, Key
from nextword.formats.huggingface.rope_and_window import (
    NO_WINDOW,
    ROTARY,
    WINDOW_EVERYWHERE,
    WINDOW_IN_LAYERS,
)
from nextword.formats.huggingface.unsupported_keys import NO_WINDOWS, ROTARY_FOREIGN

GATED = {"swiglu": ("silu", "swish"), "geglu": ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")}
PLAIN = {
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
    "gelu": ("gelu",),
    "relu": ("relu",),
    "relu2": ("relu2",),
    "silu": ("silu", "swish"),
}


def _square(config: ModelConfig) -> bool:
    """The heads side by side are as wide as the residual."""
    return config.n_heads * config.head_width == config.d_model


def _divides(config: ModelConfig) -> bool:
    """transformers' LlamaConfig insists on it, even where head_dim is given."""
    return config.d_model % config.n_heads == 0


def _one_head_each(config: ModelConfig) -> bool:
    return config.kv_heads == config.n_heads


def _has_blocks(config: ModelConfig) -> bool:
    return config.n_layers > 0


def _rotary_keys(*, context: int, kv_heads: int | None, head: int | None) -> tuple[Key, ...]:
    """What llama and its descendants call their settings; the arguments are their defaults."""
    return (
        Key("vocab_size", "vocab_size"),
        Key("hidden_size", "d_model"),
        Key("num_hidden_layers", "n_layers"),
        Key("num_attention_heads", "n_heads"),
        Key("num_key_value_heads", "n_kv_heads", kv_heads),
        Key("head_dim", "d_head", head),
        Key("intermediate_size", "d_ff"),
        Key("max_position_embeddings", "context_length", context),
        Key("rms_norm_eps", "norm_epsilon", 1e-6),
        Key("hidden_act", "feed_forward", "silu", GATED),
        Key("tie_word_embeddings", "tied_embeddings", False),
    )


ALWAYS: dict[str, Any] = {  # fixed in every standard family
    "token_shift": 0,
    "norm_placement": "before",
    "output_projection": True,
    "attention_soft_cap": None,
    "logit_soft_cap": None,
    "unembedding_bias": False,
}
ROTARY_ALWAYS = ALWAYS | {"position": "rotary", "norm": "rms", "scaled_scores": True}
PLAIN_QK = {"query_key_norm": False}
NO_FF_BIAS = {"feed_forward_bias": False}
BOTH_BIASES = (
    Key("attention_bias", "attention_bias", False),
    Key("attention_bias", "output_bias", False),
)
NO_DROPOUT = {"attention_dropout": 0.0}

LLAMA = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    fixed=ROTARY_ALWAYS | PLAIN_QK,
    keys=(
        *_rotary_keys(context=2048, kv_heads=None, head=None),
        *BOTH_BIASES,
        Key("mlp_bias", "feed_forward_bias", False),
    ),
    parts=(ROTARY, NO_WINDOW),
    conditions=(_divides, _has_blocks),
    written=NO_DROPOUT,
    only=ROTARY_FOREIGN | NO_WINDOWS,
)
QWEN3 = Family(
    name="qwen3",
    architecture="Qwen3ForCausalLM",
    fixed=ROTARY_ALWAYS | NO_FF_BIAS | {"query_key_norm": True},
    keys=(*_rotary_keys(context=32768, kv_heads=32, head=128), *BOTH_BIASES),
    parts=(ROTARY, WINDOW_IN_LAYERS),
    conditions=(_has_blocks,),
    written=NO_DROPOUT,
    only=ROTARY_FOREIGN,
)
QWEN2 = Family(
    name="qwen2",
    architecture="Qwen2ForCausalLM",
    fixed=ROTARY_ALWAYS | NO_FF_BIAS | PLAIN_QK | {"attention_bias": True, "output_bias": False},
    keys=_rotary_keys(context=32768, kv_heads=32, head=None),
    parts=(ROTARY, WINDOW_IN_LAYERS),
    conditions=(_square, _has_blocks),
    written=NO_DROPOUT,
    only=ROTARY_FOREIGN,
)
MISTRAL = Family(
    name="mistral",
    architecture="MistralForCausalLM",
    fixed=ROTARY_ALWAYS | NO_FF_BIAS | PLAIN_QK | {"attention_bias": False, "output_bias": False},
    keys=_rotary_keys(context=131072, kv_heads=8, head=None),
    parts=(ROTARY, WINDOW_EVERYWHERE),
    conditions=(_has_blocks,),
    written=NO_DROPOUT,
    only=ROTARY_FOREIGN | {"layer_types": (None,)},
)
GPT2 = Family(
    name="gpt2",
    architecture="GPT2LMHeadModel",
    fixed=ALWAYS
    | PLAIN_QK
    | {"position": "learned", "norm": "layer", "norm_bias": True}
    | {"attention_bias": True, "output_bias": True, "feed_forward_bias": True},
    keys=(
        Key("vocab_size", "vocab_size"),
        Key("n_embd", "d_model"),
        Key("n_layer", "n_layers"),
        Key("n_head", "n_heads"),
        Key("n_inner", "d_ff", None),
        Key("n_ctx", "context_length", 1024),  # llama.cpp's converter reads this one, we the next
        Key("n_positions", "context_length", 1024),
        Key("layer_norm_epsilon", "norm_epsilon", 1e-5),
        Key("activation_function", "feed_forward", "gelu_new", PLAIN),
        Key("scale_attn_weights", "scaled_scores", True),
        Key("tie_word_embeddings", "tied_embeddings", True),
    ),
    parts=(NO_WINDOW,),
    conditions=(_square, _one_head_each, _has_blocks),
    written={"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    only=NO_WINDOWS
    | {"scale_attn_by_inverse_layer_idx": (False,), "reorder_and_upcast_attn": (False,)},
)
NEXTWORD = Family(  # any ModelConfig, every field under its own name
    name="nextword",
    architecture="NextwordForCausalLM",
    keys=tuple(
        Key(item.name, item.name, REQUIRED if item.default is dataclasses.MISSING else item.default)
        for item in dataclasses.fields(ModelConfig)
    ),
    strict=True,
)
FAMILIES = {family.name: family for family in (LLAMA, QWEN3, QWEN2, MISTRAL, GPT2, NEXTWORD)}


def family_of(config: ModelConfig) -> str:
    """The first family of `FAMILIES` that says exactly what `config` says; else "nextword"."""
    return next(family.name for family in FAMILIES.values() if family.fits(config))


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """What stands in config.json for `config`, under its family's names."""
    return FAMILIES[family_of(config)].write(config)


def config_from_json(values: Mapping[str, Any]) -> tuple[str, ModelConfig]:
    """The family's name and the ModelConfig that a config.json describes.

    Raises:
        FolderError: an unknown family, or a setting that is missing, impossible or unsupported.
    """
    if not isinstance(values, Mapping):
        raise FolderError(f"config.json must hold an object, not {type(values).__name__}")
    name = values.get("model_type")
    if not isinstance(name, str):
        raise FolderError("config.json has no 'model_type', so the model's family is unknown")
    if name not in FAMILIES:
        raise FolderError(unsupported("model_type in config.json", name, FAMILIES))
    return name, FAMILIES[name].read(values)
