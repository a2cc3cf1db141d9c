"""Runs that version 0.1 began with precision "auto" go on in the precision that it picked."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from nextword.config import ModelConfig, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.kernels import fused_blocks, quantized_matmul
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.training.backends import choose, data_parallel, precision
from nextword.training.backends.choose import version_0_1_backend

SIZES = {"vocab_size": 13, "context_length": 8, "d_model": 16, "n_layers": 1}
CONFIG = preset("qwen3", **SIZES)
DATA = cast(Prepared, SimpleNamespace(context=8))


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    """A processor with fast integer products, slow bfloat16 and a C compiler; one thread."""
    monkeypatch.setattr(fused_blocks, "exist", lambda: True)
    monkeypatch.setattr(quantized_matmul, "is_fast", lambda: True)
    monkeypatch.setattr(choose, "has_fast_bfloat16", lambda _: False)


def picked(config: ModelConfig = CONFIG, *, pretrained: bool = False, **given: Any) -> str:
    values: dict[str, Any] = {"steps": 1, "batch_size": 6, "device": "cpu"}
    training = TrainingConfig(**values | given)
    backend = version_0_1_backend(config, DATA, training, pretrained=pretrained)
    assert backend.speeds == {}  # nothing was measured
    return backend.precision


def test_integers_were_picked_where_they_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert picked() == "int16"
    assert picked(dropout=0.1) == "int16"
    monkeypatch.setattr(quantized_matmul, "is_fast", lambda: False)
    assert picked() == "float32"
    monkeypatch.setattr(choose, "has_fast_bfloat16", lambda _: True)
    assert picked() == "bfloat16"


def test_of_8_bits_they_were_in_large_new_models(monkeypatch: pytest.MonkeyPatch) -> None:
    size = Decoder(CONFIG).n_parameters
    monkeypatch.setattr(choose, "LARGE", size)
    assert (picked(), picked(pretrained=True)) == ("int8", "int16")
    monkeypatch.setattr(choose, "LARGE", size + 1)
    assert picked() == "int16"


def test_of_16_bits_they_were_where_vectors_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "LARGE", 1)
    longest = 2 * SIZES["d_model"]
    config = preset("llama", **SIZES | {"n_heads": 1, "d_ff": longest})
    monkeypatch.setattr(precision, "LONGEST", longest)
    assert picked(config) == "int8"
    monkeypatch.setattr(precision, "LONGEST", longest - 1)
    assert picked(config) == "int16"


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int16", "int8"])
def test_a_precision_that_was_asked_for_is_kept(name: str) -> None:
    assert picked(precision=name) == name


def test_integers_were_not_picked_where_blocks_are_not_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert picked(preset("gpt2", **SIZES)) == "int16"
    assert picked(preset("gpt2", **SIZES, feed_forward="gelu")) == "float32"
    assert picked(compile="yes") == "float32"
    monkeypatch.setattr(fused_blocks, "exist", lambda: False)
    assert picked() == "float32"


def test_integers_were_picked_where_every_thread_has_a_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for name in ("LEAST_WORK", "LEAST_WORK_WHOLE"):
        monkeypatch.setattr(data_parallel, name, 1.0)
    assert picked(batch_size=6) == "int16"
    assert picked(batch_size=4) == "float32"  # which three threads cannot share evenly
