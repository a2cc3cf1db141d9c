"""config.json ⇄ ModelConfig: what each family says, and what is refused."""

import dataclasses
import json
from typing import Any

import pytest

from nextword.config import ModelConfig, RotaryScaling
from nextword.errors import FolderError
from nextword.formats.huggingface.families import (
    FAMILIES,
    config_from_json,
    config_to_json,
    family_of,
)
from nextword.formats.huggingface.weight_names import match, stored_tensors
from nextword.model import Decoder
from nextword.presets import preset

SIZES: dict[str, Any] = {"vocab_size": 31, "d_model": 30, "n_layers": 3, "n_heads": 3}
LLAMA3 = RotaryScaling(
    kind="llama3",
    factor=8.0,
    original_context_length=17,
    low_freq_factor=1.5,
    high_freq_factor=5.0,
)
YARN = RotaryScaling(kind="yarn", factor=4.0, original_context_length=64, beta_fast=29.0)
LINEAR = RotaryScaling(kind="linear", factor=2.5, original_context_length=103)


def made(name: str, **changes: Any) -> ModelConfig:
    return preset(name, **(SIZES | {"context_length": 257} | changes))


CASES: list[tuple[str, ModelConfig]] = [
    ("llama", made("llama")),
    ("llama", made("llama", n_kv_heads=1, d_head=14, d_ff=37, norm_epsilon=3e-6)),
    ("llama", made("llama", attention_bias=True, output_bias=True, feed_forward_bias=True)),
    ("llama", made("llama", rotary_scaling=LLAMA3, tied_embeddings=True)),
    ("llama", made("llama", rotary_scaling=LINEAR, rotary_base=5e5)),
    ("llama", made("llama", rotary_scaling=YARN, feed_forward="geglu")),
    ("qwen3", made("qwen3", d_head=14, n_kv_heads=1)),
    ("qwen3", made("qwen3", rotary_scaling=dataclasses.replace(YARN, attention_factor=1.25))),
    ("qwen3", made("qwen3", sliding_window=7, sliding_layers=(0, 2))),
    ("qwen2", made("llama", attention_bias=True)),
    ("qwen2", made("llama", attention_bias=True, sliding_window=5, sliding_layers=(2,))),
    ("qwen2", made("llama", attention_bias=True, sliding_window=5)),
    ("mistral", made("llama", sliding_window=11)),
    ("mistral", made("llama", sliding_window=11, d_head=22)),
    ("mistral", made("llama", d_model=31, d_head=10)),  # LlamaConfig wants a multiple of 3
    ("gpt2", made("gpt2", d_ff=41)),
    ("gpt2", made("gpt2", feed_forward="relu", tied_embeddings=False, scaled_scores=False)),
    ("nextword", made("seed", n_layers=1, n_heads=1)),
    ("nextword", made("llama", rotary_scaling=YARN, logit_soft_cap=30.0)),
    ("nextword", made("llama", sliding_window=11, sliding_layers=(0, 2))),
    ("nextword", made("gpt2", n_kv_heads=1)),
    ("nextword", made("gpt2", norm_bias=False)),
    ("nextword", made("llama", feed_forward="silu")),
    ("nextword", made("llama", output_bias=True)),
    ("nextword", made("qwen3", norm_placement="after")),
    ("nextword", made("nextword")),
    ("nextword", made("gpt2", token_shift=1)),
]


@pytest.mark.parametrize(("family", "config"), CASES)
def test_both_directions(family: str, config: ModelConfig) -> None:
    assert family_of(config) == family
    written = json.loads(json.dumps(config_to_json(config)))
    assert written["model_type"] == family
    assert config_from_json(written) == (family, config)


def test_every_setting_of_nextword_stands_under_its_own_name() -> None:
    config = made("seed", n_layers=1, n_heads=1)
    written = config_to_json(config)
    assert {item.name for item in dataclasses.fields(ModelConfig)} <= written.keys()
    assert written["architectures"] == ["NextwordForCausalLM"]


@pytest.mark.parametrize("family", ["llama", "qwen3", "qwen2", "mistral", "gpt2"])
def test_a_model_with_token_shift_is_written_as_none_of_the_families(family: str) -> None:
    with pytest.raises(FolderError, match=f"no {family} model: its token_shift is 2, not 0.*save"):
        FAMILIES[family].write(made("nextword"))


def test_a_folder_from_before_token_shift_has_none() -> None:
    written = config_to_json(made("seed", n_layers=1, n_heads=1))
    del written["token_shift"]
    assert config_from_json(written)[1].token_shift == 0


def test_windows_on_no_layer_are_no_windows() -> None:
    config = made("llama", sliding_window=11, sliding_layers=())
    assert family_of(config) == "llama"
    assert "sliding_window" not in config_to_json(config)


def test_rotary_is_written_for_transformers_4_and_5() -> None:
    written = config_to_json(made("llama", rotary_scaling=LLAMA3))
    rope = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "original_max_position_embeddings": 17,
        "low_freq_factor": 1.5,
        "high_freq_factor": 5.0,
    }
    assert written["rope_theta"] == 10000.0
    assert written["rope_scaling"] == written["rope_parameters"] == rope
    plain = config_to_json(made("llama"))
    assert plain["rope_scaling"] is None
    assert plain["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0}


LLAMA_JSON: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 31,
    "hidden_size": 30,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
}
QWEN3_JSON = LLAMA_JSON | {"model_type": "qwen3", "num_key_value_heads": 1, "head_dim": 14}
GPT2_JSON: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": 31,
    "n_embd": 30,
    "n_layer": 3,
    "n_head": 3,
}


def read(values: dict[str, Any], **changes: Any) -> ModelConfig:
    return config_from_json(values | changes)[1]


class TestForeign:
    def test_absent_keys_mean_what_they_mean_to_transformers(self) -> None:
        llama = read(LLAMA_JSON)
        assert (llama.kv_heads, llama.head_width, llama.context_length) == (3, 10, 2048)
        assert (llama.norm_epsilon, llama.tied_embeddings) == (1e-6, False)
        gpt2 = read(GPT2_JSON)
        assert (gpt2.ff_width, gpt2.context_length, gpt2.tied_embeddings) == (120, 1024, True)
        assert (gpt2.feed_forward, gpt2.norm_epsilon) == ("gelu_tanh", 1e-5)
        mistral = read(LLAMA_JSON, model_type="mistral", num_key_value_heads=3)
        assert mistral.sliding_window == 4096
        assert read(QWEN3_JSON | {"num_attention_heads": 64}, head_dim=2).sliding_window is None

    def test_rotary_of_transformers_4(self) -> None:
        config = read(LLAMA_JSON, rope_theta=500000, rope_scaling={"type": "linear", "factor": 2.0})
        assert config.rotary_base == 500000.0
        assert config.rotary_scaling is not None
        assert (config.rotary_scaling.kind, config.rotary_scaling.factor) == ("linear", 2.0)

    def test_rotary_of_transformers_5(self) -> None:
        rope = {"rope_type": "yarn", "rope_theta": 7e4, "factor": 3.0, "beta_slow": None}
        config = read(LLAMA_JSON, rope_parameters=rope)
        assert config.rotary_base == 7e4
        assert config.rotary_scaling == RotaryScaling(
            kind="yarn", factor=3.0, original_context_length=2048
        )

    def test_two_scales_make_one_attention_factor(self) -> None:
        rope = {"rope_type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 0.5}
        scaling = read(LLAMA_JSON, rope_parameters=rope).rotary_scaling
        assert scaling is not None  # (0.1 ln 40 + 1) / (0.05 ln 40 + 1) = 1.368888 / 1.184444
        assert scaling.attention_factor == pytest.approx(1.155722, abs=1e-6)

    def test_windows_of_qwen(self) -> None:
        window = {"use_sliding_window": True, "sliding_window": 5}
        assert read(QWEN3_JSON, **window, max_window_layers=2).sliding_layers == (2,)
        assert read(QWEN3_JSON, **window, max_window_layers=0).sliding_layers is None
        assert read(QWEN3_JSON, **window).sliding_window is None  # from layer 28 on
        kinds = ["sliding_attention", "full_attention", "full_attention"]
        assert read(QWEN3_JSON, **window, layer_types=kinds).sliding_layers == (0,)

    @pytest.mark.parametrize(
        ("base", "changes", "words"),
        [
            (LLAMA_JSON, {"model_type": "mamba"}, ["'mamba'", "computes llama, qwen3, "]),
            (LLAMA_JSON, {"model_type": None}, ["no 'model_type'"]),
            (LLAMA_JSON, {"model_type": "qwen3_moe"}, ["'qwen3_moe'", "qwen3, "]),
            (LLAMA_JSON, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, ["dynamic", "yarn"]),
            (LLAMA_JSON, {"rope_parameters": {"rope_type": "longrope"}}, ["longrope", "linear"]),
            (LLAMA_JSON, {"rope_parameters": {"rope_type": "linear"}}, ["factor", "linear"]),
            (LLAMA_JSON, {"rope_parameters": {"full_attention": {}}}, ["each kind of layer"]),
            (
                LLAMA_JSON,
                {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "truncate": False}},
                ["truncate", "False", "True"],
            ),
            (
                LLAMA_JSON,
                {"rope_parameters": {"rope_theta": 1e6, "llama_4_scaling_beta": 0.1}},
                ["llama_4_scaling_beta", "0.1"],
            ),
            (LLAMA_JSON, {"rope_scaling": {"type": "linear", "factor": 0.5}}, ["0.5", "at least"]),
            (LLAMA_JSON, {"rope_scaling": {"type": "linear", "factor": "x"}}, ["factor", "'x'"]),
            (LLAMA_JSON, {"partial_rotary_factor": 0.5}, ["partial_rotary_factor", "0.5", "1.0"]),
            (LLAMA_JSON, {"quantization_config": {"bits": 4}}, ["quantization_config", "bits"]),
            (LLAMA_JSON, {"num_local_experts": 8}, ["num_local_experts", "8"]),
            (LLAMA_JSON, {"hidden_act": "gelu"}, ["hidden_act", "'gelu'", "silu"]),
            (LLAMA_JSON, {"hidden_act": ["silu"]}, ["impossible"]),
            (LLAMA_JSON, {"num_hidden_layers": 10**12}, ["1000000000000 layers", "10000"]),
            (LLAMA_JSON, {"num_hidden_layers": "3"}, ["n_layers", "'3'"]),
            (LLAMA_JSON, {"num_key_value_heads": 2}, ["3", "2"]),
            (QWEN3_JSON, {"use_sliding_window": True, "layer_types": ["x"] * 3}, ["'x'"]),
            (QWEN3_JSON, {"use_sliding_window": True, "layer_types": ["x"]}, ["1", "3 layers"]),
            (GPT2_JSON, {"scale_attn_by_inverse_layer_idx": True}, ["inverse_layer_idx", "True"]),
            (GPT2_JSON, {"reorder_and_upcast_attn": True}, ["reorder_and_upcast", "False"]),
            (GPT2_JSON, {"activation_function": "mish"}, ["'mish'", "gelu_new"]),
        ],
    )
    def test_what_is_not_supported_is_refused_by_name(
        self, base: dict[str, Any], changes: dict[str, Any], words: list[str]
    ) -> None:
        with pytest.raises(FolderError) as caught:
            read(base, **changes)
        assert all(word in str(caught.value) for word in words), str(caught.value)

    def test_a_missing_size_is_named(self) -> None:
        values = {key: value for key, value in LLAMA_JSON.items() if key != "hidden_size"}
        with pytest.raises(FolderError, match="no 'hidden_size'"):
            config_from_json(values)

    def test_our_own_format_has_no_unknown_keys(self) -> None:
        written = config_to_json(made("seed", n_layers=1, n_heads=1))
        with pytest.raises(FolderError, match="Did you mean 'n_heads'"):
            config_from_json(written | {"n_head": 2})
        assert config_from_json(written | {"transformers_version": "5"})[0] == "nextword"


class TestNames:
    @pytest.mark.parametrize("family", ["llama", "gpt2", "nextword"])
    def test_every_parameter_has_a_place(self, family: str) -> None:
        config = next(config for name, config in CASES if name == family)
        shapes = {name: tuple(p.shape) for name, p in Decoder(config).named_parameters()}
        stored = stored_tensors(family, shapes)
        assert sorted(our for item in stored.values() for our in item.ours) == sorted(shapes)

    def test_gpt2_stores_three_matrices_as_one_turned_over(self) -> None:
        config = made("gpt2", d_ff=41)
        shapes = {name: tuple(p.shape) for name, p in Decoder(config).named_parameters()}
        stored = stored_tensors("gpt2", shapes)
        fused = stored["transformer.h.1.attn.c_attn.weight"]
        assert fused.shape == (30, 90)
        assert [our.rsplit(".")[-2] for our in fused.ours] == ["query", "key", "value"]
        assert stored["transformer.h.1.mlp.c_fc.weight"].shape == (30, 41)
        assert stored["transformer.h.1.attn.c_attn.bias"].shape == (90,)
        assert stored["transformer.wte.weight"].shape == (31, 30)  # no Conv1D: not turned over

    def test_splitting_undoes_joining(self) -> None:
        decoder = Decoder(made("gpt2"))
        parameters = dict(decoder.named_parameters())
        shapes = {name: tuple(p.shape) for name, p in parameters.items()}
        for stored in stored_tensors("gpt2", shapes).values():
            parts = stored.split(stored.join(parameters))
            assert all((parts[our] == parameters[our]).all() for our in stored.ours)
            assert all(part.is_contiguous() for part in parts.values())

    def test_what_does_not_fit_is_named(self) -> None:
        stored = stored_tensors("llama", {"final_norm.weight": (7,), "unembedding.weight": (5, 7)})
        found = {"model.norm.weight": (3,), "model.extra": (2,)}
        with pytest.raises(FolderError) as caught:
            match("llama", stored, found, where="there")
        message = str(caught.value)
        assert "1 missing: lm_head.weight" in message
        assert "1 unexpected: model.extra" in message
        assert "model.norm.weight is [3] where config.json asks for [7]" in message

    def test_bare_checkpoints_and_buffers(self) -> None:
        stored = stored_tensors("gpt2", {"token_embedding.weight": (5, 7)})
        found = {"wte.weight": (5, 7), "h.0.attn.bias": (1, 1, 3, 3)}
        assert list(match("gpt2", stored, found, where="there")) == ["wte.weight"]


def test_the_tables_hold_no_other_families() -> None:
    assert list(FAMILIES) == ["llama", "qwen3", "qwen2", "mistral", "gpt2", "nextword"]
