"""One lock for a model's folder: whoever trains or teaches there holds it, alone.

    the folder itself      held by the process; the kernel frees it when that process dies
    training/lock          held too: for version 0.1, and where a system locks no folders
    training/holder.json   who holds it, and since when; it stays behind, and tells nothing then

Whoever deletes training/lock frees nothing: the next process finds the folder itself held.
Reading a folder takes no lock: what is written there is whole at any time (common/atomic_dir.py).
"""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import filelock

from nextword.common.files import disk_error, read_json, write_json
from nextword.common.lesson_files_layout import TRAINING
from nextword.errors import FolderError, RunBusyError, TeachBusyError

if sys.platform != "win32":
    import fcntl

What = Literal["training", "teaching", "checking"]
POLL = 0.05  # seconds between two tries
WAYS: dict[What, tuple[type[RunBusyError], str]] = {
    "checking": (RunBusyError, "stop it"),
    "training": (RunBusyError, "choose another --out"),
    "teaching": (TeachBusyError, "ask with --wait SECONDS"),
}


@contextlib.contextmanager
def hold(folder: Path, *, what: What, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder while the block lasts; a second one is refused, in the same process too.

    Args:
        folder: a model's; it must be there.
        what: what it is held for.
        wait: seconds to wait for another one that holds it.

    Raises:
        RunBusyError: it is held to the end of the wait; TeachBusyError for teaching.
        RunError: the folder may not be written.
    """
    training, ends = folder / TRAINING, time.monotonic() + max(wait, 0.0)
    lock = filelock.FileLock(training / "lock", thread_local=False)
    with contextlib.ExitStack() as held:
        try:
            training.mkdir(exist_ok=True)
            held.enter_context(_lock_folder(folder, ends=ends))
            lock.acquire(timeout=max(ends - time.monotonic(), 0.0), poll_interval=POLL)
        except filelock.Timeout:
            error, way = WAYS[what]
            raise error(
                f"{folder} is held by {_holder(training)}; wait until it ends, or {way}"
            ) from None
        except OSError as error:
            raise disk_error(folder, error) from error
        held.callback(lock.release)
        write_json(training / "holder.json", _self(what))
        yield


@contextlib.contextmanager
def _lock_folder(folder: Path, *, ends: float) -> Iterator[None]:
    """Hold the folder itself until the block ends.

    Args:
        folder: as in `hold`.
        ends: when to give up waiting, on the monotonic clock.

    Raises:
        filelock.Timeout: another one holds it.
    """
    if sys.platform == "win32":  # where nobody can delete a file that is held
        yield
        return
    while (descriptor := _locked(folder)) is None:
        if time.monotonic() >= ends:
            raise filelock.Timeout(str(folder))
        time.sleep(POLL)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # for a forked child that has it open, too
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Open a folder and lock it; None where another one has it.

    Where the file system locks no folders it is only opened: then training/lock counts alone.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        return descriptor
    if os.path.samestat(os.fstat(descriptor), folder.stat()):
        return descriptor
    os.close(descriptor)  # another folder has its name since it was opened
    return None


def _self(what: What) -> dict[str, Any]:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"process": os.getpid(), "what": what, "since": since, "host": platform.node()}


def _holder(training: Path) -> str:
    """Who holds the folder, in words."""
    try:
        known = read_json(training / "holder.json")
        since = datetime.fromisoformat(known["since"]).astimezone()
        where = "" if known["host"] == platform.node() else f" on {known['host']}"
        return (
            f"process {known['process']}{where}, which has been {known['what']} since {since:%H:%M}"
        )
    except (FolderError, KeyError, TypeError, ValueError):  # it has not written it yet
        return "another process"
