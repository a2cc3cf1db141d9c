"""One lock for a model's folder: whoever trains or teaches there holds it, alone.

    training/lock          held by the process; the kernel frees it when that process dies
    training/holder.json   who holds it, and since when; it stays behind, and tells nothing then

Reading a folder takes no lock: what is written there is whole at any time (folder/whole.py).
"""

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import filelock

from nextword.errors import FolderError, RunBusyError, TeachBusyError
from nextword.files import disk_error, read_json, write_json
from nextword.folder.taught import TRAINING

What = Literal["training", "teaching"]
WAYS: dict[What, tuple[type[RunBusyError], str]] = {
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
    training = folder / TRAINING
    lock = filelock.FileLock(training / "lock", timeout=max(wait, 0.0), thread_local=False)
    try:
        training.mkdir(exist_ok=True)
        lock.acquire(poll_interval=0.05)
    except filelock.Timeout:
        error, way = WAYS[what]
        raise error(
            f"{folder} is held by {_holder(training)}; wait until it ends, or {way}"
        ) from None
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        write_json(training / "holder.json", _self(what))
        yield
    finally:
        lock.release()


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
