"""Further training: it begins with a model's very weights, and can learn its lessons as data."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_runs import (
    BrokenOffError,
    Notes,
    breaking_at,
    left_by,
    quick,
    request,
    write_dialogues,
)
from tests.unit.teach.folders import changed, drawn_change, drawn_lesson
from tests.unit.teach.samples import taught

from nextword.cli.training.train import request_from, with_lessons
from nextword.common.files import sha256_file
from nextword.errors import ConfigError, RunChangedError
from nextword.formats.huggingface.save_load import load_model
from nextword.teach.journal.lesson_records import Records
from nextword.teach.journal.persist import keep
from nextword.teach.journal.undo import undo
from nextword.training.backends.backend import Backend
from nextword.training.backends.choose import choose_backend
from nextword.training.loop.trainer import Trainer
from nextword.training.pipeline import train
from nextword.training.plan import planner
from nextword.training.request import TrainRequest


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dialogues(tmp_path / "dialogues.jsonl")


@pytest.fixture
def first(data: Path, tmp_path: Path) -> Path:
    """A model that was trained a little."""
    train(request(data, tmp_path / "first", steps=5))
    return tmp_path / "first"


def further(data: Path, first: Path, out: Path, **settings: Any) -> TrainRequest:
    """Further training of a model; the settings of `request` that are the model's are left out."""
    training = request(data, out).training
    return TrainRequest(
        data=(str(data),), out=out, start=str(first), training=training, **{"steps": 9} | settings
    )


def teach(folder: Path, seed: int) -> None:
    decoder = load_model(folder).decoder
    change = drawn_change(decoder, seed)
    after = changed(decoder, change)
    sentence = taught(prompt=("the small cat",), reply="a dog")
    keep(folder, drawn_lesson(decoder, after, sentences=(sentence,)), change, after)


def test_it_begins_with_the_model_s_weights(
    data: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, torch.Tensor]] = []
    fit = Trainer.fit

    def noting(trainer: Trainer) -> None:
        begun.append({n: w.detach().clone() for n, w in trainer.decoder.named_parameters()})
        fit(trainer)

    pretrained: list[bool] = []

    def choose(*given: Any, **more: Any) -> Backend:
        pretrained.append(more["pretrained"])
        return choose_backend(*given, **more)

    monkeypatch.setattr(Trainer, "fit", noting)
    monkeypatch.setattr(planner, "choose_backend", choose)
    trained = train(further(data, first, tmp_path / "next"))
    assert trained.steps == 9
    assert pretrained == [True]  # so 8 bits are not among the candidates
    old, new = load_model(first), load_model(tmp_path / "next")
    weights = dict(old.decoder.named_parameters())
    assert all(torch.equal(weight, begun[0][name]) for name, weight in weights.items())
    assert new.decoder.config == old.decoder.config
    assert new.tokenizer.fingerprint == old.tokenizer.fingerprint
    assert not torch.equal(new.decoder.token_embedding.weight, old.decoder.token_embedding.weight)


def test_a_run_that_was_broken_off_goes_on_to_the_same_weights(
    data: Path, first: Path, tmp_path: Path
) -> None:
    train(further(data, first, tmp_path / "undisturbed"))
    for step in (2, 6):  # before the first checkpoint (4), and after it
        with pytest.raises(BrokenOffError):
            train(further(data, first, tmp_path / "broken"), reporter=breaking_at(step))
    last = Notes()
    train(further(data, first, tmp_path / "broken"), reporter=last)
    assert last.steps == [5, 6, 7, 8, 9]
    assert left_by(tmp_path / "broken") == left_by(tmp_path / "undisturbed")


def test_lessons_are_learned_with_the_data(data: Path, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "next"
    teach(first, 1)
    asked = with_lessons(further(data, first, out), quiet=True)
    assert asked.data == (str(data), str(out / "training" / "lessons-data.jsonl"))
    with pytest.raises(BrokenOffError):
        train(asked, reporter=breaking_at(6))
    train(with_lessons(further(data, first, out), quiet=True))
    lines = (out / "training" / "lessons-data.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"prompt": "the small cat", "reply": "a dog"}
    ] * 8
    assert Records.read(out).events == ()  # it begins without lessons
    assert Records.read(first).state == "whole"
    teach(first, 2)
    with pytest.raises(RunChangedError, match=r"start: .* in the folder"):
        train(with_lessons(further(data, first, out), quiet=True))


def test_a_taught_run_is_finished_still_and_fresh_absorbs_its_lessons(
    data: Path, first: Path, tmp_path: Path
) -> None:
    asked = request(data, first, steps=5)
    was = sha256_file(first / "model.safetensors")
    teach(first, 1)
    assert train(asked).already
    assert [kept.number for kept in Records.read(first).active] == [1]
    undo(first, None)
    assert sha256_file(first / "model.safetensors") == was
    teach(first, 2)
    train(request(data, first, steps=6), fresh=True)
    found = Records.read(first)
    assert (found.state, [kept.number for kept in found.absorbed]) == ("absorbed", [2])
    assert "## Lessons" not in (first / "README.md").read_text()


@pytest.mark.parametrize(
    "settings",
    [{"preset": "llama"}, {"depth": 3}, {"context": 8}, {"model": {"d_model": 32}},
     {"tokenizer": "words"}, {"vocab_size": 99}],
)  # fmt: skip
def test_what_the_model_has_already_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is given beside --from; .* leave out --from"):
        further(tmp_path / "data", tmp_path / "first", tmp_path / "next", **settings)


def test_other_refusals(tmp_path: Path) -> None:
    data, first, out = (tmp_path / name for name in ("data", "first", "next"))
    with pytest.raises(ConfigError, match=r"give another --out: undo needs the weights"):
        further(data, first, tmp_path / "x" / ".." / "first")
    with pytest.raises(ConfigError, match="--preset is given beside --from"):
        request_from({"start": str(first), "preset": "qwen3"}, (str(data),), out)
    with pytest.raises(ConfigError, match="--lessons needs --from FOLDER"):
        with_lessons(request(data, out), quiet=True)
