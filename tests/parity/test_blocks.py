"""All blocks in one call give the values and gradients of block after block."""

import pytest
import torch
from tests.parity.grid import GRID, config_of
from torch import Tensor
from torch.nn import functional as F

from nextword.config import ModelConfig
from nextword.kernels import block_args, fused_blocks
from nextword.kernels.blas import product
from nextword.kernels.build import find_compiler
from nextword.model import Decoder, whole
from nextword.presets import preset

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        find_compiler() is None or product() is None, reason="no C compiler, or no product in torch"
    ),
]

Learned = tuple[Tensor, dict[str, Tensor]]  # the logits, and the gradient of every weight

TOKENS, BATCH = 71, 3  # more than one group of queries


def ids(config: ModelConfig, tokens: int) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(config.vocab_size, (BATCH, tokens + 1), generator=draws)


def documents_of(tokens: int) -> Tensor:
    """Documents of 1, 2, 3 … tokens, from another place on in each row."""
    ends = torch.tensor([n * (n + 1) // 2 for n in range(tokens)])
    places = torch.arange(tokens) + torch.tensor([[0], [5], [40]])
    return torch.searchsorted(ends, places, right=True)


def learned(
    config: ModelConfig,
    tokens: int,
    documents: Tensor | None,
    *,
    dtype: torch.dtype = torch.float32,
    bits: int = 0,
) -> Learned:
    """The logits, and the gradient of every weight."""
    decoder = Decoder(config).train()
    decoder.compute_dtype, decoder.short_bits = dtype, bits
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            offset = 1.0 if "norm" in name and "weight" in name else 0.0
            parameter.normal_(offset, 0.2, generator=draws)
    text = ids(config, tokens)
    logits = decoder(text[:, :-1], documents=documents)
    loss = F.cross_entropy(logits.flatten(0, 1).float(), text[:, 1:].flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {n: torch.as_tensor(p.grad) for n, p in decoder.named_parameters()}
    return logits.detach(), gradients


def compare(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch, *, tokens: int, apart: bool
) -> None:
    documents = documents_of(tokens) if apart else None
    went: list[object] = []
    through = fused_blocks.BlocksStep.forward

    def spied(*given: object) -> object:
        went.append(given)
        return through(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(fused_blocks.BlocksStep, "forward", staticmethod(spied))
    logits, gradients = learned(config, tokens, documents)
    assert len(went) == 1
    monkeypatch.setattr(fused_blocks, "exist", lambda: False)
    expected, wanted = learned(config, tokens, documents)
    assert len(went) == 1
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for name, gradient in wanted.items():
        nothing = name.endswith("key.bias")  # moves all scores of a query alike: only rounding
        least = 1e-6 if nothing else 1e-7 + 1e-5 * float(gradient.abs().max())
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=least, msg=name)


SIZES = {"vocab_size": 13, "context_length": 80, "d_model": 24, "n_layers": 3, "n_heads": 4}
MORE: dict[str, ModelConfig] = {
    "nextword": preset("nextword", **SIZES),
    "shared heads": preset("qwen3", **SIZES, n_kv_heads=2),
    "windows": preset("qwen3", **SIZES, sliding_window=9, sliding_layers=(0, 2)),
    "gpt2": preset("gpt2", **SIZES),
    "seed": preset("seed", **SIZES),
    "relu": preset("gpt2", **SIZES, feed_forward="relu", norm_bias=False),
    "no norm": preset("llama", **SIZES, norm="none"),
    "biases and a gate": preset("llama", **SIZES, feed_forward_bias=True, output_bias=True),
    "normed, not turned": preset("qwen3", **SIZES, position="learned"),
}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", MORE)
def test_long_rows(name: str, apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(MORE[name], monkeypatch, tokens=TOKENS, apart=apart)


@pytest.mark.parametrize("rows", [1, 10, 1000])
def test_few_or_many_rows_at_a_time(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_args, "rows_together", lambda _: rows)
    compare(MORE["shared heads"], monkeypatch, tokens=5, apart=False)


def off(found: Learned, wanted: Learned) -> tuple[float, float]:
    """By how much of their size logits differ, and the gradient that differs most."""

    def share(one: Tensor, other: Tensor) -> float:
        return float((one - other).norm() / other.norm())

    names = [name for name in wanted[1] if not name.endswith("key.bias")]  # that is only rounding
    return share(found[0], wanted[0]), max(share(found[1][n], wanted[1][n]) for n in names)


@pytest.mark.parametrize("name", MORE)
def test_whole_numbers_are_near(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 bits nearer than bfloat16, of 8 bits not many times as far."""
    config, documents = MORE[name], documents_of(TOKENS)
    wanted = learned(config, TOKENS, documents)
    coarse = off(learned(config, TOKENS, documents, dtype=torch.bfloat16), wanted)
    for rows in (10, 1000):
        monkeypatch.setattr(block_args, "rows_together", lambda _, rows=rows: rows)
        fine = off(learned(config, TOKENS, documents, bits=16), wanted)
        assert all(0 < one < 0.5 * other for one, other in zip(fine, coarse, strict=True))
        eight = off(learned(config, TOKENS, documents, bits=8), wanted)
        for one, other, third in zip(fine, eight, coarse, strict=True):
            assert one < other < 5 * third
    assert coarse[0] < 0.05


KNOWN = [name for name in GRID if whole.knows(config_of(name))]


def test_most_of_the_grid_is_known() -> None:
    assert 2 * len(KNOWN) > len(GRID)


@pytest.mark.parametrize("name", KNOWN)
def test_every_switch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(config_of(name), monkeypatch, tokens=7, apart=False)


def test_where_they_are_not_taken() -> None:
    config = MORE["nextword"]
    weights = list(Decoder(config).parameters())
    assert whole.reaches(config, weights, torch.float32)
    assert not whole.reaches(config, weights, torch.bfloat16)
    assert not whole.reaches(config, [*weights, weights[0].to("meta")], torch.float32)
    assert not whole.reaches(config, [*weights, weights[0].bfloat16()], torch.float32)
    assert not whole.reaches(preset("gpt2", **SIZES, feed_forward="gelu"), weights, torch.float32)
    with torch.no_grad():
        assert not whole.reaches(config, weights, torch.float32)
    torch.set_num_threads(2)
    assert not whole.reaches(config, weights, torch.float32)


@pytest.mark.parametrize("name", ["nextword", "relu", "relu squared"])
def test_what_is_not_a_number_reaches_the_loss(name: str) -> None:
    config = MORE.get(name) or config_of(name)
    decoder = Decoder(config).train()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.fill_(0.5)
        dict(decoder.named_parameters())["blocks.1.feed_forward.up.weight"][0, 0] = torch.nan
    assert bool(decoder(ids(config, 7)).isnan().any())


def test_a_changed_weight_is_noticed_before_the_way_back() -> None:
    decoder = Decoder(MORE["nextword"]).train()
    logits = decoder(ids(decoder.config, 7))
    with torch.no_grad():
        dict(decoder.named_parameters())["blocks.1.attention.query.weight"].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logits.sum().backward()


def test_documents_that_all_rows_share() -> None:
    config = MORE["nextword"]
    one, wanted = (learned(config, 9, documents_of(9)[:1].expand(n, 9)) for n in (1, BATCH))
    torch.testing.assert_close(one[0], wanted[0])


def test_what_is_saved_may_be_put_elsewhere() -> None:
    decoder = Decoder(MORE["nextword"]).train()
    text = ids(decoder.config, 9)

    def gradient() -> Tensor:
        loss = decoder(text[:, :-1]).square().mean()
        return torch.autograd.grad(loss, decoder.token_embedding.weight)[0]

    expected = gradient()
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda kept: kept):
        assert torch.equal(gradient(), expected)


def test_torchs_default_dtype_does_not_matter() -> None:
    config = MORE["nextword"]
    expected = learned(config, 9, None)[0]
    decoder = Decoder(config).train()
    torch.set_default_dtype(torch.float64)
    try:
        logits = decoder(ids(config, 9)[:, :-1])
        assert bool(
            torch.autograd.grad(logits.sum(), list(decoder.parameters()))[0].isfinite().all()
        )
    finally:
        torch.set_default_dtype(torch.float32)
    assert logits.dtype == expected.dtype


def test_blocks_that_share_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient() -> Tensor:
        decoder = Decoder(MORE["nextword"]).train()
        first, second = (decoder.get_submodule(f"blocks.{n}.feed_forward.up") for n in (0, 1))
        second.weight = first.weight
        loss = decoder(ids(decoder.config, 9)[:, :-1]).square().mean()
        return torch.autograd.grad(loss, decoder.get_parameter("blocks.0.feed_forward.up.weight"))[
            0
        ]

    found = gradient()
    monkeypatch.setattr(fused_blocks, "exist", lambda: False)
    torch.testing.assert_close(found, gradient(), rtol=1e-4, atol=1e-6)
