"""Weights of others: what is passed over, what is refused, and that nothing is read for nothing."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.formats.huggingface.models import (
    GPT2,
    IDS,
    LLAMA,
    edit,
    foreign,
    model,
    random_decoder,
)
from torch import Tensor

from nextword.config import ModelConfig
from nextword.errors import FolderError
from nextword.formats.huggingface.safetensors_io import read_tensors
from nextword.formats.huggingface.save_load import load_model
from nextword.formats.huggingface.weights import parameter_shapes
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset

Tensors = dict[str, Tensor]


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Change the tensors of a folder."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def same_logits(folder: Path, config: ModelConfig) -> bool:
    """Return whether a folder's model computes what `random_decoder` does."""
    return torch.equal(load_model(folder).decoder(IDS), random_decoder(config)(IDS))


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(FolderError) as caught:
        load_model(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_gpt2_masks_hold_nothing_learned(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model", GPT2)
    mask = torch.ones(1, 1, 19, 19).tril().to(dtype)
    buffers = {f"transformer.h.{layer}.attn.bias": mask.clone() for layer in (0, 1)}
    buffers["transformer.h.0.attn.masked_bias"] = torch.tensor(1).to(dtype)
    rewrite(folder, lambda tensors: tensors | buffers)
    assert same_logits(folder, GPT2)


def test_tensors_that_are_passed_over_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = foreign(tmp_path / "model")
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite(folder, lambda tensors: tensors | {name: torch.zeros(1 << 20)})
    sizes: list[int] = []
    empty = torch.empty

    def noting(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        sizes.append(torch.Size(shape).numel())
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch, "empty", noting)
    wanted = ["model.norm.weight"]
    (found,) = read_tensors(folder / "model.safetensors", wanted=wanted)
    assert found[0] == "model.norm.weight" and sizes == [LLAMA.d_model]


def test_what_is_passed_over_is_in_the_checksum(tmp_path: Path) -> None:
    path = model(tmp_path / "model") / "model.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(list(read_tensors(path, sha256=digest, wanted=["model.norm.weight"]))) == 1
    with pytest.raises(FolderError, match="is not what was saved"):
        list(read_tensors(path, sha256="0" * 64, wanted=["model.norm.weight"]))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_prefixes_of_compiled_and_parallel_models_are_left_out(prefix: str, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model")
    rewrite(folder, lambda tensors: {f"{prefix}{name}": item for name, item in tensors.items()})
    assert same_logits(folder, LLAMA)


def test_prefixes_inside_and_of_a_bare_stack(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model", GPT2)
    rewrite(
        folder,
        lambda tensors: {
            name.replace("transformer.", "").replace("h.1.", "h.1._orig_mod."): item
            for name, item in tensors.items()
        },
    )
    assert same_logits(folder, GPT2)


def test_one_weight_under_two_names_is_refused(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model")
    norm = torch.ones(LLAMA.d_model)
    rewrite(folder, lambda tensors: tensors | {"_orig_mod.model.norm.weight": norm})
    refused(folder, "1 there twice", "model.norm.weight")


@pytest.mark.parametrize("said", [{"tie_word_embeddings": False}, {"tie_word_embeddings": None}])
def test_a_missing_unembedding_is_told_with_the_key_that_ties_it(
    said: dict[str, bool | None], tmp_path: Path
) -> None:
    folder = foreign(tmp_path / "model", LLAMA, **said)
    rewrite(
        folder,
        lambda tensors: {name: item for name, item in tensors.items() if name != "lm_head.weight"},
    )
    refused(folder, "lack lm_head.weight", 'set "tie_word_embeddings": true')
    edit(folder / "config.json", tie_word_embeddings=True)
    decoder = load_model(folder).decoder
    assert decoder.unembedding.weight is decoder.token_embedding.weight


def test_layers_are_compared_before_anything_is_built(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model", num_hidden_layers=10_000)
    start = time.process_time()
    refused(folder, "89982 missing: model.layers.2.")  # 9 tensors in each of 9,998 layers
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "config",
    [LLAMA, GPT2, preset("nextword", vocab_size=8, d_model=15, n_heads=3, d_head=10, n_layers=3)],
    ids=["llama", "gpt2", "nextword"],
)
def test_the_shapes_are_those_of_the_whole_decoder(config: ModelConfig) -> None:
    expected = {name: tuple(item.shape) for name, item in Decoder(config).named_parameters()}
    assert list(parameter_shapes(config).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocab_size", 2**53),
        ("hidden_size", 10**399),
        ("intermediate_size", 2**62),
        ("num_attention_heads", 2**31),
        ("head_dim", 2**40),
        ("max_position_embeddings", 2**64),
    ],
)
def test_sizes_beyond_all_bounds_are_refused(key: str, value: int, tmp_path: Path) -> None:
    refused(foreign(tmp_path / "model", LLAMA, **{key: value}), "impossible model")


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "yarn", "factor": 2.0, "beta_fast": 0.0},
        {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1.0},
        {"rope_type": "yarn", "factor": 2.0, "beta_fast": 1e-320},
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e-300},
    ],
)
def test_rotary_settings_that_give_no_angles(scaling: dict[str, object], tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model", rope_scaling=scaling, rope_parameters=None)
    refused(folder, "impossible")


def test_a_context_without_end_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model", max_position_embeddings=100_000_000)
    model = LanguageModel.load(folder)
    assert model.config.context_length == 100_000_000
    stream = model.stream("the cat")
    assert next(iter(stream)) is not None


def test_the_header_of_a_file_is_bounded(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "model")
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].ljust(17 << 20)
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    refused(folder, "has a header of 17825792 bytes; at most 16777216")
