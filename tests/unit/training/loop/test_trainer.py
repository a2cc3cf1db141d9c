"""The loop: parts of a batch add up, packed is unpacked, and what is not finite changes nothing."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.small_runs import Notes, sentence, write_dialogues, write_text

from nextword.config import TrainingConfig
from nextword.data.corpus import open_corpus
from nextword.data.dialogue import Dialogue
from nextword.data.prepared import make_samples
from nextword.data.prompting import Prompting
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.errors import LossError
from nextword.evaluate.metrics import Scores
from nextword.model.decoder import Decoder
from nextword.model.loss import loss_sum
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.loop.step_budget import Pace
from nextword.training.loop.trainer import Trainer
from nextword.training.report.reporters import Quiet
from nextword.training.run.run_dir import Run

Maker = Callable[..., Trainer]


@pytest.fixture(params=["rows"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Shards, Tokenizer]:
    rows = request.param == "rows"
    path = write_dialogues(tmp_path / "a.jsonl") if rows else write_text(tmp_path / "a.txt")
    tokenizer = Tokenizer.learn([path.read_text()], kind="words")
    return prepare(open_corpus([path]), tokenizer, tmp_path / "shards"), tokenizer


@pytest.fixture
def make(
    shards: tuple[Shards, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Maker]:
    """Makes trainers, each in a folder of its own."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    runs: list[Run] = []
    part = whole(shards[0])

    def made(reporter: Quiet | None = None, **settings: Any) -> Trainer:
        values: dict[str, Any] = {"steps": 6, "batch_size": 4, "evaluate_every": 2}
        training = TrainingConfig(**values | {"device": "cpu"} | settings)
        config = preset(
            "qwen3", vocab_size=shards[1].vocab_size, context_length=17, d_model=8, n_heads=2
        )
        runs.append(Run.open(tmp_path / f"run {len(runs)}", {"a": 1}, warn=print))
        return Trainer(
            decoder=Decoder(config, seed=training.seed),
            training=training,
            samples=make_samples(shards[0], part, context=17, seed=3, learn=training.learn),
            held_out=make_samples(shards[0], part, context=17, seed=0),
            run=runs[-1],
            reporter=reporter or Quiet(),
            pace=Pace(training.steps),
        )

    yield made
    for run in runs:
        run.close()


def gradients(trainer: Trainer) -> tuple[float, dict[str, torch.Tensor]]:
    trainer.decoder.train()
    loss = trainer._work_out_gradients(0)
    found = {}
    for name, parameter in trainer.decoder.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad.clone()
    return loss, found


@pytest.mark.parametrize("shards", ["rows", "windows"], indirect=True)
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_add_up_to_the_whole(make: Maker, parts: int) -> None:
    loss, whole_gradients = gradients(make(precision="float32"))
    loss_of_parts, added = gradients(make(accumulate=parts, precision="float32"))
    assert loss_of_parts == pytest.approx(loss, abs=1e-5)
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(added[name], gradient, atol=1e-5, rtol=1e-5)


def test_packed_documents_have_the_losses_of_each_alone(
    make: Maker, shards: tuple[Shards, Tokenizer]
) -> None:
    trainer = make()
    decoder, tokenizer = trainer.decoder.eval(), shards[1]
    total, count = 0.0, 0
    for number in range(40):
        dialogue = Dialogue((sentence(number), sentence(number + 100)))
        ids = torch.tensor([Prompting(tokenizer).document(dialogue).ids])
        assert ids.shape[1] <= 17
        with torch.no_grad():
            total += loss_sum(decoder(ids[:, :-1]), ids[:, 1:]).item()
        count += ids.shape[1] - 1
    scores = trainer.final_scores()
    assert scores is not None
    assert scores.n_tokens == count
    assert scores.loss == pytest.approx(total / count, abs=1e-5)


def test_the_loss_is_the_mean_over_reply_tokens_when_only_those_are_learned(make: Maker) -> None:
    trainer = make(learn="replies", precision="float32")
    tokens, targets, documents = trainer.samples.batch(0, 4)
    decoder = trainer.decoder.eval()
    assert documents is not None
    with torch.no_grad():
        logits = decoder(torch.from_numpy(tokens), documents=torch.from_numpy(documents))
    shares = logits.double().log_softmax(dim=-1).numpy()
    rows, columns = np.nonzero(targets >= 0)
    losses = -shares[rows, columns, targets[rows, columns]]
    loss, _ = gradients(trainer)
    assert loss == pytest.approx(losses.mean(), abs=1e-5)
    assert len(losses) < (tokens >= 0).sum() / 2  # prompts and padding have none


def test_each_step_takes_the_next_samples_and_the_scheduled_rate(make: Maker) -> None:
    seen: list[tuple[int, int]] = []
    notes = Notes()
    trainer = make(notes, accumulate=2)
    batch = trainer.samples.batch

    def noted(first: int, count: int) -> Any:
        seen.append((first, count))
        return batch(first, count)

    trainer.samples.batch = noted  # type: ignore[method-assign]
    trainer.held_out = None
    trainer.fit()
    assert seen == [(first, 2) for first in range(0, 24, 2)]
    assert notes.steps == [1, 2, 3, 4, 5, 6]
    rates = [line["learning_rate"] for line in trainer.run.metrics()]
    assert rates[0] == pytest.approx(2e-2 / 1.12)
    assert rates[-1] == pytest.approx(2e-2 / 6.4)
    assert not trainer.decoder.training


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused_before_the_weights_change(
    make: Maker, poison: float
) -> None:
    trainer = make()
    with torch.no_grad():
        trainer.decoder.unembedding.weight[5, 3] = poison
    before = {name: tensor.clone() for name, tensor in trainer.decoder.state_dict().items()}
    with pytest.raises(LossError, match=r"step 1: .* samples 0 to 3 \(epoch 0, from number 0\)"):
        trainer.fit()
    for name, tensor in trainer.decoder.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7.0), before[name].nan_to_num(7.0)), name
    assert trainer.step == 0
    assert trainer.run.metrics() == []


def test_weights_that_are_not_finite_are_never_saved(make: Maker) -> None:
    trainer = make(checkpoint_every=2)

    def poison(step: int) -> None:
        if step == 4:
            trainer.decoder.unembedding.weight.data.fill_(math.inf)

    trainer.reporter = Notes(poison)
    trainer.held_out = None
    with pytest.raises(LossError, match=r"after step 4 the weights of unembedding\.weight"):
        trainer.fit()
    checkpoint = trainer.run.load()
    assert checkpoint is not None and checkpoint.step == 2
    assert trainer.resume() and trainer.step == 2
    trainer.reporter = Quiet()
    trainer.fit()
    assert trainer.step == 6


def test_dropout_depends_on_the_step_alone(make: Maker) -> None:
    def disturb(_: int) -> None:
        torch.manual_seed(5)

    losses = []
    for reporter in (None, Notes(disturb)):
        trainer = make(reporter, dropout=0.3)
        trainer.fit()
        losses.append([line["loss"] for line in trainer.run.metrics() if "loss" in line])
    assert losses[0] == losses[1]


def test_evaluations_and_samples_come_when_they_are_due(make: Maker) -> None:
    judged: list[int] = []
    spoken: list[int] = []

    class Ears(Quiet):
        def evaluated(self, step: int, scores: Scores) -> None:
            judged.append(step)

    trainer = make(Ears(), evaluate_every=2, sample_every=3, steps=7)
    trainer.show_sample = spoken.append
    trainer.fit()
    trainer.final_scores()
    assert judged == [2, 4, 6, 7]
    assert spoken == [3, 6]


def test_old_checkpoints_are_renewed_even_between_their_steps(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nextword.training.loop.trainer.SAVED_SECONDS", -1.0)
    trainer = make(checkpoint_every=100, steps=3)
    saved = []
    monkeypatch.setattr(Run, "save", lambda run, step, parts, state: saved.append(step))
    trainer.fit()
    assert saved == [1, 2, 3]
