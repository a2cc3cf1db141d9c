"""The end of a run: measured as it says, and advice from what was measured."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from tests.small_runs import (
    WORDS,
    Notes,
    quick,
    request,
    write_dialogues,
    write_text,
)
from torch.nn import functional as F

import nextword
from nextword.common.files import read_json
from nextword.data.samples.datasets import Samples, Windows
from nextword.data.samples.document_hashes import content_keys
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.split_by_content import split_by_content
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import Shards
from nextword.training.loop.trainer import Trainer
from nextword.training.pipeline import train
from nextword.training.report import final_evaluation
from nextword.training.report.final_evaluation import curve_end
from nextword.training.report.summary import Trained
from nextword.training.run.run_dir import Run


@torch.no_grad()
def mean_loss(out: Path, samples: Samples, *, count: int) -> float:
    """Of the model in a folder, row by row."""
    decoder = nextword.load(out).decoder
    losses: list[float] = []
    for index in range(count):
        sample = samples.sample(0, index)
        documents = torch.from_numpy(sample.documents)[None]
        logits = decoder(torch.from_numpy(sample.tokens)[None], documents=documents)[0]
        targets = torch.from_numpy(sample.targets)
        known = targets >= 0
        losses += F.cross_entropy(logits[known], targets[known], reduction="none").tolist()
    return float(np.mean(losses))


def learned_from(out: Path, *, context: int) -> tuple[Shards, Any]:
    shards = Shards(out / "training" / "data" / "train")
    keys = content_keys(shards, whole(shards), nextword.load(out).tokenizer)
    part, _ = split_by_content(shards, keys, share=0.1, seed=0, context_length=context)
    return shards, part


def test_the_training_loss_is_that_of_as_much_training_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    out = tmp_path / "out"
    trained = train(request(write_text(tmp_path / "a.txt", 400), out, context=37))
    shards, part = learned_from(out, context=37)
    windows = Windows(shards, context_length=37, seed=0, part=part)
    assert trained.scores is not None and trained.scores.n_tokens % 37 == 0
    count = trained.scores.n_tokens // 37
    assert 1 < count < windows.n_samples(0)
    assert trained.training_loss == pytest.approx(mean_loss(out, windows, count=count), rel=1e-5)
    assert trained.parroting is not None and trained.parroting.searched == 1
    monkeypatch.setattr(final_evaluation, "MOST_TRAINING", 37)
    again = train(request(tmp_path / "a.txt", out, context=37), fresh=True)
    assert again.training_loss == pytest.approx(mean_loss(out, windows, count=1), rel=1e-5)


def test_of_dialogues_it_is_that_of_as_many_learned_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    out = tmp_path / "out"
    settings = {"learn": "replies", "talks": 1.0}
    data = write_dialogues(tmp_path / "a.jsonl", 90)
    trained = train(request(data, out, training=settings, aim="generalize"))
    shards, part = learned_from(out, context=16)
    rows = Rows(shards, context_length=16, seed=0, part=part, learn="replies")
    targets = rows.batch(0, rows.n_samples(0))[1]
    assert trained.scores is not None
    count = int(np.ceil(trained.scores.n_tokens / (targets >= 0).sum(axis=1).mean()))
    assert 1 < count < rows.n_samples(0) <= 256
    assert trained.training_loss == pytest.approx(mean_loss(out, rows, count=count), rel=1e-5)


def test_what_was_measured_is_kept_and_written_into_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    out = tmp_path / "out"
    data = write_text(tmp_path / "a.txt", 1500)
    trained = train(request(data, out, context=37))
    assert trained.advice is not None
    assert trained.scores is not None and trained.scores.n_tokens > 500
    assert trained.advice.startswith("more steps (--steps, --minutes): it learned from only ")
    kept = read_json(out / "training" / "finished.json")
    assert kept["advice"] == trained.advice
    assert kept["training_loss"] == trained.training_loss
    assert trained.parroting is not None
    assert kept["parroting"]["n_outputs"] == trained.parroting.n_outputs > 1
    card = (out / "README.md").read_text()
    assert f"| training loss, measured in the same way | {trained.training_loss:.4f} |" in card
    assert "outputs that stand word for word in the training text" in card
    assert "Advice: more steps" in card


@pytest.mark.parametrize("held_out", [0.0, None])
def test_three_dialogues_leave_nothing_to_judge_by(
    held_out: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data = write_dialogues(tmp_path / "a.jsonl", 3)
    settings: dict[str, Any] = {"aim": "generalize", "training": {"batch_size": 1}}
    trained = train(request(data, tmp_path / "out", held_out=held_out, **settings))
    assert (trained.scores, trained.training_loss, trained.parroting) == (None, None, None)
    assert trained.lines()[1:-1] == [
        "advice: hold something out (--held-out 0.1, or more different dialogues): nobody can "
        "tell what it learned from what it repeats"
    ]


def curve(*losses: float | None, step: int) -> Trainer:
    lines = [{"step": 10 * n, "held_out_loss": loss} for n, loss in enumerate(losses, 1)]
    lines.insert(1, {"step": 11, "loss": 0.1})
    return cast(Trainer, SimpleNamespace(run=SimpleNamespace(metrics=lambda: lines), step=step))


def test_the_lowest_of_the_curve_and_the_rise_since() -> None:
    lowest_at, rise = curve_end(curve(4.0, 2.0, 2.5, 2.25, 9.0, step=50))
    assert (lowest_at, rise) == (20, 0.125)
    assert curve_end(curve(4.0, 3.0, 2.0, 1.0, step=40)) == (30, 0.0)  # the last does not count
    assert curve_end(curve(4.0, step=10)) == (0, 0.0)
    assert curve_end(curve(None, 3.0, step=30)) == (20, 0.0)


def test_the_time_for_it_is_a_share_of_the_run_and_of_what_is_left() -> None:
    def seconds(ends: float | None, spent: float) -> float:
        pace = SimpleNamespace(ends=ends, seconds=spent)
        return final_evaluation._seconds(cast(Trainer, SimpleNamespace(pace=pace)))

    now = time.monotonic()
    assert seconds(None, 100.0) == float("inf")
    assert seconds(now + 60, 100.0) == 1.0
    assert seconds(now - 1, 100.0) == 0.0
    assert 0 < seconds(now + 1, 1000.0) <= 0.5


def test_a_run_with_minutes_is_judged_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    monkeypatch.setattr("nextword.training.plan.plan.MARGIN_SECONDS", 0.2)
    data = write_text(tmp_path / "a.txt", 400)
    timed = request(data, tmp_path / "out", steps=None, minutes=0.02, context=37)
    trained = train(timed)
    assert trained.parroting is not None and trained.training_loss is not None


def long_prompts(path: Path, *, reply: str = "answer {}") -> Path:
    lines = [
        json.dumps({"prompt": f"{'where is the cat ' * 9}{n}", "reply": reply.format(n)})
        for n in range(30)
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("aim", ["answers", "generalize"])
def test_nothing_is_said_of_replies_where_none_could_be_measured(
    aim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data, notes = long_prompts(tmp_path / "a.jsonl"), Notes()
    trained = train(request(data, tmp_path / "out", aim=aim), reporter=notes)
    assert any("30 of 30 dialogues, which are cut; 30 prompts lose" in line for line in notes.notes)
    lines = trained.lines()
    assert not any(" of 0 " in line or line.startswith("of ") for line in lines)
    assert any(line.startswith("no reply could be measured") for line in lines)
    n = 30 if aim == "answers" else 3
    assert trained.advice == (
        f"a longer context (--context): none of {n} replies fits into it after its prompt"
    )
    card = (tmp_path / "out" / "README.md").read_text()
    assert "replies as given" not in card and "exactly as expected" not in card
    assert Trained.earlier(Run(tmp_path / "out", held=ExitStack(), warn=print)).lines() == lines


def test_where_every_prompt_has_several_replies_none_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"prompt": "who", "reply": "{w}"}}\n' for w in WORDS))
    trained = train(request(path, tmp_path / "out", training={"batch_size": 1}))
    assert trained.lines()[:2] == [
        "no reply could be measured",
        "not counted: 11 replies to prompts that stand with different replies",
    ]
    assert trained.advice is not None
    assert trained.advice.startswith("one reply to each prompt in the data: 11 replies stand")


def test_data_that_were_learned_are_not_praised_as_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data = write_dialogues(tmp_path / "a.jsonl")
    settings: dict[str, Any] = {"held_out": str(data), "aim": "generalize"}
    trained = train(request(data, tmp_path / "out", **settings))
    assert trained.overlap is not None and trained.overlap.documents == 40
    assert any(
        line.startswith("40 of 40 held-out documents stand in training, too")
        for line in trained.lines()
    )
    assert trained.advice is not None
    assert trained.advice.startswith("other data to evaluate on (--held-out FILE): 40 of 40")
