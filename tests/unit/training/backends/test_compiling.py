"""When a step is compiled, and that compiling changes nothing but the speed."""

import pytest
import torch

from nextword.config import Compile, TrainingConfig
from nextword.errors import ConfigError
from nextword.model.decoder import Decoder
from nextword.model.loss import loss_of
from nextword.presets import preset
from nextword.training.backends import compiling
from nextword.training.backends.compiling import has_compiler, loss_function, settle


@pytest.fixture
def with_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)


@pytest.mark.usefixtures("with_compiler")
@pytest.mark.parametrize(
    ("asked", "seconds", "decided"),
    [
        ("auto", 500.0, "no"),  # 8 % of it is 40 s, and compiling takes as much
        ("auto", 501.0, "yes"),
        ("yes", 1.0, "yes"),
        ("no", 1e6, "no"),
    ],
)
def test_it_is_compiled_where_it_earns_its_time(
    asked: Compile, seconds: float, decided: str
) -> None:
    training = TrainingConfig(steps=7, compile=asked)
    settled, why = settle(training, seconds=seconds)
    assert settled.compile == decided
    assert (why is not None) == (decided == "yes")


@pytest.mark.usefixtures("with_compiler")
@pytest.mark.parametrize(("asked", "decided"), [("auto", "no"), ("yes", "yes")])
def test_it_is_not_compiled_unasked_where_rows_are_dealt_out(asked: Compile, decided: str) -> None:
    settled, _ = settle(TrainingConfig(steps=7, compile=asked), seconds=1e6, fast=True)
    assert settled.compile == decided


@pytest.mark.usefixtures("with_compiler")
def test_what_it_takes_and_saves_is_said() -> None:
    _, why = settle(TrainingConfig(steps=7), seconds=1000.0)
    assert why == "compiled: takes up to 40 s, saves about 80 of 1,000 s"


def test_without_a_compiler_auto_goes_on_and_yes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not has_compiler()
    settled, why = settle(TrainingConfig(steps=7), seconds=1e6)
    assert (settled.compile, why) == ("no", None)
    with pytest.raises(ConfigError, match="no C\\+\\+ compiler"):
        settle(TrainingConfig(steps=7, compile="yes"), seconds=1.0)


def test_an_uncompiled_step_is_the_plain_function() -> None:
    assert loss_function(TrainingConfig(steps=7, compile="no")) is loss_of


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch, in itself
@pytest.mark.skipif(not has_compiler(), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("name", ["gpt2", "qwen3"])
def test_compiled_and_plain_steps_agree(name: str) -> None:
    config = preset(name, vocab_size=11, context_length=13, d_model=24, n_layers=2, n_heads=2)
    ids = torch.randint(0, 11, (3, 14), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[0] * 5 + [1] * 8] * 3)
    results = []
    asked: Compile
    for asked in ("no", "yes"):
        decoder = Decoder(config, seed=1).train()
        with torch.no_grad():
            for parameter in decoder.parameters():  # none may be zero: gradients everywhere
                parameter.add_(0.02)
        function = loss_function(TrainingConfig(steps=7, compile=asked))
        loss = function(decoder, ids[:, :-1], ids[:, 1:], documents)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in decoder.parameters()]
        assert all(gradient is not None for gradient in gradients)
        results.append([loss.detach(), *gradients])
    for plain, compiled in zip(*results, strict=True):
        # Sums over many tokens are rounded apart, those that are 0 (a key's bias) as well.
        least = 2e-5 + 1e-4 * float(plain.detach().abs().max())
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=least)
