"""One lock for a model's folder, between processes and within one."""

import errno
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nextword.common.folder_lock import What, hold
from nextword.errors import RunBusyError, RunError, TeachBusyError

HOLD = """
import sys, time
from pathlib import Path
from nextword.common.folder_lock import hold

with hold(Path(sys.argv[1]), what=sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder: Path, what: What) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(folder), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_another_process_is_named_waited_for_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    with holder(tmp_path, "training") as process:
        named = (
            rf"{re.escape(str(tmp_path))} is held by process {process.pid}, which has been "
            r"training since \d\d:\d\d; wait until it ends, or ask with --wait SECONDS"
        )
        with pytest.raises(TeachBusyError, match=named), hold(tmp_path, what="teaching"):
            pass
        process.kill()  # SIGKILL: it cannot clean up
        process.wait()
        with hold(tmp_path, what="teaching"):
            found = json.loads((tmp_path / "training/holder.json").read_text())
    assert (found["process"], found["what"]) == (os.getpid(), "teaching")


def test_a_wait_ends_when_the_holder_does(tmp_path: Path) -> None:
    begun = threading.Event()

    def first() -> None:
        with hold(tmp_path, what="teaching"):
            begun.set()
            time.sleep(0.15)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    start = time.monotonic()
    with pytest.raises(TeachBusyError), hold(tmp_path, what="teaching", wait=0.02):
        pass
    with hold(tmp_path, what="teaching", wait=30):
        assert time.monotonic() - start < 25
    thread.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no file that is held")
@pytest.mark.parametrize("deleted", ["lock", "the whole of training"])
def test_a_deleted_lock_file_lets_nobody_in(deleted: str, tmp_path: Path) -> None:
    with holder(tmp_path, "training") as process:
        if deleted == "lock":
            (tmp_path / "training/lock").unlink()
        else:
            shutil.rmtree(tmp_path / "training")
        for _ in range(2):
            with pytest.raises(RunBusyError, match="is held by"), hold(tmp_path, what="training"):
                pass
        process.kill()
        process.wait()
        with hold(tmp_path, what="training"):
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no folders")
def test_a_folder_with_the_name_of_one_that_is_held_is_another(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with hold(tmp_path / "one", what="training"):
        (tmp_path / "one").rename(tmp_path / "two")
        (tmp_path / "one").mkdir()
        with hold(tmp_path / "one", what="training"):
            pass
        with pytest.raises(RunBusyError), hold(tmp_path / "two", what="training"):
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no folders")
def test_where_no_folder_can_be_locked_the_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock

    def refusing(descriptor: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "as NFS does")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", refusing)
    with hold(tmp_path, what="training"), pytest.raises(RunBusyError):
        hold(tmp_path, what="training").__enter__()
    with hold(tmp_path, what="training"):
        pass


@pytest.mark.parametrize(
    ("what", "error", "way"),
    [
        ("training", RunBusyError, "another --out"),
        ("teaching", TeachBusyError, "--wait SECONDS"),
        ("checking", RunBusyError, "stop it"),
    ],
)
def test_the_same_process_is_refused_too(
    what: What, error: type[RunBusyError], way: str, tmp_path: Path
) -> None:
    with hold(tmp_path, what="teaching"):
        with pytest.raises(RunBusyError, match=f"teaching since .* or .*{way}") as refused:
            hold(tmp_path, what=what).__enter__()
        assert type(refused.value) is error
    hold(tmp_path, what=what).__enter__()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"since": "now"}'])
def test_a_holder_that_has_not_said_who_it_is(content: str | None, tmp_path: Path) -> None:
    with hold(tmp_path, what="training"):
        said = tmp_path / "training/holder.json"
        said.unlink() if content is None else said.write_text(content)
        with (
            pytest.raises(TeachBusyError, match="held by another process; wait"),
            hold(tmp_path, what="teaching"),
        ):
            pass


def test_a_holder_on_another_machine_is_named_with_it(tmp_path: Path) -> None:
    with hold(tmp_path, what="training"):
        said = tmp_path / "training/holder.json"
        said.write_text(said.read_text().replace(json.dumps(platform.node()), '"elsewhere"'))
        with (
            pytest.raises(TeachBusyError, match=rf"process {os.getpid()} on elsewhere, which"),
            hold(tmp_path, what="teaching"),
        ):
            pass


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none"), hold(tmp_path / "none", what="teaching"):
        pass
    assert not (tmp_path / "none").exists()
