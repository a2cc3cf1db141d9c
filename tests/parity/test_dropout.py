"""Dropout in C: what it drops is what torch would drop with the same masks, forward and back."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from nextword.config import TrainingConfig
from nextword.kernels import fused_blocks
from nextword.kernels.fused_blocks import KeptBlocks, dropped
from nextword.model import attention, whole
from nextword.model import decoder as decoders
from nextword.model.decoder import Decoder
from nextword.model.loss import NO_LOSS, loss_of
from nextword.presets import preset
from nextword.training.backends import data_parallel as learning
from nextword.training.backends.data_parallel import Gradients

BATCH, TOKENS, WIDTH, SHARE = 3, 7, 24, 0.3
KINDS: dict[str, dict[str, int]] = {
    "qwen3": {"n_kv_heads": 1},
    "gpt2": {},
    "seed": {},
    "llama": {"sliding_window": 4},
    "nextword": {},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(name: str, tokens: int = TOKENS) -> Decoder:
    sizes = {"d_model": WIDTH, "n_layers": 1 if name == "seed" else 2, "n_heads": 2}
    sizes = {"d_model": WIDTH} if name == "seed" else sizes
    config = preset(name, vocab_size=13, context_length=tokens, **sizes | KINDS[name])
    decoder = Decoder(config).train()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(std=0.4, generator=torch.Generator().manual_seed(3))
    decoder.dropout = SHARE
    return decoder


def rows(tokens: int = TOKENS) -> tuple[Tensor, Tensor, Tensor]:
    if tokens != TOKENS:
        ids = torch.randint(13, (BATCH, tokens + 1), generator=torch.Generator().manual_seed(1))
        return ids[:, :-1], ids[:, 1:], (torch.arange(tokens) // 90).expand(BATCH, tokens)
    ids = torch.randint(13, (BATCH, TOKENS + 1), generator=torch.Generator().manual_seed(1))
    targets = ids[:, 1:].clone()
    targets[1, 2] = NO_LOSS
    apart = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0] * 7, [0, 0, 0, 0, 0, 1, 1]])
    return ids[:, :-1], targets, apart


class Masks:
    """In place of torch's dropout: what the seeds of C say, in the order in which it is asked."""

    def __init__(self, seeds: list[int], *, feeds: bool) -> None:
        entry, *rest = seeds
        self.left = [entry]
        for added, raised, looked in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
            self.left += [looked, added, raised] if feeds else [looked, added]

    def __call__(self, x: Tensor, share: float) -> Tensor:
        assert share == SHARE
        return x * dropped(torch.ones(x.shape), SHARE, self.left.pop(0))


@pytest.mark.parametrize(
    ("name", "length"), [*((name, TOKENS) for name in KINDS), ("llama", 150), ("gpt2", 150)]
)  # in the longer ones there are several groups of rows and blocks of queries
def test_it_drops_what_torch_would(name: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, (tokens, targets, documents) = made(name, length), rows(length)
    kept = KeptBlocks(whole.weights_of(decoder.blocks))
    kept.drop(SHARE, seed=5)
    known = torch.tensor(20.0)
    loss = loss_of(decoder, tokens, targets, documents, known=known, kept=kept)
    inside = {id(weight) for weight in kept.weights}
    outside = [each for each in decoder.parameters() if id(each) not in inside]
    found = dict(zip(map(id, outside), torch.autograd.grad(loss, outside), strict=True))
    for weight, gradient in zip(kept.weights, kept.gradients.of_weights, strict=True):
        if weight is not None and gradient is not None:
            found[id(weight)] = gradient
    assert kept.entered and kept.dropout is not None

    masks = Masks(kept.dropout.seeds, feeds=decoder.config.feed_forward != "none")
    monkeypatch.setattr(decoders, "choose_kernel", lambda **_: "explicit")
    for room in (decoders, attention):
        monkeypatch.setattr(room.F, "dropout", masks)
    expected = loss_of(decoder, tokens, targets, documents, known=known)
    assert masks.left == []
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    names = dict(decoder.named_parameters())
    wanted = torch.autograd.grad(expected, list(names.values()))
    for (which, parameter), gradient in zip(names.items(), wanted, strict=True):
        torch.testing.assert_close(found[id(parameter)], gradient, rtol=1e-3, atol=1e-5, msg=which)


def test_products_of_int16_drop_the_same() -> None:
    losses, gradients = [], []
    for bits in (0, 16):
        decoder, (tokens, targets, documents) = made("llama", 150), rows(150)
        decoder.short_bits = bits
        kept = KeptBlocks(whole.weights_of(decoder.blocks))
        kept.drop(SHARE, seed=5)
        known = torch.tensor(20.0)
        loss = loss_of(decoder, tokens, targets, documents, known=known, kept=kept)
        torch.autograd.grad(loss, [decoder.token_embedding.weight])
        losses.append(loss.item())
        gradients.append(kept.gradients.all.clone())
    assert losses[1] == pytest.approx(losses[0], rel=0.01) and losses[1] != losses[0]
    exact, short = gradients
    assert float((short - exact).norm() / exact.norm()) < 0.05


def test_a_share_is_dropped_and_the_sum_stays() -> None:
    for share in (0.1, 0.5, 0.9):
        first, again, other = (dropped(torch.ones(101, 997), share, seed) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert (first == 0).float().mean() == pytest.approx(share, abs=0.005)
        assert first.mean() == pytest.approx(1.0, abs=0.05)
        assert torch.unique(first).tolist() == pytest.approx([0.0, 1 / (1 - share)])
        both = ((first == 0) & (other == 0)).float().mean()
        assert both == pytest.approx(share**2, abs=0.005)  # each for itself
        beside = ((first[:, 1:] == 0) & (first[:, :-1] == 0)).float().mean()
        assert beside == pytest.approx(share**2, abs=0.005)


def test_in_shards_it_is_the_same_every_time_and_another_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "LEAST_WORK_WHOLE", 1.0)
    torch.set_num_threads(3)

    def found(seed: int) -> list[Tensor]:
        decoder = made("qwen3")
        training = TrainingConfig(steps=1, dropout=SHARE)
        work = Gradients(decoder, training, rows=BATCH, context=TOKENS)
        assert work.shards == 3
        torch.manual_seed(seed)
        work.add(rows(), known=20)
        return [torch.as_tensor(each.grad).clone() for each in decoder.parameters()]

    first, again, other = found(1), found(1), found(2)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_without_dropout_nothing_is_dropped() -> None:
    decoder = made("qwen3")
    decoder.dropout = 0.0
    tokens, targets, documents = rows()
    kept = KeptBlocks(whole.weights_of(decoder.blocks))
    known = torch.tensor(20.0)
    loss = loss_of(decoder, tokens, targets, documents, known=known, kept=kept)
    decoder.eval()
    plain = nn.functional.cross_entropy(
        decoder(tokens, documents=documents).flatten(0, 1),
        targets.flatten(),
        ignore_index=NO_LOSS,
        reduction="sum",
    )
    torch.testing.assert_close(loss, plain / known, rtol=1e-5, atol=1e-6)
