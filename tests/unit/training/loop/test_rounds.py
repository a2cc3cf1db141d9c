"""Where the aim is to answer, a run measures other phrasings, then learns all that was given."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.repeated_replies import FIRST, SECOND, write_repeated_replies, write_talks
from tests.small_runs import Notes, quick, request

from nextword.common.files import read_json
from nextword.data.prepared import Prepared
from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards
from nextword.evaluate.exact_replies import AnswerScores, GivenPairs, count_answers, given_pairs
from nextword.evaluate.metrics import Update
from nextword.model.decoder import Decoder
from nextword.model.loss import loss_sum
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.loop import rounds
from nextword.training.loop.trainer import Trainer
from nextword.training.pipeline import train
from nextword.training.plan.dialogue_plan import REFIT_PEAK
from nextword.training.plan.plan import Plan

SURE = {  # to learn ten replies in a moment
    "batch_size": 8,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "learning_rate": 2e-2,
    "muon_learning_rate": 4e-2,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    return write_repeated_replies(tmp_path / "dialogues.jsonl")


class Rates(Notes):
    """Keeps what is told of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[Update] = []

    def update(self, update: Update) -> None:
        super().update(update)
        self.updates.append(update)

    @property
    def shares(self) -> list[float]:
        """Of the run's learning rate, step by step; AdamW's beside Muon is 0.02."""
        return [update.learning_rate / 0.02 for update in self.updates]


@dataclasses.dataclass
class Step:
    """What a step began with."""

    round: int
    dropout: float
    tokens: list[list[int]]  # of its batch
    norm: float  # of its batch's gradient, without dropout and label smoothing

    @property
    def dialogues(self) -> set[tuple[int, ...]]:
        """Those in its batch; each has 8 tokens, so two fill a row of 16."""
        return {tuple(row[at : at + 8]) for row in self.tokens for at in (0, 8)}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every step that is taken from now on."""
    taken: list[Step] = []
    one_step = Trainer._one_step

    def noted(trainer: Trainer) -> None:
        size = trainer.training.batch_size
        first = (trainer.step - trainer.round.first_step) * size
        tokens, targets, documents = map(torch.as_tensor, trainer.samples.batch(first, size))
        decoder = trainer.decoder.eval()
        loss = loss_sum(decoder(tokens, documents=documents), targets) / (targets >= 0).sum()
        gradients = torch.autograd.grad(loss, list(decoder.parameters()))
        norm = torch.stack([each.norm() for each in gradients]).norm().item()
        taken.append(Step(trainer.round.number, decoder.dropout, tokens.tolist(), norm))
        decoder.train()
        one_step(trainer)

    monkeypatch.setattr(Trainer, "_one_step", noted)
    return taken


def at_the_border(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[Trainer, Prepared], None]
) -> None:
    """Look at a run whose first round is over."""

    def later(trainer: Trainer, data: Prepared, plan: Plan, **values: Any) -> None:
        look(trainer, data)
        rounds.train_later_rounds(trainer, data, plan, **values)

    monkeypatch.setattr("nextword.training.pipeline.train_later_rounds", later)


def spans_of(shards: Shards, part: Part) -> set[tuple[int, ...]]:
    return {tuple(shards.tokens(start, stop).tolist()) for start, stop in part.spans.tolist()}


# What the rounds learn from, and how


def test_what_is_held_out_is_learned_in_the_second_round_alone(
    dialogues: Path, tmp_path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[set[tuple[int, ...]], set[tuple[int, ...]]]] = []

    def look(trainer: Trainer, data: Prepared) -> None:
        assert data.held_out is not None
        found.append((spans_of(data.shards, data.train), spans_of(*data.held_out)))

    at_the_border(monkeypatch, look)
    train(request(dialogues, tmp_path / "out", steps=30))
    ((learned, held_out),) = found
    assert (len(learned), len(held_out)) == (36, 4)
    first, second = (
        set.union(*(step.dialogues for step in steps if step.round == number)) for number in (0, 1)
    )
    assert [step.round for step in steps] == [0] * 24 + [1] * 6  # 6 × 4 rows: more than all 20
    assert first == learned
    assert second == learned | held_out


@pytest.mark.parametrize("setting", [{"dropout": 0.5}, {"label_smoothing": 0.3}])
def test_the_second_round_is_without_dropout_and_label_smoothing(
    setting: dict[str, float], dialogues: Path, tmp_path: Path, steps: list[Step]
) -> None:
    told = Rates()
    train(request(dialogues, tmp_path / "out", training=setting), reporter=told)
    assert len(steps) == len(told.updates) == FIRST + SECOND
    shares = [
        update.gradient_norm / step.norm for step, update in zip(steps, told.updates, strict=True)
    ]
    assert min(abs(share - 1) for share in shares[2:FIRST]) > 1e-3  # once it knows something
    assert shares[FIRST:] == pytest.approx([1.0] * SECOND, rel=1e-5)
    dropout = setting.get("dropout", 0.0)
    assert [step.dropout for step in steps] == [dropout] * FIRST + [0.0] * SECOND


def test_the_learning_rate_falls_to_zero_twice(dialogues: Path, tmp_path: Path) -> None:
    told = Rates()
    train(request(dialogues, tmp_path / "out"), reporter=told)
    # of 9 steps, 0.18 warm up and the last 8.1 fall; of 3 steps, 0.06 and 2.7
    first = [min(1, (step + 1) / 1.18, (9 - step) / 9.1) for step in range(9)]
    second = [REFIT_PEAK * (3 - step) / 3.7 for step in range(3)]
    assert told.shares == pytest.approx(first + second)
    assert told.shares[FIRST] > 2 * told.shares[FIRST - 1]


def test_the_optimizer_goes_on_with_what_it_remembers(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_round = Trainer.begin_round
    compared: list[str] = []

    def compare(trainer: Trainer, steps: int, **values: Any) -> None:
        before = {name: each.clone() for name, each in trainer._optimizer.tensors().items()}
        optimizer = trainer._optimizer
        begin_round(trainer, steps, **values)
        assert trainer._optimizer is not optimizer  # another, since dropout is off now
        after = trainer._optimizer.tensors()
        assert after.keys() == before.keys()
        for name, tensor in before.items():
            assert torch.equal(after[name], tensor), name
            compared.append(name)
        assert any(bool(tensor.any()) for tensor in before.values())

    monkeypatch.setattr(Trainer, "begin_round", compare)
    train(request(dialogues, tmp_path / "out", training={"dropout": 0.2}))
    assert compared


# What is measured at the border


def test_other_phrasings_are_measured_before_they_are_learned(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    border = 72  # 18 of 90 steps are the second round's
    measured: list[AnswerScores] = []
    runs: list[tuple[Trainer, Prepared]] = []

    def measure(trainer: Trainer, data: Prepared) -> None:
        assert data.held_out is not None
        given = given_pairs(*data.held_out, context=16)
        measured.append(count_answers(trainer.decoder, data.tokenizer, given))
        runs.append((trainer, data))

    at_the_border(monkeypatch, measure)
    asked = request(dialogues, tmp_path / "out", steps=90, held_out=0.25, training=SURE)
    trained = train(asked)
    measure(*runs[0])
    before, after = measured
    assert trained.phrasings == before
    assert (before.n_pairs, before.n_generated) == (10, 10)
    assert before.n_exact < after.n_exact
    assert trained.answers is not None and trained.answers.n_pairs == 40
    assert trained.answers.n_exact >= after.n_exact
    assert trained.scores is not None
    assert runs[0][0].findings == {
        "phrasings": dataclasses.asdict(before) | {"step": border},
        "scores": dataclasses.asdict(trained.scores),
    }
    assert trained.held_out_until == border
    assert any(f"by the model after step {border}; they" in line for line in trained.lines())
    finished = read_json(tmp_path / "out" / "training" / "finished.json")
    assert (finished["held_out_until"], finished["steps"]) == (border, 90)


def test_the_held_out_loss_is_measured_up_to_the_border_and_no_more(
    dialogues: Path, tmp_path: Path
) -> None:
    trained = train(request(dialogues, tmp_path / "out", steps=90, training=SURE))
    text = (tmp_path / "out" / "training" / "metrics.jsonl").read_text()
    lines = [line for line in map(json.loads, text.splitlines()) if "held_out_loss" in line]
    assert trained.scores is not None
    at_border = [line["held_out_loss"] for line in lines if line["step"] == 72]
    assert at_border == [trained.scores.loss]
    assert lines[-1]["step"] == 72  # from then on it is learned, too


def test_what_is_asked_as_another_phrasing_was_not_learned_in_the_first_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first prompt of dialogues that begin alike is known from those that are learned."""
    asked: list[set[tuple[int, ...]]] = []
    learned: list[set[tuple[int, ...]]] = []

    def counted(
        decoder: Decoder, tokenizer: Tokenizer, given: GivenPairs, **_: object
    ) -> AnswerScores:
        asked.append({pair.prompt for pair in given.answerable})
        return count_answers(decoder, tokenizer, given)

    def look(_: Trainer, data: Prepared) -> None:
        given = given_pairs(data.shards, data.train, context=16)
        learned.append({pair.prompt for pair in given.answerable})

    at_the_border(monkeypatch, look)
    monkeypatch.setattr(rounds, "count_answers", counted)
    train(request(write_talks(tmp_path / "talks.jsonl"), tmp_path / "out", steps=2))
    assert asked[0] and learned[0]
    assert not asked[0] & learned[0]
