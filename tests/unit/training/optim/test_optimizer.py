"""The optimizer: who turns which weight, and a state that can be put away and taken up."""

import math
import subprocess
import sys

import pytest
import torch

from nextword.config import TrainingConfig
from nextword.errors import CheckpointError
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.training.backends.thread_pool import ThreadPool
from nextword.training.optim.optimizer import Optimizer

IDS = torch.tensor([[3, 1, 4, 1, 5]])


def make(
    optimizer: str = "muon", *, model: str = "gpt2", rate: float = 3e-3
) -> tuple[Decoder, Optimizer]:
    config = preset(model, vocab_size=11, context_length=5, d_model=8, n_layers=2, n_heads=2)
    decoder = Decoder(config, seed=1)
    training = TrainingConfig(
        steps=10,
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=rate,
        weight_decay=0.1,
    )
    return decoder, Optimizer(decoder, training)


def one_step(decoder: Decoder, optimizer: Optimizer, share: float = 1.0) -> None:
    optimizer.forget_gradients()
    decoder(IDS).square().mean().backward()
    optimizer.step(share)


def weights(decoder: Decoder) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in decoder.named_parameters()}


def test_muon_has_the_matrices_of_the_blocks_and_adamw_the_rest() -> None:
    decoder, optimizer = make()
    one_step(decoder, optimizer)
    by_muon = {
        path.split("/")[0] for path in optimizer.tensors() if path.endswith("momentum_buffer")
    }
    assert by_muon == {
        name
        for name, tensor in decoder.named_parameters()
        if name.startswith("blocks.") and tensor.dim() == 2
    }
    by_adamw = {path.split("/")[0] for path in optimizer.tensors() if path.endswith("/exp_avg")}
    assert by_adamw == set(dict(decoder.named_parameters())) - by_muon


def test_adamw_alone_has_them_all() -> None:
    decoder, optimizer = make("adamw")
    one_step(decoder, optimizer)
    assert {path.rpartition("/")[2] for path in optimizer.tensors()} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
    }


def test_the_first_step_of_adamw_is_the_learning_rate_towards_the_smaller_loss() -> None:
    decoder, optimizer = make("adamw", rate=0.01)
    before = weights(decoder)
    one_step(decoder, optimizer, share=0.5)
    for name, tensor in decoder.named_parameters():
        assert tensor.grad is not None
        decays = name.startswith("blocks.") and tensor.dim() > 1
        decayed = before[name] * (1 - 0.005 * 0.1) if decays else before[name]
        expected = decayed - 0.005 * tensor.grad / (tensor.grad.abs() + 1e-8)
        torch.testing.assert_close(tensor.detach(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("model", ["gpt2", "qwen3", "seed"])
def test_a_state_put_away_and_taken_up_goes_on_to_the_same_weights(kind: str, model: str) -> None:
    if model == "seed":
        config = preset("seed", vocab_size=11, context_length=5, d_model=6)
        decoder = Decoder(config, seed=1)
        optimizer = Optimizer(decoder, TrainingConfig(steps=9, optimizer=kind))  # type: ignore[arg-type]
        other = Decoder(config, seed=2)
        later = Optimizer(other, TrainingConfig(steps=9, optimizer=kind))  # type: ignore[arg-type]
    else:
        decoder, optimizer = make(kind, model=model)
        other, later = make(kind, model=model)
    for _ in range(3):
        one_step(decoder, optimizer)
    other.load_state_dict(decoder.state_dict())
    kept = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    later.load(kept)
    for _ in range(3):
        one_step(decoder, optimizer)
        one_step(other, later)
    for name, tensor in weights(decoder).items():
        assert torch.equal(tensor, dict(other.named_parameters())[name]), name
    assert all(torch.equal(kept[name], tensor) for name, tensor in kept.items())


def test_what_was_loaded_is_not_changed_by_later_steps() -> None:
    decoder, optimizer = make()
    one_step(decoder, optimizer)
    kept = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    copy = {name: tensor.clone() for name, tensor in kept.items()}
    optimizer.load(kept)
    one_step(decoder, optimizer)
    assert all(torch.equal(kept[name], copy[name]) for name in kept)


def test_the_state_of_another_model_is_refused() -> None:
    decoder, optimizer = make(model="gpt2")
    one_step(decoder, optimizer)
    _, other = make(model="qwen3")
    with pytest.raises(CheckpointError, match="position_embedding"):
        other.load(optimizer.tensors())


def test_queries_and_keys_of_unscaled_scores_take_smaller_steps() -> None:
    config = preset("seed", vocab_size=11, context_length=5, d_model=16)
    decoder = Decoder(config, seed=1)
    optimizer = Optimizer(decoder, TrainingConfig(steps=10, weight_decay=0.0))
    before = weights(decoder)
    for parameter in decoder.parameters():
        parameter.grad = (
            torch.eye(16) if parameter.shape == (16, 16) else torch.ones_like(parameter)
        )
    optimizer.step(1.0)
    moved = {
        name.split(".")[-2]: (tensor - before[name]).norm().item()
        for name, tensor in weights(decoder).items()
        if name.startswith("blocks.")
    }
    assert moved["query"] / moved["value"] == pytest.approx(0.5, rel=1e-3)  # 16 ** -0.25
    assert moved["key"] / moved["value"] == pytest.approx(0.5, rel=1e-3)


def test_the_steps_of_adamw_are_those_of_torch() -> None:
    decoder, optimizer = make("adamw", model="qwen3", rate=0.01)
    twin, _ = make("adamw", model="qwen3", rate=0.01)
    decaying: list[torch.Tensor] = []
    lasting: list[torch.Tensor] = []
    for name, parameter in twin.named_parameters():
        decays = name.startswith("blocks.") and parameter.dim() > 1
        (decaying if decays else lasting).append(parameter)
    reference = torch.optim.AdamW(
        [
            {"params": decaying, "weight_decay": 0.1},
            {"params": lasting, "weight_decay": 0.0},
        ],
        lr=0.005,
        betas=(0.9, 0.95),
    )
    for _ in range(5):
        one_step(decoder, optimizer, share=0.5)
        twin.zero_grad()
        twin(IDS).square().mean().backward()
        reference.step()
    for name, tensor in weights(decoder).items():
        torch.testing.assert_close(tensor, weights(twin)[name], atol=1e-6, rtol=1e-5)


def test_neither_making_one_nor_a_decoder_loads_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from nextword.config import TrainingConfig\n"
        "from nextword.training.optim.optimizer import Optimizer\n"
        "from nextword.model.decoder import Decoder\n"
        "from nextword.presets import preset\n"
        "decoder = Decoder(preset('qwen3', vocab_size=7, d_model=8, n_heads=2))\n"
        "optimizer = Optimizer(decoder, TrainingConfig(steps=1))\n"
        "decoder(torch.tensor([[1, 2]])).sum().backward()\n"
        "optimizer.step(1.0)\n"
        "with torch.device('meta'):\n"
        "    Decoder(decoder.config)\n"
        "print({'torch._dynamo', 'sympy'} & set(sys.modules))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


@pytest.mark.parametrize("largest", [0.01, 100.0, math.inf])
def test_the_gradient_is_shortened_as_torch_does(largest: float) -> None:
    (decoder, optimizer), (twin, other) = make(), make()
    for _ in range(2):  # what is shortened once is not shortened for good
        for each in (decoder, twin):
            each.zero_grad()
            each(IDS).square().mean().backward()
        length = optimizer.clip(largest)
        expected = torch.nn.utils.clip_grad_norm_(twin.parameters(), largest)
        assert length == pytest.approx(expected.item(), rel=1e-6)
        assert 0.01 < length < 100
        optimizer.step(1.0)
        other.step(1.0)
    for ours, theirs in zip(decoder.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
        torch.testing.assert_close(ours, theirs)


def test_what_another_optimizer_remembers_is_refused() -> None:
    decoder, optimizer = make("muon")
    one_step(decoder, optimizer)
    with pytest.raises(CheckpointError, match="go on with the optimizer that it was begun with"):
        make("adamw")[1].load(optimizer.tensors())


@pytest.mark.parametrize("count", [3, 64])
@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_shards_of_the_weights_take_the_steps_of_the_whole(kind: str, count: int) -> None:
    (decoder, alone), (twin, _) = make(kind), make(kind)
    training = TrainingConfig(steps=10, optimizer=kind, learning_rate=3e-3, weight_decay=0.1)  # type: ignore[arg-type]
    together = Optimizer(twin, training, ThreadPool(count), shards=count)
    for _ in range(3):
        lengths = []
        for each, optimizer in ((decoder, alone), (twin, together)):
            optimizer.forget_gradients()
            each(IDS).square().mean().backward()
            lengths.append(optimizer.clip(0.01))
            optimizer.step(0.5)
        assert lengths[1] == pytest.approx(lengths[0], rel=1e-5)
    for name, tensor in weights(decoder).items():
        torch.testing.assert_close(weights(twin)[name], tensor, atol=1e-6, rtol=1e-5)
    remembered = alone.tensors()
    assert remembered.keys() == together.tensors().keys()
    together.load({name: tensor + 1 for name, tensor in remembered.items()})
    for name, tensor in together.tensors().items():
        torch.testing.assert_close(tensor, remembered[name] + 1)
