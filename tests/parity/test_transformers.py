"""Our folders in transformers, and transformers' folders in ours: the same logits, both ways."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nextword.config import ModelConfig, RotaryScaling
from nextword.errors import FolderError
from nextword.formats.huggingface.families import config_from_json, config_to_json, family_of
from nextword.formats.huggingface.save_load import load_model, save_model
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.learn(["the quick brown fox jumps over the lazy dog"], kind="characters")
VOCAB = TOKENIZER.vocab_size
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "context_length": 61,
    "d_model": 39,
    "n_heads": 3,
    "n_kv_heads": 1,
    "d_head": 14,
    "d_ff": 23,
    "n_layers": 2,
}
GPT2_SIZES = SIZES | {"n_kv_heads": 3, "d_head": 13}
SQUARE = SIZES | {"d_model": 42}
LLAMA3 = RotaryScaling(
    kind="llama3",
    factor=3.0,
    original_context_length=29,
    low_freq_factor=1.0,
    high_freq_factor=2.5,
)
YARN = RotaryScaling(kind="yarn", factor=2.0, original_context_length=31, beta_fast=5.0)
LINEAR = RotaryScaling(kind="linear", factor=1.5, original_context_length=37)
BIASES = {"attention_bias": True, "output_bias": True}
CASES: dict[str, tuple[str, ModelConfig]] = {
    "llama": ("llama", preset("llama", **SIZES)),
    "llama, biases": ("llama", preset("llama", **SIZES, **BIASES, feed_forward_bias=True)),
    "llama, tied, geglu": (
        "llama",
        preset("llama", **SIZES, tied_embeddings=True, feed_forward="geglu"),
    ),
    "llama3": ("llama", preset("llama", **SIZES, rotary_scaling=LLAMA3, rotary_base=500.0)),
    "yarn": ("llama", preset("llama", **SIZES, rotary_scaling=YARN, rotary_base=500.0)),
    "linear": ("llama", preset("llama", **SIZES, rotary_scaling=LINEAR)),
    "qwen3": ("qwen3", preset("qwen3", **SIZES)),
    "qwen3, window": (
        "qwen3",
        preset("qwen3", **SIZES, sliding_window=5, sliding_layers=(1,), rotary_scaling=YARN),
    ),
    "qwen2": ("qwen2", preset("llama", **SQUARE, attention_bias=True)),
    "mistral": ("mistral", preset("llama", **(SIZES | {"d_model": 37}), sliding_window=7)),
    "gpt2": ("gpt2", preset("gpt2", **GPT2_SIZES)),
    "gpt2, untied, unscaled": (
        "gpt2",
        preset(
            "gpt2", **GPT2_SIZES, tied_embeddings=False, scaled_scores=False, feed_forward="gelu"
        ),
    ),
}
IDS = torch.randint(0, VOCAB, (2, 53), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def transformers() -> Iterator[Any]:
    """The library, offline, with the warnings that its own import raises filtered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        import transformers

        yield transformers


@pytest.fixture
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """transformers says what it dislikes in its log: it must have nothing to say."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)
    assert not [record.getMessage() for record in caplog.records if record.levelno >= 30]


def random_decoder(config: ModelConfig) -> Decoder:
    """A decoder in which every weight matters."""
    decoder = Decoder(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return decoder


def saved(folder: Path, decoder: Decoder, **options: Any) -> Path:
    save_model(folder, decoder, TOKENIZER, **({"kind": "dialogue", "card": "a card"} | options))
    return folder


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("no_complaints")
@torch.no_grad()
def test_the_same_logits_both_ways(transformers: Any, tmp_path: Path, name: str) -> None:
    family, config = CASES[name]
    decoder = random_decoder(config)
    assert family_of(config) == family
    ours = decoder(IDS)  # [2, 53, V]

    theirs = transformers.AutoModelForCausalLM.from_pretrained(saved(tmp_path / "ours", decoder))
    assert type(theirs).__name__ == config_to_json(config)["architectures"][0]
    assert theirs.dtype == torch.float32
    torch.testing.assert_close(theirs.eval()(IDS).logits, ours, atol=1e-4, rtol=1e-4)

    theirs.save_pretrained(tmp_path / "theirs")
    TOKENIZER.write(tmp_path / "theirs")
    loaded = load_model(tmp_path / "theirs")
    assert (loaded.family, loaded.kind) == (family, "dialogue")  # the block is carried over
    assert loaded.decoder.config == config
    torch.testing.assert_close(loaded.decoder(IDS), ours, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_model_made_by_transformers(transformers: Any, tmp_path: Path) -> None:
    """Not from a config of ours: transformers' own defaults, and the bare stack of GPT-2."""
    torch.manual_seed(2)
    config = transformers.GPT2Config(vocab_size=VOCAB, n_embd=26, n_layer=2, n_head=2)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.transformer.save_pretrained(tmp_path)  # names without the prefix "transformer."
    TOKENIZER.write(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.kind == "text"
    torch.testing.assert_close(loaded.decoder(IDS), model(IDS).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_shards_are_read_by_both(transformers: Any, tmp_path: Path) -> None:
    decoder = random_decoder(CASES["llama"][1])
    folder = saved(tmp_path / "ours", decoder, shard_bytes=5000)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(theirs(IDS).logits, decoder(IDS), atol=1e-4, rtol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="5KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 2
    TOKENIZER.write(tmp_path / "theirs")
    loaded = load_model(tmp_path / "theirs").decoder
    torch.testing.assert_close(loaded(IDS), decoder(IDS), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_bfloat16_stays_bfloat16(transformers: Any, tmp_path: Path) -> None:
    decoder = random_decoder(CASES["qwen3"][1])
    folder = saved(tmp_path / "ours", decoder, dtype=torch.bfloat16)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert theirs.dtype == torch.bfloat16
    loaded = load_model(folder).decoder
    for name, parameter in theirs.named_parameters():
        if name.endswith("q_proj.weight"):
            block = int(name.split(".")[2])
            ours = loaded.get_parameter(f"blocks.{block}.attention.query.weight")
            assert torch.equal(parameter, ours)


@torch.no_grad()
@pytest.mark.usefixtures("no_complaints")
def test_generate_stops_at_the_end_token(transformers: Any, tmp_path: Path) -> None:
    """After two tokens the end token would come next: a matter of two rows changing places."""
    decoder = random_decoder(CASES["llama"][1])
    prompt = torch.tensor([TOKENIZER.encode("the fox")])
    first = decoder(prompt)[:, -1:].argmax(dim=-1)  # [1, 1]
    second = int(decoder(torch.cat((prompt, first), dim=1))[0, -1].argmax())
    end, weight = TOKENIZER.end_id, decoder.unembedding.weight
    assert len({int(first), second, end}) == 3
    weight[[second, end]] = weight[[end, second]]

    theirs = transformers.AutoModelForCausalLM.from_pretrained(saved(tmp_path, decoder)).eval()
    assert theirs.generation_config.eos_token_id == end
    reply = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20)
    assert reply[0, prompt.shape[1] :].tolist() == [int(first), end]


def test_the_tokenizer_and_its_template(transformers: Any, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", random_decoder(CASES["llama"][1]))
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs("the fox")["input_ids"] == TOKENIZER.encode("the fox")
    assert (theirs.eos_token_id, theirs.pad_token_id) == (TOKENIZER.end_id, TOKENIZER.pad_id)
    ids = theirs.apply_chat_template(
        [{"role": "user", "content": "the fox"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert ids == [*TOKENIZER.encode("the fox"), TOKENIZER.end_id]


def test_what_no_family_says_is_ours_alone(transformers: Any, tmp_path: Path) -> None:
    decoder = random_decoder(preset("seed", vocab_size=VOCAB, d_model=17))
    folder = saved(tmp_path / "model", decoder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "nextword"
    with pytest.raises(ValueError, match="nextword"):
        transformers.AutoConfig.from_pretrained(folder)


def test_a_family_that_we_do_not_compute(transformers: Any, tmp_path: Path) -> None:
    transformers.MixtralConfig().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        FolderError,
        match=r"model_type .* is 'mixtral', which .* computes llama, .*nextword\. Leave the name",
    ):
        load_model(tmp_path)


@pytest.mark.parametrize("others", ["Gemma", "Gemma2", "Granite", "SmolLM3", "Ernie4_5", "Cohere"])
@pytest.mark.parametrize("named", [True, False], ids=["with its class", "without"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "qwen2", "mistral"])
def test_another_family_under_one_of_our_names_is_refused(
    family: str, named: bool, others: str, transformers: Any
) -> None:
    config = getattr(transformers, f"{others}Config")(architectures=[f"{others}ForCausalLM"])
    values = json.loads(config.to_json_string(use_diff=False)) | {"model_type": family}
    if not named:
        del values["architectures"]
    with pytest.raises(FolderError, match=r"config\.json sets|its architecture is"):
        config_from_json(values)
