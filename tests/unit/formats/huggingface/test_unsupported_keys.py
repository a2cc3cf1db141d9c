"""Keys of other families, which would change the forward: refused wherever they stand."""

from typing import Any

import pytest

from nextword.errors import FolderError
from nextword.formats.huggingface.families import FAMILIES, config_from_json
from nextword.formats.huggingface.unsupported_keys import FOREIGN, NO_WINDOWS, ROTARY_FOREIGN

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 31,
    "hidden_size": 30,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "max_position_embeddings": 64,
}
BASES = {
    "llama": LLAMA,
    "qwen3": LLAMA | {"model_type": "qwen3", "head_dim": 14},
    "qwen2": LLAMA | {"model_type": "qwen2"},
    "mistral": LLAMA | {"model_type": "mistral"},
    "gpt2": {"model_type": "gpt2", "vocab_size": 31, "n_embd": 30, "n_layer": 3, "n_head": 3},
}
RENAMED: dict[str, dict[str, Any]] = {  # what the others' files carry beside llama's own keys
    "gemma": {"use_bidirectional_attention": None},
    "gemma 2": {"query_pre_attn_scalar": 224, "final_logit_softcapping": 30.0},
    "granite": {"embedding_multiplier": 12.0, "residual_multiplier": 0.22},
    "granite's scores": {"attention_multiplier": 1.0},
    "granite's logits": {"logits_scaling": 8.0},
    "smollm3": {"no_rope_layers": [1, 1, 0], "no_rope_layer_interval": 4},
    "smollm3 by interval": {"no_rope_layers": None, "no_rope_layer_interval": 4},
    "ernie4_5": {"use_bias": False},
    "ernie4_5_moe": {"moe_num_experts": 64, "moe_k": 6},
    "cohere": {"logit_scale": 0.0625, "layer_norm_eps": 1e-5},
    "olmo": {"clip_qkv": 8.0},
    "minicpm": {"scale_emb": 12, "scale_depth": 1.4},
    "glm": {"partial_rotary_factor": 0.5},
    "experts": {"num_local_experts": 8},
    "quantized": {"quantization_config": {"bits": 4}},
}


def refused(values: dict[str, Any], *words: str) -> None:
    with pytest.raises(FolderError) as caught:
        config_from_json(values)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("family", BASES)
@pytest.mark.parametrize("name", RENAMED)
def test_a_renamed_config_of_another_family_is_refused_by_key(name: str, family: str) -> None:
    keys = RENAMED[name]
    with pytest.raises(FolderError) as caught:
        config_from_json(BASES[family] | keys)
    assert any(f"sets {key} to" in str(caught.value) for key in keys)


@pytest.mark.parametrize("family", BASES)
def test_values_that_change_nothing_are_read(family: str) -> None:
    plain = config_from_json(BASES[family])
    for key, neutral in FOREIGN.items():
        for value in () if callable(neutral) else neutral:
            assert config_from_json(BASES[family] | {key: value}) == plain, key
    for keys in (
        {"no_rope_layers": [1, 1, 1], "no_rope_layer_interval": 4},
        {"no_rope_layers": None},
        {"mlp_multipliers": [1.0, 1.0]},
        {"layer_norm_eps": 1e-5, "rms_norm_eps": 1e-6},
    ):
        assert config_from_json(BASES[family] | keys)[1] == plain[1]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_windows_of_families_that_have_none(family: str) -> None:
    base = BASES[family]
    for keys in (
        {"sliding_window": None},
        {"sliding_window": 7, "use_sliding_window": False},
        {"sliding_window": 4096, "max_position_embeddings": 4096},
        {"layer_types": ["full_attention"] * 3},
    ):
        if "max_position_embeddings" not in keys or family == "llama":
            assert config_from_json(base | keys)[1].sliding_window is None
    refused(base | {"sliding_window": 7}, "sliding_window to 7")
    refused(base | {"layer_types": ["sliding_attention"] * 3}, "layer_types to")


@pytest.mark.parametrize(
    ("family", "architecture"),
    [
        ("llama", "LlamaForCausalLM"),
        ("llama", "LLaMAForCausalLM"),
        ("llama", "LlamaModel"),
        ("mistral", "MistralForCausalLM"),
        ("gpt2", "GPT2LMHeadModel"),
        ("gpt2", "GPT2DoubleHeadsModel"),
    ],
)
def test_classes_of_the_family_itself(family: str, architecture: str) -> None:
    assert config_from_json(BASES[family] | {"architectures": [architecture]})[0] == family


@pytest.mark.parametrize(
    ("family", "architecture"),
    [
        ("llama", "GemmaForCausalLM"),
        ("llama", "Ernie4_5ForCausalLM"),
        ("llama", "Llama4ForCausalLM"),
        ("qwen3", "Qwen3MoeForCausalLM"),
        ("qwen2", "Qwen3ForCausalLM"),
        ("mistral", "MixtralForCausalLM"),
    ],
)
def test_a_class_of_another_family_is_refused_with_both_names(
    family: str, architecture: str
) -> None:
    refused(BASES[family] | {"architectures": [architecture]}, repr(family), repr(architecture))


@pytest.mark.parametrize("odd", [None, [], [7], "LlamaForCausalLM", {"a": 1}, 7])
def test_odd_architectures_say_nothing(odd: Any) -> None:
    assert config_from_json(LLAMA | {"architectures": odd})[0] == "llama"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "gelu"),
        ("model_type", "mamba"),
        ("model_type", "lama"),
        ("rope_scaling", {"rope_type": "yarm"}),
    ],
)
def test_nothing_else_is_suggested_for_a_model_that_exists(key: str, value: Any) -> None:
    with pytest.raises(FolderError) as caught:
        config_from_json(LLAMA | {key: value})
    assert "Did you mean" not in str(caught.value)


def test_no_family_reads_a_key_that_is_refused() -> None:
    for family in FAMILIES.values():
        own = {key.theirs for key in family.keys}
        assert not own & {*FOREIGN, *family.only}, family.name
    assert not {*ROTARY_FOREIGN, *NO_WINDOWS} & {*FOREIGN}
