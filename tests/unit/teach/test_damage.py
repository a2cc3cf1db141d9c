"""Damaged files of lessons: what is done is exact or refused, and undo loses nothing by it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.damage import DAMAGES, Damage, files_below, flip
from tests.unit.teach.folders import contents, model, teach, version

from nextword.errors import NextwordError
from nextword.teach.journal.lesson_records import Records, events_file, tidy
from nextword.teach.journal.undo import list_lessons, undo

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of a folder without SHA256SUMS

Outcome = tuple[str, str, list[int], list[int], list[int]]
ACTIONS: dict[str, Callable[[Path], object]] = {
    "lessons": list_lessons,
    "teach": lambda folder: teach(folder, 9),
    "undo": lambda folder: undo(folder, [Records.read(folder).active[-1].number]),
    "undo all": lambda folder: undo(folder, None),
    "tidy": tidy,
}
EVERY_DAY = ("flip in the middle", "cut", "empty", "delete")  # the others are slow together
OF_OLD = [pytest.param(name, marks=() if name == "cut" else pytest.mark.slow) for name in DAMAGES]
SOME = [pytest.param(name, marks=() if name in EVERY_DAY else pytest.mark.slow) for name in DAMAGES]
HISTORIES: dict[str, Callable[[Path], object]] = {
    "three lessons": lambda folder: None,
    "one of three undone": lambda folder: undo(folder, [1]),
    "the last of three undone, and one more": lambda folder: (undo(folder, [3]), teach(folder, 4)),
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("three lessons", marks=pytest.mark.slow),
        pytest.param("one of three undone", marks=pytest.mark.slow),
        "the last of three undone, and one more",
    ],
)
def history(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder with `first`, a model, and `taught`, the same after some lessons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        place = tmp_path_factory.mktemp("history")
        model(place / "taught")
        shutil.copytree(place / "taught", place / "first")
        for seed in range(3):
            teach(place / "taught", seed)
        HISTORIES[str(request.param)](place / "taught")
        yield place


def outcome(folder: Path) -> Outcome:
    """Which weights there are, and which lessons."""
    found = Records.read(folder)
    some = (found.active, found.absorbed, found.gone)
    active, absorbed, gone = ([kept.number for kept in kind] for kind in some)
    return version(folder), found.state, active, absorbed, gone


def expected(place: Path, action: str) -> tuple[Outcome, Path]:
    """What an action leads to in the undamaged folder, and that folder after it."""
    folder = place / f"after {action}"
    if not folder.exists():
        shutil.copytree(place / "taught", folder)
        ACTIONS[action](folder)
    return outcome(folder), folder


def wrongs(place: Path, name: Path, damage: Damage, action: str) -> Iterator[str]:
    """Take an action on a copy of which one file is damaged; yields what is wrong then."""
    wanted, after = expected(place, action)
    folder = place / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place / "taught", folder)
    damage(folder / name)
    try:
        ACTIONS[action](folder)
        refused = False
    except NextwordError as error:
        refused = True
        if not error_names(str(error), name):
            yield f"{name}, {action}: not named in {error}"
    except Exception as error:
        yield f"{name}, {action}: {error!r}"
        return
    whole = place / "taught" if refused else after
    if (whole / name).exists():  # put back from a copy
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(whole / name, folder / name)
    if not refused and outcome(folder) != wanted:
        yield f"{name}, {action}: {outcome(folder)} instead of {wanted}"
    if Records.read(folder).active:
        undo(folder, None)
    if weights_of(folder) != weights_of(place / "first"):
        yield f"{name}, {action}: cannot be undone any more"


def error_names(text: str, name: Path) -> bool:
    """A damaged journal may show in the file beside it that it does not fit."""
    return name.name in text or name.parent.name in text


def weights_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name != "README.md"}


def damaged_files(folder: Path) -> list[Path]:
    """What a lesson writes or needs; the tokenizer and config.json have tests of their own."""
    taught = ("model.safetensors", "SHA256SUMS", "training/lessons")
    return [name for name in files_below(folder) if name.as_posix().startswith(taught)]


@pytest.mark.parametrize("damage", SOME)
def test_every_file_of_lessons(damage: str, history: Path) -> None:
    names = damaged_files(history / "taught")
    assert len(names) >= 7
    found = [
        wrong
        for name in names
        for action in ACTIONS
        for wrong in wrongs(history, name, DAMAGES[damage], action)
    ]
    assert found == []


def test_a_journal_without_its_last_lines(history: Path) -> None:
    name = events_file(Path())
    lines = (history / "taught" / name).read_bytes().splitlines(keepends=True)
    for n in range(len(lines)):

        def cut(path: Path, n: int = n) -> None:
            path.write_bytes(b"".join(lines[:n]))

        for action in ACTIONS:
            assert list(wrongs(history, name, cut, action)) == []


def test_a_journal_without_a_line_in_between(history: Path) -> None:
    name = events_file(Path())
    lines = (history / "taught" / name).read_bytes().splitlines(keepends=True)
    for n in range(len(lines) - 1):

        def cut(path: Path, n: int = n) -> None:
            path.write_bytes(b"".join(lines[:n] + lines[n + 1 :]))

        for action in ACTIONS:
            assert list(wrongs(history, name, cut, action)) == []


def as_version_0_1(place: Path) -> Path:
    """Return the same history with a journal as version 0.1 wrote it: without checksums."""
    old = place / "of version 0.1"
    if not old.exists():
        old.mkdir()
        for name in ("first", "taught"):
            shutil.copytree(place / name, old / name)
        path = events_file(old / "taught")
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            del values["sha256"], values["original"]
            lines.append(json.dumps(values | {"format": 1}, ensure_ascii=False) + "\n")
        path.write_text("".join(lines), encoding="utf-8")
    return old


@pytest.mark.parametrize("damage", OF_OLD)
def test_every_file_of_lessons_of_version_0_1(damage: str, history: Path) -> None:
    old = as_version_0_1(history)
    found = [
        wrong
        for name in damaged_files(old / "taught")
        for action in ("lessons", "teach", "undo all")
        for wrong in wrongs(old, name, DAMAGES[damage], action)
    ]
    assert found == []


@pytest.mark.slow
def test_another_digit_in_each_sum_of_a_journal_of_version_0_1(history: Path) -> None:
    old, name = as_version_0_1(history), events_file(Path())
    whole = (old / "taught" / name).read_bytes()
    sums = [found.end() for found in re.finditer(rb'"(?:before|after)": {"[^"]+": "', whole)]
    numbers = [found.end() for found in re.finditer(rb'"number(?:": |s": \[)(?=\d)', whole)]
    places = [*sums, *(place + 30 for place in sums), *numbers]
    assert len(places) >= 16
    for place in places:
        for action in ("lessons", "teach"):
            share = place / (len(whole) - 1)
            assert list(wrongs(old, name, flip(share, 0), action)) == []
