"""A program that is killed at every moment at which it changes a folder; run by test_crashes.py.

    python -m tests.unit.teach.killing keep|undo|undo-all FOLDER [--every]

FOLDER holds a model that was taught. For k = 1, 2, … a copy of it is taught once more, or a lesson
is undone, in a child that gets SIGKILL just before it renames something for the k-th time (--every:
before it renames, links, makes, removes or opens to write); until it comes to its end. After every
kill the copy is looked at, taught again, and all is undone. Prints a line of JSON for each: which
weights were found, and what disagreed.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from tests.unit.teach.folders import contents, teach, version

from nextword.teach.journal.lesson_records import Records
from nextword.teach.journal.undo import undo

RENAMING = {"os.rename"}
CHANGING = RENAMING | {"os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR


def act(action: str, folder: Path) -> None:
    """What is to be killed."""
    if action == "keep":
        teach(folder, seed=7)
    else:
        undo(folder, None if action == "undo-all" else [Records.read(folder).active[0].number])


def kill_before(number: int, *, every: bool) -> None:
    """Die before the file system is changed for the `number`-th time from now on."""
    left = number
    events = CHANGING if every else RENAMING

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = every and event == "open" and (arguments[2] or 0) & WRITING
        if event in events or writes:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def killed(action: str, folder: Path, number: int, *, every: bool) -> bool:
    """Whether a child was killed at that moment; False when it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            kill_before(number, every=every)
            act(action, folder)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def state(folder: Path) -> tuple[str, tuple[int, ...]]:
    """The weights, read and verified, and the lessons in them."""
    return version(folder), tuple(kept.number for kept in Records.read(folder).active)


def look_at(folder: Path, known: dict[str, tuple[str, tuple[int, ...]]], first: Path) -> str:
    """Which state a folder is in, after everything was tried on it."""
    found = state(folder)
    which = next((name for name, one in known.items() if one == found), f"neither: {found}")
    number = teach(folder, seed=9)
    if state(folder)[1] != (*found[1], number):
        return f"{which}, but then {state(folder)[1]}"
    undo(folder, None)
    if contents(folder) != contents(first):
        return f"{which}, but an undo of all left other files"
    rests = [path.name for path in folder.rglob(".*")]
    return f"{which}, with rests {rests}" if rests else which


def main(action: str, taught: Path, *, every: bool) -> None:
    """Kill, look, and print."""
    torch.set_num_threads(1)
    os.fsync = lambda fd: None  # a kill loses nothing that was written
    copy = taught.with_name("copy")
    first = taught.with_name("first")
    shutil.copytree(taught, copy)
    act(action, copy)
    known = {"old": state(taught), "new": state(copy)}
    number = 0
    while True:
        number += 1
        shutil.rmtree(copy)
        shutil.copytree(taught, copy)
        dead = killed(action, copy, number, every=every)
        print(json.dumps({"killed": dead, "found": look_at(copy, known, first)}), flush=True)
        if not dead:
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), every="--every" in sys.argv)
