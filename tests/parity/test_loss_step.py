"""Norm, unembedding and loss in one call give torch's loss and gradients."""

import pytest
import torch
from tests.parity.grid import GRID, config_of
from torch import Tensor

from nextword.config import ModelConfig
from nextword.kernels import fused_loss as in_one_call
from nextword.kernels.blas import product
from nextword.kernels.build import find_compiler
from nextword.model import Decoder, whole
from nextword.model.loss import NO_LOSS, loss_sum
from nextword.presets import preset

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        find_compiler() is None or product() is None, reason="no C compiler, or no product in torch"
    ),
]

SIZES = {"vocab_size": 45, "context_length": 16, "d_model": 24, "n_layers": 1}
BATCH, TOKENS = 3, 11
MORE: dict[str, ModelConfig] = {
    "no norm": preset("llama", **SIZES, norm="none"),
    "layer norm": preset("gpt2", **SIZES),
    "layer norm without bias, a bias of the unembedding": preset(
        "gpt2", **SIZES, norm_bias=False, tied_embeddings=False, unembedding_bias=True
    ),
    "rms": preset("nextword", **SIZES),
    "many words": preset("qwen3", **{**SIZES, "vocab_size": 3001}),
}
Found = tuple[float, dict[str, Tensor]]


def found(config: ModelConfig, *, at_once: bool, bits: int = 0, smoothing: float = 0.0) -> Found:
    """The loss, and the gradients of the residual and of all weights behind it."""
    decoder = Decoder(config)
    decoder.short_bits = bits
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.3, 0.5, generator=draws)
    residual = torch.randn(BATCH, TOKENS, config.d_model, generator=draws).requires_grad_()
    targets = torch.randint(config.vocab_size, (BATCH, TOKENS), generator=draws)
    targets[0, 3:7] = targets[2, -1] = NO_LOSS
    if at_once:
        loss = whole.loss(decoder, residual, targets, known=5, smoothing=smoothing)
    else:
        loss = loss_sum(decoder.logits(residual), targets, smoothing=smoothing) / 5
    wanted: dict[str, Tensor] = {"residual": residual, "matrix": decoder.unembedding.weight}
    wanted |= {n: p for n, p in decoder.named_parameters() if n.startswith(("final", "unemb"))}
    gradients = torch.autograd.grad(loss / 7, list(wanted.values()))
    return loss.item(), dict(zip(wanted, gradients, strict=True))


def same(one: Found, other: Found, *, share: float) -> None:
    assert one[0] == pytest.approx(other[0], rel=share)
    for name, gradient in other[1].items():
        least = share * float(gradient.abs().max())
        torch.testing.assert_close(one[1][name], gradient, rtol=0.0, atol=least, msg=name)


@pytest.mark.parametrize("rows", [1, 1000])  # the fewer are as many as the width
@pytest.mark.parametrize("name", MORE)
def test_it_gives_what_torch_gives(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_one_call, "LEAST_ROWS", rows)
    same(found(MORE[name], at_once=True), found(MORE[name], at_once=False), share=2e-6)


def test_targets_of_another_whole_type_are_as_good() -> None:
    decoder, residual = Decoder(MORE["rms"]), torch.ones(1, 3, 24)
    targets = torch.tensor([[3, 44, NO_LOSS]])
    losses = [whole.loss(decoder, residual, each, known=2) for each in (targets, targets.int())]
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", [n for n in GRID if config_of(n).logit_soft_cap is None])
def test_every_architecture(name: str) -> None:
    config = config_of(name)
    same(found(config, at_once=True), found(config, at_once=False), share=2e-6)


def test_smoothing_changes_the_gradient_and_not_the_loss() -> None:
    plain, torchs, ours = (
        found(MORE["layer norm"], at_once=each == "ours", smoothing=0.3 * (each != "plain"))
        for each in ("plain", "torchs", "ours")
    )
    same(ours, torchs, share=2e-6)
    assert torchs[0] == pytest.approx(plain[0], rel=1e-6)
    assert not torch.allclose(torchs[1]["residual"], plain[1]["residual"], rtol=0.1)


@pytest.mark.parametrize("name", MORE)
def test_whole_numbers_are_near(name: str) -> None:
    exact = found(MORE[name], at_once=True)
    same(found(MORE[name], at_once=True, bits=16), exact, share=3e-3)
    eight = found(MORE[name], at_once=True, bits=8)
    same(eight, exact, share=3e-2)
    assert abs(eight[0] - exact[0]) > abs(found(MORE[name], at_once=True, bits=16)[0] - exact[0])


def test_small_probabilities_beside_a_large_one_reach_the_residual() -> None:
    """Rounded together with it, all others would be 0."""
    config = preset("llama", **{**SIZES, "vocab_size": 20000}, norm="none")
    exact, short = (found(config, at_once=True, bits=each) for each in (0, 16))
    off = (short[1]["residual"] - exact[1]["residual"]).norm() / exact[1]["residual"].norm()
    assert float(off) < 3e-3


def test_a_target_that_is_no_word_is_refused() -> None:
    decoder = Decoder(MORE["rms"])
    residual = torch.zeros(1, 2, 24)
    with pytest.raises(IndexError, match="target 45 is not below 45"):
        whole.loss(decoder, residual, torch.tensor([[0, 45]]), known=2)


def test_no_rows_and_no_targets_give_no_gradient() -> None:
    decoder = Decoder(MORE["layer norm"])
    for targets in (torch.empty(0, 4, dtype=torch.int64), torch.full((2, 4), NO_LOSS)):
        loss = whole.loss(decoder, torch.ones(*targets.shape, 24), targets, known=8)
        gradient = torch.autograd.grad(loss, decoder.unembedding.weight)[0]
        assert loss.item() == 0
        assert not bool(gradient.any())


def test_what_is_not_a_number_reaches_the_loss() -> None:
    for bits in (0, 16, 8):
        decoder = Decoder(MORE["rms"])
        decoder.short_bits = bits
        with torch.no_grad():
            decoder.unembedding.weight[7, 3] = torch.nan
        loss = whole.loss(
            decoder, torch.ones(1, 3, 24), torch.zeros(1, 3, dtype=torch.int64), known=3
        )
        assert bool(loss.isnan())
