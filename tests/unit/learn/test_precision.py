"""What training computes in: whole numbers of 16 bits only where they are fast and can be taken."""

import dataclasses
from typing import Any

import pytest
import torch

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels import blocks, int16
from nextword.learn.precision import peak_of, takes_int16
from nextword.model import Decoder
from nextword.presets import preset

SIZES = {"vocab_size": 13, "context_length": 8, "d_model": 16, "n_layers": 1}
PLAIN = TrainingConfig(steps=1)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "exist", lambda: True)
    monkeypatch.setattr(int16, "is_fast", lambda: True)


def takes(threads: int = 1, **training: Any) -> bool:
    decoder = Decoder(preset("qwen3", **SIZES))
    return takes_int16(decoder, dataclasses.replace(PLAIN, **training), threads=threads)


def test_they_are_taken_where_they_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes()
    monkeypatch.setattr(int16, "is_fast", lambda: False)
    assert not takes()
    assert takes(precision="int16")  # asked for, they are taken though they be slow


@pytest.mark.parametrize(
    "training", [{"precision": "float32"}, {"dropout": 0.1}, {"compile": "yes"}]
)
def test_they_are_not_taken_against_the_settings(training: dict[str, Any]) -> None:
    assert not takes(**training)


def test_they_are_not_taken_where_blocks_are_not_gone_through_whole() -> None:
    assert not takes(threads=2)
    decoder = Decoder(preset("gpt2", **SIZES, feed_forward="gelu"))
    assert not takes_int16(decoder, PLAIN, threads=1)
    decoder = Decoder(preset("gpt2", **SIZES))
    decoder.compute_dtype = torch.bfloat16
    assert not takes_int16(decoder, PLAIN, threads=1)


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        elsewhere = Decoder(preset("qwen3", **SIZES))
    asked = TrainingConfig(steps=1, precision="int16")
    with pytest.raises(ConfigError, match="the device is meta"):
        takes_int16(elsewhere, asked, threads=1)
    assert not takes_int16(elsewhere, PLAIN, threads=1)
    monkeypatch.setattr(blocks, "exist", lambda: False)
    with pytest.raises(ConfigError, match="a C compiler"):
        takes(precision="int16")
    assert not takes()


def test_the_peak_is_that_of_what_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextword.learn.precision.matrix_peak", lambda *_: 1.0)
    monkeypatch.setattr(int16, "peak", lambda threads: 2.0 * threads)
    decoder = Decoder(preset("qwen3", **SIZES))
    assert (decoder.precision, peak_of(decoder)) == ("float32", 1.0)
    decoder.int16 = True
    assert (decoder.precision, peak_of(decoder)) == ("int16", 2.0 * torch.get_num_threads())
