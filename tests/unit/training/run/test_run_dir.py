"""A run's folder: its lock, its settings, its measurements, and what a killed process leaves."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from nextword.errors import CheckpointError, RunBusyError, RunChangedError, RunError
from nextword.training.run.run_dir import Run

SETTINGS: dict[str, Any] = {
    "model": {"d_model": 32, "sliding_layers": (0, 1), "tied_embeddings": False},
    "training": {"steps": 100, "learning_rate": 0.003, "optimizer": "muon"},
    "tokenizer": "5f" * 32,
    "data": [{"name": "a.txt", "size": 11}, {"name": "b.txt", "size": 13}],
    "versions": {"torch": "2.13"},
}

HOLD_AND_SAVE = """
import sys, time
from pathlib import Path
import torch
from nextword.training.run.run_dir import Run

run = Run.open(Path(sys.argv[1]), {"training": {"steps": 100}}, warn=print)
run.metric({"step": 1})
run.save(1, {"weights": {"w": torch.ones(3)}}, {})
print("ready", flush=True)
time.sleep(60)
"""


def refuse_warning(text: str) -> None:
    raise AssertionError(f"no warning was expected: {text}")


def changed(**groups: Mapping[str, Any]) -> dict[str, Any]:
    """SETTINGS with some keys of some groups replaced."""
    return {**SETTINGS, **{name: {**SETTINGS[name], **new} for name, new in groups.items()}}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.open(tmp_path / "out", SETTINGS, warn=refuse_warning) as opened:
        yield opened


def reopen(run: Run, settings: Mapping[str, Any] = SETTINGS, **options: Any) -> Run:
    run.close()
    return Run.open(run.folder, settings, **{"warn": refuse_warning, **options})


def save(run: Run, step: int) -> None:
    run.save(step, {"weights": {"w": torch.full((3,), float(step))}}, {"epoch": step})


def training_names(run: Run) -> set[str]:
    return {path.name for path in (run.folder / "training").iterdir()}


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that holds the folder, has saved step 1, and sleeps."""
    command = [sys.executable, "-c", HOLD_AND_SAVE, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


# The lock


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    settings = {"training": {"steps": 100}}
    with other_process(tmp_path) as process:
        named = rf"held by process {process.pid}, .* training since .* choose another --out"
        with pytest.raises(RunBusyError, match=named):
            Run.open(tmp_path, settings, warn=refuse_warning)
        with pytest.raises(RunBusyError):
            Run.open(tmp_path, settings, fresh=True, warn=refuse_warning)

        process.kill()  # SIGKILL: it cannot clean up
        assert process.wait() in (-signal.SIGKILL, 1)

        with Run.open(tmp_path, settings, warn=refuse_warning) as run:
            checkpoint = run.load()
            assert checkpoint is not None and checkpoint.step == 1
            assert run.metrics() == [{"step": 1}]


def test_the_same_process_cannot_open_a_folder_twice(run: Run) -> None:
    with pytest.raises(RunBusyError):
        Run.open(run.folder, SETTINGS, warn=refuse_warning)


def test_a_refused_start_frees_the_folder(run: Run) -> None:
    with pytest.raises(RunChangedError):
        reopen(run, changed(training={"steps": 200}))

    reopen(run).close()


# The folder


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    for name in ("thesis.tex", "photo.jpg", "notes", "z"):
        (tmp_path / name).write_text("mine", encoding="utf-8")

    with pytest.raises(RunError, match=r"\(notes, photo\.jpg, thesis\.tex and 1 more\)"):
        Run.open(tmp_path, SETTINGS, warn=refuse_warning)

    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("fresh", [False, True])
def test_a_model_that_no_run_left_is_not_replaced(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")

    with pytest.raises(RunError, match="holds a model that no run of Nextword left there"):
        Run.open(tmp_path, SETTINGS, fresh=fresh, warn=refuse_warning)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", ["tokenizer.json", ".DS_Store"])
def test_an_empty_folder_is_welcome(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")

    Run.open(tmp_path, SETTINGS, warn=refuse_warning).close()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("", encoding="utf-8")

    with pytest.raises(RunError, match="is a file; a run needs a folder"):
        Run.open(file, SETTINGS, warn=refuse_warning)
    with pytest.raises(RunError, match="could not be written: Not a directory"):
        Run.open(file / "deeper", SETTINGS, warn=refuse_warning)


def test_no_permission_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(RunError, match=r"Permission denied\. Give yourself .* another --out"):
        Run.open(tmp_path / "out", SETTINGS, warn=refuse_warning)


def test_what_a_killed_process_left_half_written_is_swept(run: Run) -> None:
    (run.folder / "training" / ".settings.json.123.partial").write_text("{", encoding="utf-8")
    half = run.folder / "training" / "checkpoints" / ".step-00000010.partial"
    half.mkdir(parents=True)
    (half / "state.json").write_text("{", encoding="utf-8")

    with reopen(run) as again:
        assert training_names(again) == {"lock", "holder.json", "settings.json", "checkpoints"}
        assert list(half.parent.iterdir()) == []
        assert again.load() is None


# The settings


def test_the_same_settings_go_on(run: Run) -> None:
    save(run, 7)

    with reopen(run, changed(model={"sliding_layers": [0, 1]})) as again:  # JSON has no tuples
        checkpoint = again.load()

    assert checkpoint is not None and checkpoint.state == {"epoch": 7}


def test_each_changed_setting_is_shown(run: Run) -> None:
    now = changed(
        model={"tied_embeddings": True, "sliding_layers": (0,)},
        training={"steps": 200, "optimizer": "adamw", "dropout": 0.1},
    )
    now["data"] = [{"name": "a.txt", "size": 12}]
    now["tokenizer"] = "6e" * 32

    with pytest.raises(RunChangedError) as caught:
        reopen(run, now)

    message = str(caught.value)
    for part in (
        "model.tied_embeddings: false in the folder, true now",
        "model.sliding_layers[1]: 1 in the folder, nothing now",
        "training.steps: 100 in the folder, 200 now",
        'training.optimizer: "muon" in the folder, "adamw" now',
        "training.dropout: nothing in the folder, 0.1 now",
        "the data have another content",
        'tokenizer: "5f5f5f5f5f5f5f5…f5f5f5f5f5f5f5f" in the folder, "6e',
        "Choose another --out",
        "--fresh",
    ):
        assert part in message
    assert "learning_rate" not in message and "\n" not in message


def test_true_is_not_1_but_1_is_1_0(run: Run) -> None:
    reopen(run, changed(training={"steps": 100.0})).close()

    with pytest.raises(RunChangedError, match="tied_embeddings: false in the folder, 0 now"):
        reopen(run, changed(model={"tied_embeddings": 0}))


def test_many_differences_are_counted(run: Run) -> None:
    with pytest.raises(RunChangedError, match=r"training\.k11: .*; and 8 more"):
        reopen(run, changed(training={f"k{number}": number for number in range(20)}))


def test_another_version_only_warns(run: Run) -> None:
    told: list[str] = []

    reopen(run, changed(versions={"torch": "3.1"}), warn=told.append).close()

    assert told == [
        'versions.torch: "2.13" in the folder, "3.1" now: '
        "the run goes on, but perhaps not bit for bit"
    ]


def test_nan_in_settings_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"settings\.training\.learning_rate is nan"):
        Run.open(
            tmp_path / "out",
            changed(training={"learning_rate": float("nan")}),
            warn=refuse_warning,
        )

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ['{"model": ', "[1]", "7"])
def test_damaged_settings_are_explained(run: Run, content: str) -> None:
    (run.folder / "training" / "settings.json").write_text(content, encoding="utf-8")

    with pytest.raises(RunError, match=r"settings\.json is damaged: .*--fresh"):
        reopen(run)


def test_checkpoints_without_settings_are_not_trusted(run: Run) -> None:
    save(run, 7)
    (run.folder / "training" / "settings.json").unlink()

    with pytest.raises(RunError, match=r"settings\.json is missing, although there are"):
        reopen(run)


def test_fresh_removes_the_earlier_run_and_nothing_else(run: Run) -> None:
    save(run, 7)
    run.metric({"step": 7})
    run.mark_finished({})
    (run.folder / "config.json").write_text("{}", encoding="utf-8")
    (run.folder / "training" / "lessons.jsonl").write_text("mine\n", encoding="utf-8")
    (run.folder / "training" / "earlier" / "1").mkdir(parents=True)  # of version 0.1

    with reopen(run, changed(training={"steps": 200}), fresh=True) as again:
        assert again.load() is None and again.metrics() == [] and not again.finished
        left = {"lock", "holder.json", "settings.json", "lessons.jsonl"}
        assert training_names(again) == left
        assert (again.folder / "config.json").exists()
    reopen(run, changed(training={"steps": 200})).close()


# The end


def test_a_finished_run_says_so(run: Run) -> None:
    assert not run.finished and run.summary is None
    run.mark_finished({"loss": 1.25, "lines": ("a", "b")})

    with reopen(run) as again:
        assert again.finished and again.summary == {"loss": 1.25, "lines": ["a", "b"]}


# Checkpoints, through the run


def test_a_damaged_checkpoint_is_named_through_warn(run: Run) -> None:
    save(run, 10)
    save(run, 20)
    weights = run.folder / "training" / "checkpoints" / "step-00000020" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    told: list[str] = []

    with reopen(run, warn=told.append) as again:
        checkpoint = again.load()

    assert checkpoint is not None and checkpoint.step == 10
    assert torch.equal(checkpoint.parts["weights"]["w"], torch.full((3,), 10.0))
    assert len(told) == 1 and "weights.safetensors has SHA-256" in told[0]


def test_only_damaged_checkpoints_stop_the_run(run: Run) -> None:
    save(run, 10)
    (run.folder / "training" / "checkpoints" / "step-00000010" / "state.json").unlink()

    with pytest.raises(CheckpointError, match=r"step-00000010 is damaged: state\.json is missing"):
        run.load()


# Metrics


def metrics_file(run: Run) -> Path:
    return run.folder / "training" / "metrics.jsonl"


def test_metrics_come_back_in_order(run: Run) -> None:
    run.metric({"step": 1, "loss": 4.5, "reply": "déjà"})
    run.metric({"step": 2, "loss": float("nan"), "norm": float("inf")})

    assert run.metrics() == [
        {"step": 1, "loss": 4.5, "reply": "déjà"},
        {"step": 2, "loss": None, "norm": None},
    ]
    for line in metrics_file(run).read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse_warning)


def test_rewinding_drops_what_came_after_the_step(run: Run) -> None:
    for step in (1, 2, 3, 5, 7):
        run.metric({"step": step})

    run.rewind_metrics(3)
    run.metric({"step": 4})

    assert [values["step"] for values in run.metrics()] == [1, 2, 3, 4]


def test_rewinding_what_is_not_there_does_nothing(run: Run) -> None:
    run.rewind_metrics(0)

    assert not metrics_file(run).exists() and run.metrics() == []


def test_a_torn_last_line_is_dropped(run: Run) -> None:
    run.metric({"step": 1})
    with metrics_file(run).open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "lo')

    assert run.metrics() == [{"step": 1}]
    with reopen(run) as again:
        again.metric({"step": 2})
        assert again.metrics() == [{"step": 1}, {"step": 2}]


def test_a_damaged_line_is_named_and_left_out(tmp_path: Path) -> None:
    told: list[str] = []
    with Run.open(tmp_path, SETTINGS, warn=told.append) as run:
        run.metric({"step": 1})
        with metrics_file(run).open("ab") as file:
            file.write(b"\0\0\xff\n[3]\n")
        run.metric({"step": 2})

        assert run.metrics() == [{"step": 1}, {"step": 2}]
    assert len(told) == 2
    assert "line 2 is damaged" in told[0] and "line 3 is damaged" in told[1]


def test_a_full_disk_leaves_no_half_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    run.metric({"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(RunError, match=r"the disk is full: .*metrics\.jsonl"):
            run.metric({"step": 2, "text": "longer than what is left"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert metrics_file(run).read_bytes() == b'{"step": 1}\n'
    run.metric({"step": 2})
    assert run.metrics() == [{"step": 1}, {"step": 2}]


def test_rewinding_on_a_full_disk_changes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.metric({"step": 1})
    run.metric({"step": 2})

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(RunError, match="the disk is full"):
        patch.setattr(os, "fsync", fsync)
        run.rewind_metrics(1)

    assert run.metrics() == [{"step": 1}, {"step": 2}]


def test_a_full_disk_while_metrics_are_flushed_is_explained(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 1)
    run.metric({"step": 2})

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(RunError, match=r"full: .*metrics\.jsonl"):
        patch.setattr(os, "fsync", fsync)
        save(run, 2)

    checkpoint = run.load()
    assert checkpoint is not None and checkpoint.step == 1


def test_metrics_reach_the_disk_before_the_checkpoint(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.metric({"step": 1})
    expected = metrics_file(run).stat().st_ino
    synced: list[int] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    save(run, 1)

    assert synced[0] == expected


def test_a_model_that_was_only_taught_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "training").mkdir()
    for name in ("lessons.jsonl", "lock", "holder.json"):
        (tmp_path / "training" / name).touch()

    with pytest.raises(RunError, match="holds a model that no run of Nextword left there"):
        Run.open(tmp_path, SETTINGS, warn=refuse_warning)
    assert not (tmp_path / "training" / "settings.json").exists()


def test_data_under_another_name_are_the_same_data(tmp_path: Path) -> None:
    def settings(name: str, sha256: str) -> dict[str, Any]:
        file = {"name": name, "size": 7, "sha256": sha256}
        return {"data": [file], "request": {"held_out": [file], "name": name[:1]}}

    for name in ("a.jsonl", "another.jsonl"):
        with Run.open(tmp_path, settings(name, "11"), warn=refuse_warning) as run:
            assert run.settings == settings("a.jsonl", "11")  # those that it was begun with
    with pytest.raises(RunChangedError, match="the data have another content"):
        Run.open(tmp_path, settings("a.jsonl", "22"), warn=refuse_warning)
    with pytest.raises(RunChangedError, match='name: "a" in the folder'):  # no file: it counts
        Run.open(tmp_path, settings("b.jsonl", "11"), warn=refuse_warning)
