"""What training computes in: whole numbers of 16 bits only where they are fast and can be taken."""

import dataclasses
from typing import Any

import pytest
import torch

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels import blocks, int16
from nextword.learn.precision import goes_at_once, peak_of, takes_int16
from nextword.model import Decoder
from nextword.presets import preset

SIZES = {"vocab_size": 13, "context_length": 8, "d_model": 16, "n_layers": 1}
PLAIN = TrainingConfig(steps=1)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "exist", lambda: True)
    monkeypatch.setattr(int16, "is_fast", lambda: True)


def takes(decoder: Decoder | None = None, **given: Any) -> bool:
    decoder = decoder or Decoder(preset("qwen3", **SIZES))
    training = dataclasses.replace(PLAIN, **given)
    at_once = goes_at_once(decoder, training, decoder.device)
    return takes_int16(decoder, training, decoder.device, at_once=at_once)


def test_they_are_taken_where_they_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes()
    assert takes(dropout=0.1)
    monkeypatch.setattr(int16, "is_fast", lambda: False)
    assert not takes()
    assert takes(precision="int16")  # asked for, they are taken though they be slow


@pytest.mark.parametrize("training", [{"precision": "float32"}, {"compile": "yes"}])
def test_they_are_not_taken_against_the_settings(training: dict[str, Any]) -> None:
    assert not takes(**training)


def test_they_are_not_taken_where_blocks_are_not_gone_through_at_once() -> None:
    decoder = Decoder(preset("gpt2", **SIZES))
    assert takes(decoder)
    assert not takes_int16(decoder, PLAIN, decoder.device, at_once=False)
    assert not takes(Decoder(preset("gpt2", **SIZES, feed_forward="gelu")))
    decoder.compute_dtype = torch.bfloat16
    assert not takes(decoder)


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        elsewhere = Decoder(preset("qwen3", **SIZES))
    with pytest.raises(ConfigError, match="the device is meta"):
        takes(elsewhere, precision="int16")
    assert not takes(elsewhere)
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
