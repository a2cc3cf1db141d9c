"""A run that was broken off goes on to the same weights, bit for bit, and the same measurements."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.small_runs import (
    STEPS,
    BrokenOffError,
    Notes,
    breaking_at,
    left_by,
    quick,
    request,
    write_dialogues,
    write_text,
)

from nextword.common.files import sha256_file
from nextword.config import Aim
from nextword.errors import (
    ConfigError,
    DataError,
    LossError,
    RunBusyError,
    RunChangedError,
    RunError,
    StoppedError,
)
from nextword.language_model import LanguageModel
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.pipeline import train
from nextword.training.request import TrainRequest
from nextword.training.run.run_dir import Run

ROOT = Path(__file__).resolve().parents[2]
KINDS: dict[str, dict[str, Any]] = {
    "rows, muon, dropout, accumulate": {"training": {"dropout": 0.2, "accumulate": 2}},
    "rows, replies, adamw": {"training": {"learn": "replies", "optimizer": "adamw"}},
    "windows, muon, dropout": {"preset": "llama", "training": {"dropout": 0.2}},
    "windows, adamw, accumulate": {
        "preset": "gpt2",
        "training": {"optimizer": "adamw", "accumulate": 4},
    },
}


UNKNOWN_TO_C = {"d_model": 16, "n_layers": 2, "n_heads": 2, "feed_forward": "gelu"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    return write_dialogues(tmp_path / "dialogues.jsonl")


def begin(kind: str, tmp_path: Path) -> tuple[Callable[[str], TrainRequest], tuple[str, str]]:
    """A kind's request for any folder, and what an undisturbed run leaves."""
    path = tmp_path / "data.jsonl" if kind.startswith("rows") else tmp_path / "data.txt"
    data = write_dialogues(path) if kind.startswith("rows") else write_text(path)

    def asked(name: str) -> TrainRequest:
        return request(data, tmp_path / name, aim="generalize", **KINDS[kind])

    train(asked("undisturbed"))
    return asked, left_by(tmp_path / "undisturbed")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks, which Windows cannot")
def test_runs_killed_while_preparing_training_and_finishing_end_the_same() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "kills.py")]
    done = subprocess.run(
        [*script, "--dry", "--at", "0.04", "0.5", "0.98"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    names, _, row = (
        [cell.strip() for cell in line.split("|")] for line in done.stdout.split("\n")[:3]
    )
    found = dict(zip(names, row, strict=True))
    assert (found["kills"], found["equal"], found["unequal"]) == ("3", "3", "0")
    assert found["preparing"] == "1" and found["finishing"] == "1"


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_broken_twice_leaves_what_an_undisturbed_one_leaves(
    kind: str, tmp_path: Path
) -> None:
    asked, undisturbed = begin(kind, tmp_path)
    for step in (2, 11):  # before the first checkpoint (4), and after the second (8)
        with pytest.raises(BrokenOffError):
            train(asked("broken"), reporter=breaking_at(step))
    last = Notes()
    train(asked("broken"), reporter=last)
    assert last.steps == [9, 10, 11, 12]
    assert left_by(tmp_path / "broken") == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [6, STEPS])  # with an evaluation due, which must not be lost
def test_ctrl_c_and_sigterm_save_and_stop(
    number: signal.Signals, step: int, tmp_path: Path
) -> None:
    asked, undisturbed = begin("rows, muon, dropout, accumulate", tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    ask = Notes(lambda done: signal.raise_signal(number) if done == step else None)
    with pytest.raises(StoppedError, match=f"step {step} of {STEPS}") as stopped:
        train(asked("stopped"), reporter=ask)
    assert stopped.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) is before
    last = Notes()
    train(asked("stopped"), reporter=last)
    assert last.steps == list(range(step + 1, STEPS + 1))
    assert left_by(tmp_path / "stopped") == undisturbed


@pytest.mark.parametrize("place", ["find_tokenizer", "make_plan", "save_model"])
def test_before_and_after_training_a_signal_stops_at_once(
    place: str, dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(dialogues, tmp_path / "out", steps=3)
    with monkeypatch.context() as patch:
        patch.setattr(
            f"nextword.training.pipeline.{place}",
            lambda *_, **__: signal.raise_signal(signal.SIGTERM),
        )
        with pytest.raises(StoppedError, match="the same command goes on"):
            train(asked)
    assert train(asked).steps == 3


def test_a_run_broken_after_its_last_evaluation_does_not_count_it_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, undisturbed = begin("windows, muon, dropout", tmp_path)

    def broken(*_: object) -> None:
        raise BrokenOffError

    for place in (
        "nextword.training.pipeline.save_model",
        "nextword.training.run.run_dir.Run.mark_finished",
    ):
        with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
            patch.setattr(place, lambda *_, **__: broken())
            train(asked("broken"))
    train(asked("broken"))
    assert left_by(tmp_path / "broken") == undisturbed


def test_what_a_kill_while_tokenising_left_is_no_hindrance(dialogues: Path, tmp_path: Path) -> None:
    partial = tmp_path / "out" / "training" / "data" / ".train.partial"
    partial.mkdir(parents=True)
    (partial / "tokens-00000.bin").write_bytes(b"half a to")
    assert train(request(dialogues, tmp_path / "out", steps=2)).steps == 2
    assert not partial.exists()


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, undisturbed = begin("rows, replies, adamw", tmp_path)
    saves = []

    def full(folder: Path, *, step: int, **_: Any) -> None:
        saves.append(step)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BrokenOffError):
        train(asked("full"), reporter=breaking_at(5))
    with monkeypatch.context() as patch, pytest.raises(RunError, match="the disk is full"):
        patch.setattr("nextword.training.run.checkpoint.write_checkpoint", full)
        train(asked("full"))
    assert saves == [8]
    kept = tmp_path / "full" / "training" / "checkpoints"
    assert [path.name for path in kept.iterdir()] == ["step-00000004"]
    last = Notes()
    train(asked("full"), reporter=last)
    assert last.steps[0] == 5
    assert left_by(tmp_path / "full") == undisturbed


def test_a_damaged_checkpoint_is_named_and_the_one_before_leads_to_the_same(
    tmp_path: Path,
) -> None:
    asked, undisturbed = begin("windows, adamw, accumulate", tmp_path)
    with pytest.raises(BrokenOffError):
        train(asked("damaged"), reporter=breaking_at(10))
    weights = tmp_path / "damaged/training/checkpoints/step-00000008/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.write_bytes(content)
    last = Notes()
    train(asked("damaged"), reporter=last)
    assert any("step-00000008 is damaged: weights.safetensors" in note for note in last.notes)
    assert last.steps[0] == 5
    assert left_by(tmp_path / "damaged") == undisturbed


def test_a_loss_that_is_not_finite_leaves_good_checkpoints(dialogues: Path, tmp_path: Path) -> None:
    asked = request(dialogues, tmp_path / "out", training={"muon_learning_rate": 1e38})
    with pytest.raises(LossError, match="--fresh and a lower --learning-rate"):
        train(asked)
    assert not list((tmp_path / "out" / "training" / "checkpoints").glob("step-*"))
    assert train(request(dialogues, tmp_path / "out"), fresh=True).steps == STEPS


def test_a_second_process_is_refused_while_one_trains(dialogues: Path, tmp_path: Path) -> None:
    refused = []

    def again(step: int) -> None:
        with pytest.raises(RunBusyError):
            train(request(dialogues, tmp_path / "out"), fresh=step == 2)
        refused.append(step)

    train(request(dialogues, tmp_path / "out", steps=2), reporter=Notes(again))
    assert refused == [1, 2]


def test_other_data_settings_or_tokenizer_are_refused_with_the_difference(
    dialogues: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(BrokenOffError):
        train(request(dialogues, out), reporter=breaking_at(5))
    with pytest.raises(RunChangedError, match=r"steps: 12 in the folder, 13 now"):
        train(request(dialogues, out, steps=13))
    with pytest.raises(RunChangedError, match=r"training\.dropout: nothing in the folder"):
        train(request(dialogues, out, training={"dropout": 0.5}))
    with pytest.raises(RunChangedError, match=r'tokenizer: "words" in the folder'):
        train(request(dialogues, out, tokenizer="characters"))
    Tokenizer.learn(["another one"], kind="words").write(out / "training" / "tokenizer")
    with pytest.raises(RunChangedError, match="is not the one that this run began with"):
        train(request(dialogues, out))
    write_dialogues(dialogues, count=41)
    with pytest.raises(RunChangedError, match="the data have another content"):
        train(request(dialogues, out))
    assert train(request(dialogues, out, steps=2), fresh=True).steps == 2  # by a plan of its own


def test_a_finished_run_is_not_run_again_until_it_is_asked_to(
    dialogues: Path, tmp_path: Path
) -> None:
    asked = request(dialogues, tmp_path / "out", steps=3)
    first, again = train(asked), train(asked)
    assert not first.already and again.already
    assert (again.scores, again.replies, again.steps) == (first.scores, first.replies, 3)
    assert not train(asked, fresh=True).already


def test_a_model_keeps_its_tokenizer_until_the_new_one_is_saved(
    dialogues: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    train(request(dialogues, out, steps=2))
    before = LanguageModel.load(out)
    with pytest.raises(BrokenOffError):
        train(
            request(dialogues, out, steps=2, tokenizer="characters"),
            fresh=True,
            reporter=breaking_at(1),
        )
    after = LanguageModel.load(out)
    assert after.tokenizer.fingerprint == before.tokenizer.fingerprint
    train(request(dialogues, out, steps=2, tokenizer="characters"))
    assert LanguageModel.load(out).tokenizer.kind == "characters"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"held_out": 0.001, "data": "short.txt", "context": 32}, DataError),
        ({"training": {"device": "cuda:99"}}, ConfigError),
        ({"model": UNKNOWN_TO_C, "training": {"precision": "int16"}}, ConfigError),
    ],
)
def test_a_command_that_cannot_begin_does_not_bind_the_one_that_mends_it(
    wrong: dict[str, Any], error: type[Exception], dialogues: Path, tmp_path: Path
) -> None:
    data = write_text(tmp_path / "short.txt") if "data" in wrong else dialogues
    values = {key: value for key, value in wrong.items() if key != "data"}
    with pytest.raises(error):
        train(request(data, tmp_path / "out", **values))
    assert train(request(data, tmp_path / "out", steps=2)).steps == 2


@pytest.mark.parametrize(("aim", "rounds"), [("generalize", 1), ("answers", 2)])
def test_the_time_of_earlier_sittings_counts(
    aim: Aim, rounds: int, dialogues: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    timed: dict[str, Any] = {"steps": None, "minutes": 0.1, "depth": 1, "aim": aim}
    asked = request(dialogues, out, training={"evaluate_every": 0}, **timed)
    ask = Notes(lambda step: signal.raise_signal(signal.SIGINT) if step == 3 else None)
    with pytest.raises(StoppedError):
        train(asked, reporter=ask)
    state = out / "training" / "checkpoints" / "step-00000003" / "state.json"
    values = json.loads(state.read_text())
    assert 0 < values["pace"]["used"] < 6
    values["pace"]["used"] = 6.0  # as if it had been long
    state.write_text(json.dumps(values))
    manifest = state.with_name("manifest.json")
    made = json.loads(manifest.read_text())
    made["files"]["state.json"] = {"size": state.stat().st_size, "sha256": sha256_file(state)}
    manifest.write_text(json.dumps(made))
    assert train(asked).steps <= 3 + 2 * rounds  # nothing is left but to finish


def test_the_folder_is_free_after_every_end(dialogues: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenOffError):
        train(request(dialogues, tmp_path / "out"), reporter=breaking_at(1))
    asked = request(dialogues, tmp_path / "out")
    with pytest.raises(RunChangedError):
        Run.open(tmp_path / "out", {"request": {"steps": asked.steps}}, warn=print)
    assert train(asked).steps == STEPS
