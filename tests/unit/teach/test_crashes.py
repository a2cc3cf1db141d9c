"""A keep or an undo that is killed at any moment leaves the old weights or the new ones, whole."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.teach.folders import contents, model, teach, version

from nextword.teach.journal.lesson_records import Records, events_file, tidy

ROOT = Path(__file__).resolve().parents[3]


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks, which Windows cannot")


@forks
@pytest.mark.parametrize(("action", "lessons"), [("keep", 0), ("undo", 3), ("undo-all", 1)])
def test_killed_at_every_rename(action: str, lessons: int, tmp_path: Path) -> None:
    check_kills(tmp_path, action, lessons)


@forks
@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "lessons"), [("keep", 0), ("keep", 2), ("undo", 3), ("undo-all", 2)]
)
def test_killed_at_every_change(action: str, lessons: int, tmp_path: Path) -> None:
    check_kills(tmp_path, action, lessons, "--every")


def check_kills(tmp_path: Path, action: str, lessons: int, *options: str) -> None:
    """Run killing.py: old weights before some moment, new ones from then on, never others."""
    taught = model(tmp_path / "taught")
    shutil.copytree(taught, tmp_path / "first")
    for seed in range(lessons):
        teach(taught, seed)
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.teach.killing", action, str(taught), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [line["found"] for line in lines]
    n_old = found.count("old")
    assert found == ["old"] * n_old + ["new"] * (len(found) - n_old)
    assert n_old >= 4 and len(found) - n_old >= 4  # it was killed before and after the rename
    assert [line["killed"] for line in lines] == [True] * (len(lines) - 1) + [False]


@pytest.mark.parametrize("torn", [b'{"format": 1, "ev', b"{}"])
def test_a_torn_last_line_is_none(torn: bytes, tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    teach(folder, 1)
    was, whole = version(folder), events_file(folder).read_bytes()
    events_file(folder).write_bytes(whole + torn)
    assert [kept.number for kept in Records.read(folder).active] == [1]
    tidy(folder)
    assert events_file(folder).read_bytes() == whole
    assert teach(folder, 2) == 2 and version(folder) != was


def test_an_error_in_the_middle_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model(tmp_path / "model")
    teach(folder, 1)
    before, events = contents(folder), events_file(folder).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("nextword.common.files.os.fsync", full)
        with pytest.raises(Exception, match="the disk is full"):
            teach(folder, 2)
    tidy(folder)
    assert contents(folder) == before and events_file(folder).read_bytes() == events
