"""A batch has the same gradients however it is split into shards, and bit for bit every time."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from nextword.config import Precision, TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels import fused_blocks
from nextword.model.decoder import Decoder
from nextword.model.loss import NO_LOSS
from nextword.presets import preset
from nextword.training.backends import data_parallel as module
from nextword.training.backends.data_parallel import Gradients, flops_per_token, n_shards

VOCABULARY, CONTEXT, ROWS = 11, 8, 5


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LEAST_WORK", "LEAST_WORK_WHOLE"):
        monkeypatch.setattr(module, name, 1.0)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def decoder(seed: int = 0) -> Decoder:
    sizes = {"d_model": 8, "n_layers": 2, "n_heads": 2}
    config = preset("nextword", vocab_size=VOCABULARY, context_length=CONTEXT, **sizes)
    made = Decoder(config, seed=seed).train()
    with torch.no_grad():  # first weights are zero in places, and so would gradients be
        for parameter in made.parameters():
            parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(seed))
    return made


def batch(*, documents: bool) -> module.Rows:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(VOCABULARY, (ROWS, CONTEXT + 1), generator=generator)
    targets = ids[:, 1:].clone()
    targets[0, :3] = NO_LOSS
    apart = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2]).repeat(ROWS, 1) if documents else None
    return ids[:, :-1], targets, apart


def found(*, shards: int | None, documents: bool = False) -> tuple[float, list[torch.Tensor]]:
    made, rows = decoder(), batch(documents=documents)
    exact = TrainingConfig(steps=1, precision="float32")
    work = Gradients(made, exact, rows=ROWS, context=CONTEXT, shards=shards)
    assert work.shards == (shards or 3)
    assert work.pool.n_threads == min(work.shards, torch.get_num_threads())
    loss = work.add(rows, known=int((rows[1] != NO_LOSS).sum()))
    return loss, [torch.as_tensor(parameter.grad) for parameter in made.parameters()]


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("shards", [None, 2, 5])
def test_shards_have_the_gradients_of_the_whole_batch(shards: int | None, documents: bool) -> None:
    loss, together = found(shards=1, documents=documents)
    again, apart = found(shards=shards, documents=documents)
    assert again == pytest.approx(loss, rel=1e-6)
    for one, other in zip(together, apart, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_they_are_the_same_every_time() -> None:
    first = found(shards=None)
    for _ in range(5):
        loss, again = found(shards=None)
        assert loss == first[0]
        assert all(map(torch.equal, again, first[1]))


def test_the_number_of_threads_changes_no_bit_of_the_gradients() -> None:
    """A run that is resumed with fewer threads goes on in the shards that it was begun with."""
    loss, expected = found(shards=3)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        again, gradients = found(shards=3)
        assert again == loss
        assert all(map(torch.equal, gradients, expected))


def test_parts_of_a_batch_add_up() -> None:
    made, rows = decoder(), batch(documents=False)
    work = Gradients(made, TrainingConfig(steps=1), rows=ROWS, context=CONTEXT)
    known = int((rows[1] != NO_LOSS).sum())
    loss = work.add(rows, known=known)
    once = [torch.as_tensor(parameter.grad).clone() for parameter in made.parameters()]
    assert work.add(rows, known=known) == loss
    for gradient, parameter in zip(once, made.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_what_goes_wrong_in_a_thread_is_told() -> None:
    tokens, targets, _ = batch(documents=False)
    work = Gradients(decoder(), TrainingConfig(steps=1), rows=ROWS, context=CONTEXT)
    with pytest.raises(IndexError):
        work.add((tokens + VOCABULARY, targets, None), known=1)


def test_torch_keeps_its_threads() -> None:
    found(shards=None)
    assert torch.get_num_threads() == 3


def test_more_threads_than_there_are_parameters() -> None:
    torch.set_num_threads(16)
    made = Decoder(preset("seed", vocab_size=VOCABULARY, context_length=CONTEXT, d_model=8))
    work = Gradients(made.train(), TrainingConfig(steps=1), rows=16, context=CONTEXT)
    assert work.shards == work.pool.n_threads == 16 > len(list(made.parameters()))
    tokens, targets, _ = batch(documents=False)
    work.add((tokens.repeat(4, 1)[:16], targets.repeat(4, 1)[:16], None), known=100)
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_a_batch_is_split_into_shards_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    made, plain = decoder(), TrainingConfig(steps=1)

    def shards(rows: int, training: TrainingConfig = plain) -> int:
        return n_shards(made, training, rows=rows, context=CONTEXT)

    assert shards(5) == 3
    assert shards(5, TrainingConfig(steps=1, dropout=0.1)) == (3 if fused_blocks.exist() else 1)
    assert shards(5, TrainingConfig(steps=1, compile="yes")) == 1
    assert shards(2) == 1  # two would leave the third thread idle
    assert shards(4) == 1  # and so would the second row of one shard
    work = flops_per_token(made, CONTEXT) * CONTEXT
    for name in ("LEAST_WORK", "LEAST_WORK_WHOLE"):
        monkeypatch.setattr(module, name, 2 * work)
    assert shards(6) == 3
    assert shards(5) == 1
    torch.set_num_threads(6)
    assert shards(6) == 3
    dropping = TrainingConfig(steps=1, dropout=0.1)
    assert shards(6, dropping) == 1  # torch would draw what is dropped
    monkeypatch.setattr(module, "LEAST_WORK_WHOLE", work)
    assert shards(6) == (6 if fused_blocks.exist() else 3)
    exact = TrainingConfig(steps=1, precision="float32")
    monkeypatch.setattr(module, "MOST_GRADIENTS", 3 * made.n_parameters)
    assert shards(6, exact) == 3
    monkeypatch.setattr(module, "MOST_GRADIENTS_SHORT", 3 * made.n_parameters)
    assert shards(6) == 3


def test_the_work_of_a_token_is_six_per_weight_and_attention() -> None:
    config = preset("llama", vocab_size=11, d_model=6, n_layers=2, n_heads=3, d_ff=7)
    weights = 2 * (4 * 6 * 6 + 3 * 6 * 7 + 2 * 6) + 6 + 11 * 6  # blocks, last norm, unembedding
    assert flops_per_token(Decoder(config), 5) == 6 * weights + 12 * 2 * 5 * 6


def test_int16_that_cannot_be_had_is_told() -> None:
    asked = TrainingConfig(steps=1, precision="int16", dropout=0.1)
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    with pytest.raises(ConfigError, match="without compile, of an architecture"):
        Gradients(decoder(), asked, rows=2, context=CONTEXT)  # on three threads
    made = decoder()
    Gradients(made, asked, rows=ROWS, context=CONTEXT)
    assert made.precision == "int16"


def learned(preset_name: str, training: TrainingConfig, threads: int) -> dict[str, torch.Tensor]:
    """The gradients of a batch that comes in two parts."""
    torch.set_num_threads(threads)
    sizes = {"d_model": 16, "n_layers": 2, "n_heads": 2}
    config = preset(preset_name, vocab_size=700, context_length=CONTEXT, **sizes)
    made = Decoder(config).train()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(3))
    work = Gradients(made, training, rows=6, context=CONTEXT)
    ids = torch.randint(700, (12, CONTEXT + 1), generator=torch.Generator().manual_seed(1))
    for part in ids.chunk(2):
        work.add((part[:, :-1], part[:, 1:], None), known=12 * CONTEXT)
    return {name: torch.as_tensor(each.grad) for name, each in made.named_parameters()}


def test_a_tied_embedding_has_the_gradient_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    assert preset("gpt2", vocab_size=9).tied_embeddings
    exact = TrainingConfig(steps=1, precision="float32")
    ours = learned("gpt2", exact, threads=3)
    monkeypatch.setattr(module, "goes_at_once", lambda *_: False)
    torchs = learned("gpt2", exact, threads=1)
    for name, gradient in torchs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(("precision", "share"), [("int16", 0.02), ("int8", 0.2)])
@pytest.mark.parametrize("name", ["gpt2", "nextword"])
def test_short_forms_made_together_are_those_that_each_thread_makes(
    name: str, precision: Precision, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    asked = TrainingConfig(steps=1, precision=precision)
    apart = learned(name, asked, threads=3)
    monkeypatch.setattr(module, "TOGETHER", 1)
    together = learned(name, asked, threads=3)
    for weight, gradient in apart.items():
        assert torch.equal(together[weight], gradient), weight
    exact = learned(name, dataclasses.replace(asked, precision="float32"), threads=3)
    for weight, gradient in exact.items():
        off = float((apart[weight] - gradient).norm() / gradient.norm())
        assert off < share or weight.endswith("key.bias"), weight  # whose gradient is 0
    assert not torch.equal(apart["token_embedding.weight"], exact["token_embedding.weight"])


def test_short_forms_follow_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    monkeypatch.setattr(module, "TOGETHER", 1)
    made, rows = decoder(), batch(documents=False)
    work = Gradients(made, TrainingConfig(steps=1, precision="int16"), rows=ROWS, context=CONTEXT)
    first = work.add(rows, known=1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.data.mul_(0.5)  # behind torch's back: it counts no change
    assert work.add(rows, known=1) != pytest.approx(first, rel=1e-3)


def test_a_decoder_that_is_judged_cannot_learn() -> None:
    torch.set_num_threads(1)
    made = decoder().eval()
    work = Gradients(made, TrainingConfig(steps=1), rows=ROWS, context=CONTEXT)
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    with pytest.raises(RuntimeError, match="not in training mode"):
        work.add(batch(documents=False), known=1)
