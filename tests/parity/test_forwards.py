"""The fast decoder against the readable reference, uncached, cached, batched and in documents."""

import dataclasses
import itertools

import pytest
import torch
from tests.parity.grid import DEFAULTS, GRID, config_of

from nextword.config import ModelConfig, RotaryScaling
from nextword.interpret import forward, points_of, record
from nextword.model import Decoder, KeyValueCache
from nextword.model.attention import Kernel, attend, make_mask

TOKENS = 17


def loud(config: ModelConfig, *, seed: int = 3) -> Decoder:
    """A decoder whose every weight matters: none starts at 0 or 1."""
    decoder = Decoder(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            centre = 1.0 if name.endswith("norm.weight") else 0.0
            parameter.normal_(mean=centre, std=0.2, generator=generator)
    return decoder


def sentence(config: ModelConfig, *, tokens: int = TOKENS, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, config.vocab_size, (tokens,), generator=generator)


@pytest.mark.parametrize("name", GRID)
def test_reference_equals_fast(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config)
    torch.testing.assert_close(decoder(ids[None])[0], forward(decoder, ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GRID)
def test_cached_equals_uncached(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config)[None]
    cache = KeyValueCache(config, capacity=TOKENS)
    cuts = (0, 5, 6, 7, 13, TOKENS)
    parts = [decoder(ids[:, a:b], cache=cache) for a, b in itertools.pairwise(cuts)]
    assert cache.length == TOKENS
    torch.testing.assert_close(torch.cat(parts, dim=1), decoder(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GRID)
def test_documents_in_one_row_do_not_see_each_other(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config)
    documents = torch.tensor([0] * 7 + [1] * 2 + [2] * 8)
    packed = decoder(ids[None], documents=documents[None])[0]
    for document in range(3):
        alone = decoder(ids[None, documents == document])[0]
        torch.testing.assert_close(packed[documents == document], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GRID)
def test_left_padding_changes_nothing(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config)
    short = ids[:6]
    pad = TOKENS - len(short)
    batch = torch.stack((ids, torch.cat((torch.zeros(pad, dtype=torch.int64), short))))
    documents = torch.tensor([[0] * TOKENS, [-1] * pad + [0] * 6])
    cache = KeyValueCache(config, batch_size=2, capacity=TOKENS + 1)
    logits = decoder(batch, cache=cache, documents=documents)
    torch.testing.assert_close(logits[1, pad:], decoder(short[None])[0], rtol=1e-4, atol=1e-5)
    more = decoder(
        torch.tensor([[1], [2]]),
        cache=cache,
        documents=torch.zeros(2, 1, dtype=torch.int64),
        positions=torch.tensor([[TOKENS], [6]]),
    )
    longer = torch.cat((short, torch.tensor([2])))
    torch.testing.assert_close(more[1, 0], decoder(longer[None])[0, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GRID)
def test_gradients_agree(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config, tokens=7)
    parameters = [p for _, p in decoder.named_parameters()]

    def gradients(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:])
        return torch.autograd.grad(loss, parameters)

    fast, slow = gradients(decoder(ids[None])[0]), gradients(forward(decoder, ids))
    for (label, _), a, b in zip(decoder.named_parameters(), fast, slow, strict=True):
        size = max(1.0, b.abs().max().item())
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5 * size), label


@pytest.mark.parametrize("name", GRID)
def test_every_point_fires_once_with_its_shape(name: str) -> None:
    config = config_of(name)
    fired: list[str] = []
    points = points_of(config)

    def tap(point: str, value: torch.Tensor) -> torch.Tensor:
        fired.append(point)
        assert tuple(value.shape) == points[point].sizes(config, TOKENS), point
        return value

    forward(loud(config), sentence(config), tap)
    assert fired == list(points)


def test_an_edited_value_is_used_from_there_on() -> None:
    config = config_of("llama")
    decoder, ids = loud(config), sentence(config)

    def tap(point: str, value: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(value) if point == "blocks.1.attention.context" else value

    edited = forward(decoder, ids, tap)
    with torch.no_grad():
        attention = decoder.blocks[1].attention
        attention.output.weight.zero_()  # type: ignore[union-attr,operator]
    torch.testing.assert_close(edited, forward(decoder, ids))


def test_a_trace_keeps_what_was_asked_and_its_difference() -> None:
    config = config_of("qwen3")
    trace = record(loud(config), sentence(config), keep=["blocks.*.attention.attention_weights"])
    assert list(trace.values) == [
        f"blocks.{layer}.attention.attention_weights" for layer in range(config.n_layers)
    ]
    stacked = trace["blocks.*.attention.attention_weights"]
    assert stacked.shape == (config.n_layers, config.n_heads, TOKENS, TOKENS)
    torch.testing.assert_close(stacked.sum(-1), torch.ones_like(stacked[..., 0]))
    assert trace.fast_difference is not None
    assert 0 <= trace.fast_difference < 1e-4


@pytest.mark.parametrize("masked", ["causal", "window", "documents"])
@pytest.mark.parametrize("heads", [(6, 6), (6, 2), (5, 1)])
def test_the_two_kernels_agree(heads: tuple[int, int], masked: str) -> None:
    torch.manual_seed(0)
    batch, tokens, width = 2, 11, 13
    query = torch.randn(batch, heads[0], tokens, width)
    key, value = (torch.randn(batch, heads[1], tokens, width) for _ in range(2))
    documents = torch.tensor([[0] * 4 + [1] * 7, [0] * 11]) if masked == "documents" else None

    def by(kernel: Kernel) -> torch.Tensor:
        mask = make_mask(
            tokens,
            tokens,
            kernel=kernel,
            window=3 if masked == "window" else None,
            query_documents=documents,
            key_documents=documents,
        )
        return attend(query, key, value, kernel=kernel, mask=mask, scale=0.3)

    torch.testing.assert_close(by("fused"), by("explicit"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["seed", "gpt2", "qwen3", "soft caps"])
def test_bfloat16_stays_near_float32(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config)[None]
    exact = decoder(ids)
    decoder.compute_dtype = torch.bfloat16
    rough = decoder(ids)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_the_grid_covers_every_switch() -> None:
    configs = [config_of(name) for name in GRID]
    varied = {
        field.name
        for field in dataclasses.fields(ModelConfig)
        if len({str(getattr(config, field.name)) for config in configs}) > 1
    }
    fixed = {"vocab_size", "context_length"}
    assert varied | fixed == {field.name for field in dataclasses.fields(ModelConfig)}
    for name, choices in {
        "position": {"none", "sinusoidal", "learned", "rotary"},
        "norm": {"none", "layer", "rms"},
        "norm_placement": {"before", "after"},
        "feed_forward": {"none", "relu", "relu2", "gelu", "gelu_tanh", "silu", "swiglu", "geglu"},
    }.items():
        assert {getattr(config, name) for config in configs} == choices
    kinds = {c.rotary_scaling.kind for c in configs if isinstance(c.rotary_scaling, RotaryScaling)}
    assert kinds == {"linear", "llama3", "yarn"}
    assert DEFAULTS["vocab_size"] == 101
