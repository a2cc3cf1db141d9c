"""The precision of training: quantized matmuls where they are asked for and possible."""

import dataclasses
from typing import Any

import pytest
import torch

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels import fused_blocks, quantized_matmul
from nextword.model import Decoder
from nextword.presets import preset
from nextword.training.backends import precision
from nextword.training.backends.precision import fits_8_bits, goes_at_once, peak_of, short_bits

SIZES = {"vocab_size": 13, "context_length": 8, "d_model": 16, "n_layers": 1}
PLAIN = TrainingConfig(steps=1)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_blocks, "exist", lambda: True)
    monkeypatch.setattr(quantized_matmul, "is_fast", lambda: True)


def bits(decoder: Decoder | None = None, **given: Any) -> int:
    decoder = decoder or Decoder(preset("qwen3", **SIZES))
    training = dataclasses.replace(PLAIN, **given)
    at_once = goes_at_once(decoder, training, decoder.device)
    return short_bits(decoder, training, decoder.device, at_once=at_once)


@pytest.mark.parametrize(
    ("name", "expected"), [("int16", 16), ("int8", 8), ("float32", 0), ("bfloat16", 0)]
)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("is_fast", [True, False])
def test_the_precision_that_was_asked_for_decides(
    name: str, expected: int, dropout: float, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized_matmul, "is_fast", lambda: is_fast)
    assert bits(precision=name, dropout=dropout) == expected


def test_auto_quantizes_nothing_by_itself() -> None:
    """It was resolved before, by `choose_backend`."""
    assert bits(precision="auto") == 0


def test_vectors_may_be_too_long_for_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("d_model", "d_ff", "d_head"):
        config = preset("llama", **SIZES | {"n_heads": 1, "d_ff": 17, name: 18})
        decoder = Decoder(config)
        monkeypatch.setattr(precision, "LONGEST", 18)
        assert fits_8_bits(config)
        assert bits(decoder, precision="int8") == 8
        monkeypatch.setattr(precision, "LONGEST", 17)
        assert not fits_8_bits(config)
        assert bits(decoder, precision="int16") == 16
        with pytest.raises(ConfigError, match="up to 17 numbers; this model has some of 18"):
            bits(decoder, precision="int8")


def test_nothing_is_quantized_where_blocks_are_not_one_call() -> None:
    decoder = Decoder(preset("gpt2", **SIZES))
    asked = dataclasses.replace(PLAIN, precision="int16")
    assert bits(decoder, precision="int16") == 16
    assert bits(decoder, precision="int16", compile="yes") == 0
    assert short_bits(decoder, asked, decoder.device, at_once=False) == 0
    unknown = Decoder(preset("gpt2", **SIZES, feed_forward="gelu"))
    assert bits(unknown, precision="int16") == 0


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        elsewhere = Decoder(preset("qwen3", **SIZES))
    with pytest.raises(ConfigError, match="the device is meta"):
        bits(elsewhere, precision="int16")
    assert bits(elsewhere, precision="float32") == 0
    monkeypatch.setattr(fused_blocks, "exist", lambda: False)
    with pytest.raises(ConfigError, match="a C compiler"):
        bits(precision="int16")
    assert bits(precision="float32") == 0


def test_the_peak_is_that_of_what_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextword.training.backends.precision.matrix_peak", lambda *_: 1.0)
    monkeypatch.setattr(quantized_matmul, "peak", lambda threads, bits: 96.0 * threads / bits)
    decoder = Decoder(preset("qwen3", **SIZES))
    assert (decoder.precision, peak_of(decoder)) == ("float32", 1.0)
    decoder.short_bits = 16
    assert (decoder.precision, peak_of(decoder)) == ("int16", 6.0 * torch.get_num_threads())
    decoder.short_bits = 8
    fused_blocks, words = 3 * 16 * 16 * 4, 13 * 16  # about: norms are small
    shares = (2 * fused_blocks + words) / (3 * (fused_blocks + words))
    expected = torch.get_num_threads() / (shares / 12.0 + (1 - shares) / 6.0)
    assert decoder.precision == "int8"
    assert peak_of(decoder) == pytest.approx(expected, rel=0.01)
