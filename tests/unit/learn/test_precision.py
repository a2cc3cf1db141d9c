"""What training computes in: whole numbers only where they are fast and can be taken."""

import dataclasses
from typing import Any

import pytest
import torch

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels import blocks, short_products
from nextword.learn import precision
from nextword.learn.precision import goes_at_once, peak_of, short_bits
from nextword.model import Decoder
from nextword.presets import preset

SIZES = {"vocab_size": 13, "context_length": 8, "d_model": 16, "n_layers": 1}
PLAIN = TrainingConfig(steps=1)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "exist", lambda: True)
    monkeypatch.setattr(short_products, "is_fast", lambda: True)


def takes(decoder: Decoder | None = None, **given: Any) -> int:
    decoder = decoder or Decoder(preset("qwen3", **SIZES))
    training = dataclasses.replace(PLAIN, **given)
    at_once = goes_at_once(decoder, training, decoder.device)
    return short_bits(decoder, training, decoder.device, at_once=at_once)


def test_they_are_taken_where_they_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes() == 16
    assert takes(dropout=0.1) == 16
    monkeypatch.setattr(short_products, "is_fast", lambda: False)
    assert not takes()
    assert takes(precision="int16") == 16  # asked for, they are taken though they be slow
    assert takes(precision="int8") == 8


def test_of_8_bits_they_are_in_large_models_that_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = (Decoder(preset("qwen3", **SIZES)) for _ in range(2))
    old.learned_before = True
    monkeypatch.setattr(precision, "LARGE", new.n_parameters)
    assert (takes(new), takes(old), takes(old, precision="int8")) == (8, 16, 8)
    assert takes(new, precision="int16") == 16
    monkeypatch.setattr(precision, "LARGE", new.n_parameters + 1)
    assert takes(new) == 16


def test_vectors_may_be_too_long_for_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "LARGE", 1)
    for name in ("d_model", "d_ff", "d_head"):
        decoder = Decoder(preset("llama", **SIZES | {"n_heads": 1, "d_ff": 17, name: 18}))
        monkeypatch.setattr(precision, "LONGEST", 18)
        assert takes(decoder) == 8
        monkeypatch.setattr(precision, "LONGEST", 17)
        assert takes(decoder) == 16
        with pytest.raises(ConfigError, match="up to 17 numbers; this model has some of 18"):
            takes(decoder, precision="int8")


@pytest.mark.parametrize("training", [{"precision": "float32"}, {"compile": "yes"}])
def test_they_are_not_taken_against_the_settings(training: dict[str, Any]) -> None:
    assert not takes(**training)


def test_they_are_not_taken_where_blocks_are_not_gone_through_at_once() -> None:
    decoder = Decoder(preset("gpt2", **SIZES))
    assert takes(decoder)
    assert not short_bits(decoder, PLAIN, decoder.device, at_once=False)
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
    monkeypatch.setattr(short_products, "peak", lambda threads, bits: 96.0 * threads / bits)
    decoder = Decoder(preset("qwen3", **SIZES))
    assert (decoder.precision, peak_of(decoder)) == ("float32", 1.0)
    decoder.short_bits = 16
    assert (decoder.precision, peak_of(decoder)) == ("int16", 6.0 * torch.get_num_threads())
    decoder.short_bits = 8
    blocks, words = 3 * 16 * 16 * 4, 13 * 16  # about: norms are small
    shares = (2 * blocks + words) / (3 * (blocks + words))
    expected = torch.get_num_threads() / (shares / 12.0 + (1 - shares) / 6.0)
    assert decoder.precision == "int8"
    assert peak_of(decoder) == pytest.approx(expected, rel=0.01)
