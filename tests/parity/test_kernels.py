"""The steps in C have the values and gradients of torch's operations, in both precisions."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nextword.config import ModelConfig
from nextword.kernels import ops
from nextword.kernels.build import find_compiler, kernels
from nextword.model import Decoder
from nextword.presets import preset

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")

CLOSE = {torch.float32: (1e-5, 1e-5), torch.bfloat16: (2e-2, 2e-2)}  # relative, absolute
DTYPES = list(CLOSE)
EPSILON = 1e-3
rms_norm: Callable[..., Any] = ops.RMSNormStep.apply
deal_heads: Callable[..., Any] = ops.DealHeadsStep.apply
swiglu: Callable[..., Any] = ops.SwiGLUStep.apply
gelu: Callable[..., Any] = ops.GELUStep.apply
HEADS, SHARED, WIDTH, BATCH, TOKENS = 4, 2, 6, 2, 5


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype).requires_grad_()


def same(
    step: Callable[..., object], plain: Callable[..., object], inputs: Sequence[Tensor | None]
) -> None:
    """Both give the same outputs, and the same gradients of every input that has one."""
    given = [each for each in inputs if each is not None]
    whole = [None if each is None else each.detach().float().requires_grad_() for each in inputs]
    found, expected = as_tuple(step(*inputs)), as_tuple(plain(*whole))
    relative, absolute = CLOSE[found[0].dtype]
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one.float(), other, rtol=relative, atol=absolute)
    gradients = [drawn(*one.shape, seed=7 + n, dtype=one.dtype) for n, one in enumerate(found)]
    back = torch.autograd.grad(found, given, gradients)
    exact = [each for each in whole if each is not None]
    wanted = torch.autograd.grad(expected, exact, [each.float() for each in gradients])
    for one, other, where in zip(back, wanted, given, strict=True):
        assert one.dtype == where.dtype
        assert other.abs().max() > 0
        size = float(other.abs().max())
        torch.testing.assert_close(one.float(), other, rtol=relative, atol=absolute * size)


def as_tuple(made: object) -> tuple[Tensor, ...]:
    return made if isinstance(made, tuple) else (torch.as_tensor(made),)


@pytest.mark.parametrize("width", [3, 7, 64, 100])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm(dtype: torch.dtype, width: int) -> None:
    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (width,), eps=EPSILON) * weight

    inputs = [drawn(3, 5, width, dtype=dtype), drawn(width, seed=1)]
    same(lambda x, weight: rms_norm(x, weight, EPSILON), plain, inputs)


@pytest.mark.parametrize("places", ["none", "shared", "each"])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_queries_keys_and_values(dtype: torch.dtype, normed: bool, places: str) -> None:
    cos, sin = angles(places)

    def step(joined: Tensor, query: Tensor | None, key: Tensor | None) -> object:
        return deal_heads(joined, query, key, cos, sin, HEADS, SHARED, EPSILON)

    def plain(joined: Tensor, query: Tensor | None, key: Tensor | None) -> object:
        heads = joined.view(BATCH, TOKENS, HEADS + 2 * SHARED, WIDTH).transpose(1, 2)
        parts = list(torch.split(heads, [HEADS, SHARED, SHARED], dim=1))
        for number, weight in enumerate((query, key)):
            if weight is not None:
                parts[number] = F.rms_norm(parts[number], (WIDTH,), eps=EPSILON) * weight
            if cos is not None and sin is not None:
                first, second = parts[number].chunk(2, dim=-1)
                parts[number] = parts[number] * cos + torch.cat((-second, first), dim=-1) * sin
        return tuple(parts)

    joined = drawn(BATCH, TOKENS, (HEADS + 2 * SHARED) * WIDTH, dtype=dtype)
    weights = [drawn(WIDTH, seed=1), drawn(WIDTH, seed=2)] if normed else [None, None]
    same(step, plain, [joined, *weights])


def angles(places: str) -> tuple[Tensor | None, Tensor | None]:
    """Cos and sin of places that all sequences share, or that each has for itself."""
    if places == "none":
        return None, None
    shape = (TOKENS, WIDTH // 2) if places == "shared" else (BATCH, 1, TOKENS, WIDTH // 2)
    half = drawn(*shape, seed=3).detach()
    both = torch.cat((half, half), dim=-1)
    return both.cos(), both.sin()


@pytest.mark.parametrize("dtype", DTYPES)
def test_swiglu(dtype: torch.dtype) -> None:
    inputs = [drawn(3, 5, 37, dtype=dtype), drawn(3, 5, 37, seed=1, dtype=dtype)]
    same(swiglu, lambda gate, up: F.silu(gate) * up, inputs)


@pytest.mark.parametrize("step", [lambda x: swiglu(x, torch.ones_like(x)), gelu])
def test_a_gradient_that_is_laid_out_anew_lives_as_long_as_it_is_read(
    step: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C gets addresses alone, which keep no tensor alive."""
    x = drawn(3, 7)
    made = step(x)
    freed = []
    was = Tensor.contiguous

    def watched(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
        laid_out = was(tensor, *given, **named)
        if tensor.stride() == (0, 0):
            weakref.finalize(laid_out, lambda: freed.append("before" if not called else "after"))
        return laid_out

    called: list[bool] = []
    library = ops._library(x)

    class Watching:
        def __getattr__(self, name: str) -> Any:
            def call(*given: Any) -> None:
                called.append(True)
                getattr(library, name)(*given)

            return call

    monkeypatch.setattr(Tensor, "contiguous", watched)
    monkeypatch.setattr(ops, "_library", lambda _: Watching())
    torch.autograd.grad(made.sum(), x)
    assert freed == ["after"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu(dtype: torch.dtype) -> None:
    same(gelu, lambda x: F.gelu(x, approximate="tanh"), [drawn(3, 101, dtype=dtype)])


def test_far_from_zero() -> None:
    x = torch.tensor([-1e30, -200.0, -88.0, -30.0, 0.0, 30.0, 88.0, 200.0, 1e10])
    ones = torch.ones_like(x)
    gate = x.clone().requires_grad_()
    made = swiglu(gate, ones)
    torch.testing.assert_close(made, F.silu(x), rtol=1e-6, atol=1e-7)
    assert bool(torch.autograd.grad(made.sum(), gate)[0].isfinite().all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_number_stays_so(dtype: torch.dtype) -> None:
    x = torch.tensor([1.0, float("nan"), 2.0], dtype=dtype, requires_grad=True)
    assert bool(gelu(x).isnan()[1])
    assert bool(swiglu(x, torch.ones_like(x)).isnan()[1])
    assert bool(rms_norm(x, torch.ones(3), EPSILON).isnan().all())


def test_bfloat16_is_rounded_as_torch_rounds() -> None:
    gate = torch.full((4096,), 1e4, dtype=torch.bfloat16, requires_grad=True)  # silu(x) = x
    up = torch.linspace(-3, 3, 4096).bfloat16()
    exact = gate.detach().float() * up.float()
    assert torch.equal(swiglu(gate, up), exact.bfloat16())


CONFIGS: list[ModelConfig] = [
    preset(name, vocab_size=13, context_length=9, d_model=12, n_layers=2, n_heads=2, **more)
    for name, more in (
        ("nextword", {}),
        ("qwen3", {"n_kv_heads": 1}),
        ("llama", {"norm_placement": "after"}),
        ("llama", {"d_head": 5, "position": "learned", "query_key_norm": True}),  # odd heads
        ("gpt2", {}),
        ("gpt2", {"feed_forward": "geglu"}),
    )
]


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_a_decoder_learns_the_same_with_and_without_them(
    config: ModelConfig, documents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.randint(13, (3, 10), generator=torch.Generator().manual_seed(0))
    apart = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2]).repeat(3, 1) if documents else None

    def gradients() -> list[Tensor]:
        decoder = Decoder(config).train()
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
        logits = decoder(ids[:, :-1], documents=apart)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        return list(torch.autograd.grad(loss, list(decoder.parameters())))

    assert kernels(torch.float32) is not None
    fast = gradients()
    monkeypatch.setattr(ops, "reaches", lambda x: False)
    for one, other in zip(fast, gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
