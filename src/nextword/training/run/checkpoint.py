"""Checkpoints: each is written whole, verified before it is read, and replaced only by a good one.

A checkpoint is a folder `step-00000100` of safetensors files, one `state.json`, and a
`manifest.json` with the size and the SHA-256 of each of them. It is filled under a hidden name
and renamed last, so a folder with a visible name was complete on the disk when it got that name.
Formats for tensors keep no checksum of their own: one flipped bit would load silently.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nextword.common.files import disk_error, read_json, sha256_file, sync, sync_folder, write_json
from nextword.errors import CheckpointError, FolderError, RunError

KEPT = 2  # good checkpoints that stay: the newest, and one to fall back on
FORMAT = 1  # of the manifest
MANIFEST = "manifest.json"
STATE = "state.json"
WEIGHTS = ".safetensors"
PARTIAL = ".partial"  # being written, or being removed: worth nothing
ASIDE = ".aside"  # good, but about to be replaced by a newer one of the same step

Parts = Mapping[str, Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What a run saved: tensors by part and name (on the CPU, any shape and dtype) and a state."""

    step: int
    parts: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any]


class Checkpoints:
    """The folder that holds a run's checkpoints; one process at a time (see run.py's lock)."""

    def __init__(self, folder: Path, *, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._warn = warn
        self._damaged: set[str] = set()  # names of folders that failed verification

    def newest_first(self) -> list[Path]:
        """The folders of all checkpoints, good or damaged, the highest step first."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if _step_of(path) is not None]
        return sorted(found, key=lambda path: _step_of(path) or 0, reverse=True)

    def sweep(self) -> None:
        """Remove what a killed process left half written; put back what it had moved aside."""
        for left in self.folder.glob(".step-*"):
            final = left.with_name(left.stem[1:])
            if left.suffix == ASIDE and not final.exists():
                left.rename(final)
            else:
                _remove(left)

    def save(self, step: int, parts: Parts, state: Mapping[str, Any]) -> None:
        """Write a checkpoint whole, or leave everything as it was; then drop the oldest.

        Raises:
            RunError: the disk is full or may not be written; the earlier checkpoints still load.
        """
        final = self.folder / f"step-{step:08d}"
        partial = final.with_name(f".{final.name}{PARTIAL}")
        try:
            _remove(partial)
            partial.mkdir(parents=True)
            write_checkpoint(partial, step=step, parts=parts, state=state)
            _put(partial, final)
        except BaseException as error:  # an interrupt too must leave no rubbish behind
            _remove(partial)
            if isinstance(error, OSError):
                raise disk_error(final, error) from error
            raise
        self._damaged.discard(final.name)
        self._prune()

    def load(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None when there has been none yet.

        A damaged one is named through `warn`, and the one before it is taken.

        Raises:
            CheckpointError: there are checkpoints, and every one is damaged.
        """
        problems: list[str] = []
        for folder in self.newest_first():
            try:
                checkpoint = read_checkpoint(folder)
            except CheckpointError as error:
                self._damaged.add(folder.name)
                problems.append(str(error))
                continue
            for problem in problems:
                self._warn(f"{problem}; training goes on from step {checkpoint.step} instead")
            return checkpoint
        if problems:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole: {'; '.join(problems)}. "
                "Put one back from a copy, or start over with --fresh."
            )
        return None

    def newest_state(self) -> dict[str, Any] | None:
        """Return the newest state that is whole, without reading any tensors; None without one."""
        for folder in self.newest_first():
            with contextlib.suppress(FolderError, OSError, KeyError):
                _, digest = _manifest_files(folder)[STATE]
                if sha256_file(folder / STATE) == digest:
                    return dict(read_json(folder / STATE))
        return None

    def _prune(self) -> None:
        """Keep the newest good checkpoints; a failure to remove others must not stop a run."""
        everything = self.newest_first()
        good = [folder for folder in everything if self._seems_good(folder)]
        for folder in everything:
            if folder in good[:KEPT]:
                continue
            try:  # renamed first: a half-removed folder must not look like a damaged checkpoint
                _remove(folder.rename(folder.with_name(f".{folder.name}{PARTIAL}")))
            except OSError as error:
                self._warn(f"the old checkpoint {folder} could not be removed: {error.strerror}")

    def _seems_good(self, folder: Path) -> bool:
        """Sizes only: hashing gigabytes again at every save would cost more than it tells."""
        return folder.name not in self._damaged and damage(folder, contents=False) is None


def write_checkpoint(folder: Path, *, step: int, parts: Parts, state: Mapping[str, Any]) -> None:
    """Fill an empty folder with a checkpoint, each file flushed to the disk, the manifest last."""
    for name, tensors in parts.items():
        assert re.fullmatch(r"\w+", name), f"{name!r} cannot name a file"
        _write_tensors(folder / f"{name}{WEIGHTS}", tensors)
    write_json(folder / STATE, plain(state, "state"))
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.iterdir())
    }
    write_json(folder / MANIFEST, {"format": FORMAT, "step": step, "files": files})


def read_checkpoint(folder: Path) -> Checkpoint:
    """Verify a checkpoint against its manifest, then read it.

    Raises:
        CheckpointError: it is damaged; says which file and what differs.
    """
    problem = damage(folder)
    if problem is None:
        try:
            names = [path.stem for path in sorted(folder.glob(f"*{WEIGHTS}"))]
            parts = {name: _read_tensors(folder / f"{name}{WEIGHTS}") for name in names}
            return Checkpoint(_step_of(folder) or 0, parts, dict(read_json(folder / STATE)))
        except (OSError, SafetensorError, FolderError) as error:
            problem = str(error)
    raise CheckpointError(f"the checkpoint {folder.name} is damaged: {problem}")


def damage(folder: Path, *, contents: bool = True) -> str | None:
    """What differs between a checkpoint and its manifest; None when it is whole.

    Args:
        folder: the checkpoint's folder.
        contents: whether to compare the SHA-256 too, not only names and sizes.

    Raises:
        RunError: a file may not be read.
    """
    try:
        files = _manifest_files(folder)
        extra = {path.name for path in folder.glob(f"*{WEIGHTS}")} - set(files)
        if extra:
            return f"{min(extra)} is not in its manifest"
        for name, (size, digest) in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes, its manifest says {size}"
            if contents and (actual := sha256_file(path)) != digest:
                return f"{name} has SHA-256 {actual[:12]}…, its manifest says {digest[:12]}…"
    except PermissionError as error:
        raise disk_error(folder, error) from error
    except OSError as error:  # a bad sector
        return f"{error.filename or folder} cannot be read: {error.strerror}"
    except FolderError as error:  # of the manifest itself
        return str(error)
    return None


def plain(value: Any, name: str) -> Any:
    """`value` as plain JSON: every mapping a dict, every tuple a list.

    Args:
        value: what is to be stored.
        name: what it is called in messages.

    Raises:
        RunError: something in it is not plain JSON, a NaN for instance; names the key.
    """
    if isinstance(value, str):  # names of files can hold bytes that are no UTF-8
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{index}]") for index, item in enumerate(value)]
    raise RunError(
        f"{name} is {value!r:.60} ({type(value).__name__}), which cannot be stored; allowed are "
        "finite numbers, texts, true, false, none, lists, and mappings with text keys"
    )


def _step_of(folder: Path) -> int | None:
    match = re.fullmatch(r"step-(\d{8,})", folder.name)
    return int(match[1]) if match else None


def _manifest_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 by file name; FolderError when the manifest itself is no manifest."""
    manifest = read_json(folder / MANIFEST)
    match manifest:
        case {"format": int(form), "step": int(step), "files": {"state.json": dict()}}:
            pass
        case _:
            raise FolderError(f"{MANIFEST} is not a checkpoint's manifest")
    if form != FORMAT:
        raise FolderError(f"{MANIFEST} has format {form}, this Nextword reads format {FORMAT}")
    if step != _step_of(folder):
        raise FolderError(f"{MANIFEST} says step {step}")
    try:
        return {
            Path(name).name: (int(item["size"]), str(item["sha256"]))
            for name, item in manifest["files"].items()
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FolderError(f"{MANIFEST} lacks a size or a SHA-256") from error


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write one safetensors file and flush it to the disk."""
    try:
        save_file(_unshared(tensors), path)
    except SafetensorError as error:  # it hides the operating system's error in its text
        found = re.search(r"os error (\d+)", str(error))
        code = int(found[1]) if found else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error
    with path.open("rb+") as file:
        sync(file.fileno())


def _unshared(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same values, contiguous on the CPU, no two in one storage (safetensors refuses that)."""
    ready: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().to("cpu").contiguous()
        if own.untyped_storage().data_ptr() in seen:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        ready[name] = own
    return ready


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """A part's tensors, in memory of their own: a view into the file would change with it."""
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118


def _put(partial: Path, final: Path) -> None:
    """Give a complete folder its name; one of the same step gives way only now."""
    aside = final.with_name(f".{final.name}{ASIDE}")
    if final.exists():
        _remove(aside)
        final.rename(aside)
    partial.rename(final)
    sync_folder(final.parent)
    _remove(aside)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
