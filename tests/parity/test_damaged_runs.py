"""A damaged file of an interrupted run: the same weights in the end, or an error that names it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.damage import DAMAGES, files_below
from tests.small_runs import (
    BrokenOffError,
    Notes,
    breaking_at,
    quick,
    request,
    write_dialogues,
    write_text,
)

from nextword.common.checked_json import read_checked_json, write_checked_json
from nextword.common.files import sha256_file
from nextword.errors import NextwordError, RunChangedError, RunError
from nextword.training.pipeline import train
from nextword.training.request import TrainRequest


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patched:
        quick(patched)
        yield patched


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Path:
    """A folder with a run broken off after its second checkpoint, and an undisturbed one."""
    place = tmp_path_factory.mktemp("runs")
    write_dialogues(place / "data.jsonl")
    write_text(place / "other.txt")
    train(asked(place, "undisturbed"))
    with pytest.raises(BrokenOffError):
        train(asked(place, "interrupted"), reporter=breaking_at(10))
    return place


def asked(place: Path, out: str, **settings: Any) -> TrainRequest:
    return request(place / "data.jsonl", place / out, aim="generalize", **settings)


def weights(place: Path, out: str) -> str:
    return sha256_file(place / out / "model.safetensors")


def copy_of(place: Path) -> Path:
    """Return a fresh copy of the interrupted run's training folder."""
    shutil.rmtree(place / "damaged", ignore_errors=True)
    shutil.copytree(place / "interrupted", place / "damaged")
    return place / "damaged" / "training"


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_a_run(damage: str, interrupted: Path) -> None:
    expected, wrong, refused = weights(interrupted, "undisturbed"), [], set()
    names = list(files_below(interrupted / "interrupted" / "training"))
    assert len(names) > 15
    for name in names:
        DAMAGES[damage](copy_of(interrupted) / name)
        try:
            train(asked(interrupted, "damaged"), reporter=Notes())
        except NextwordError as error:
            refused.add(name.name)
            if name.name not in str(error):
                wrong.append(f"{name} is not named: {error}")
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
        else:
            if weights(interrupted, "damaged") != expected:
                wrong.append(f"{name}: other weights")
    assert wrong == []
    assert {"plan.json"} <= refused or damage.startswith("flip")


@pytest.mark.parametrize("name", ["tokens-00000.bin", "replies-00000.bin", "starts.bin"])
def test_damaged_data_is_tokenized_again_and_told(name: str, interrupted: Path) -> None:
    training = copy_of(interrupted)
    DAMAGES["flip in the middle"](training / "data" / "train" / name)
    notes = Notes()
    train(asked(interrupted, "damaged"), reporter=notes)
    assert [note for note in notes.notes if f"{name} was damaged since it was made" in note]
    assert weights(interrupted, "damaged") == weights(interrupted, "undisturbed")


def test_other_tokens_than_the_run_began_with_are_refused(interrupted: Path) -> None:
    path = copy_of(interrupted) / "plan.json"
    kept = read_checked_json(path)
    write_checked_json(path, kept | {"data": "0" * 64})  # as if another version had made them
    with pytest.raises(RunChangedError, match="are not those that this run began with"):
        train(asked(interrupted, "damaged"))


def test_a_plan_without_checksum_is_compared_with_the_checkpoint(interrupted: Path) -> None:
    """As version 0.1 wrote it: the digit of a learning rate would give other weights."""
    path = copy_of(interrupted) / "plan.json"
    kept = read_checked_json(path)
    path.write_text(json.dumps(kept))
    train(asked(interrupted, "damaged"))
    assert weights(interrupted, "damaged") == weights(interrupted, "undisturbed")
    path = copy_of(interrupted) / "plan.json"
    kept["plan"]["training"]["learning_rate"] *= 2
    path.write_text(json.dumps(kept))
    with pytest.raises(RunError, match=r"plan\.json is not the plan .*--fresh"):
        train(asked(interrupted, "damaged"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_summary_of_a_finished_run_is_named(damage: str, interrupted: Path) -> None:
    shutil.rmtree(interrupted / "damaged", ignore_errors=True)
    shutil.copytree(interrupted / "undisturbed", interrupted / "damaged")
    DAMAGES[damage](interrupted / "damaged" / "training" / "finished.json")
    if damage == "delete":  # it is evaluated again
        assert not train(asked(interrupted, "damaged")).already
    else:
        with pytest.raises(RunError, match=r"finished\.json is damaged: .* or delete it"):
            train(asked(interrupted, "damaged"))
    assert weights(interrupted, "damaged") == weights(interrupted, "undisturbed")


def test_fresh_starts_over_beside_a_damaged_plan(interrupted: Path) -> None:
    DAMAGES["cut"](copy_of(interrupted) / "plan.json")
    train(asked(interrupted, "damaged"), fresh=True)
    assert weights(interrupted, "damaged") == weights(interrupted, "undisturbed")
