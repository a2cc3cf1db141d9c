"""SHA256SUMS: the checksums of every file that decides what a model of a folder computes.

The weights are checked as they are read (tensors.py), the small files before any is used. A folder
of Nextword's version 0.1 lists its weights alone and is checked for these; folders of others may
have no SHA256SUMS at all, which is said.
"""

import hashlib
import re
import shlex
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from nextword.common.atomic_dir import SAVED
from nextword.common.files import read_bytes, write_whole
from nextword.common.folder_layout import SMALL_FILES, SUMS
from nextword.errors import FolderError

MAX_SUMS = 1 << 20  # bytes
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?([^\x00-\x1f\x7f]+)")


class UncheckedWarning(UserWarning):
    """A folder has no checksums, so damage to its files would not be noticed."""


def has_sums(root: Path) -> bool:
    """Return whether the folder has a SHA256SUMS, be it only a link to nothing."""
    return (root / SUMS).exists() or (root / SUMS).is_symlink()


def read_sums(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that SHA256SUMS names; none where there is no such file.

    Raises:
        FolderError: a line is not well formed, or two lines disagree.
    """
    if not has_sums(root):
        return {}
    path = root / SUMS
    sums: dict[str, str] = {}
    content = read_bytes(path, limit=MAX_SUMS).decode("utf-8", "backslashreplace")
    for number, line in enumerate(content.split("\n"), start=1):
        if not (text := line.removesuffix("\r")):
            continue
        found = _LINE.fullmatch(text)
        digest, name = (found[1].lower(), found[2]) if found else ("", "")
        if not found or sums.setdefault(name, digest) != digest:
            why = "names a file twice" if found else "is no checksum and name of a file"
            raise FolderError(
                f"{path} is damaged: line {number} {why}. Copy the file again; "
                f"{accept_changes(root)}"
            )
    return sums


def make_sums(
    folder: Path, weights: Mapping[str, str], *, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the SHA-256 of all that a folder's model depends on, by name.

    Args:
        folder: where every other file is in place already.
        weights: of each file with weights.
        known: of small files that were not changed since they were checked; the others are read.
            So damage that came in between does not become what counts.

    Raises:
        FolderError: a file cannot be read.
    """
    known = known or {}
    small = {name: known.get(name) or sum_of(folder / name) for name in small_files(folder)}
    return small | dict(weights)


def write_sums(
    folder: Path, weights: Mapping[str, str], *, known: Mapping[str, str] | None = None
) -> None:
    """Write SHA256SUMS for all that is in a folder, as the program `sha256sum` reads it.

    The weights come last: where the file is cut short, lines are missing that must be there.

    Args:
        folder, weights, known: see `make_sums`.

    Raises:
        FolderError, RunError: a file cannot be read, or the disk cannot be written.
    """
    sums = make_sums(folder, weights, known=known)
    write_whole(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))


def lists_small_files(sums: Mapping[str, str]) -> bool:
    """Return whether a SHA256SUMS lists more than weights; version 0.1 listed these alone."""
    return any(name in sums for name in SMALL_FILES)


def small_files(root: Path) -> list[str]:
    """Return which small files that a model depends on are there."""
    return [name for name in SMALL_FILES if (root / name).exists() or (root / name).is_symlink()]


def sum_of(path: Path) -> str:
    """Return the SHA-256 of a small file, in hexadecimal."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def check_sums(root: Path, sums: Mapping[str, str], weights: Iterable[str], *, own: bool) -> None:
    """Compare the small files with SHA256SUMS, and see that all files have their line there.

    Args:
        root: where the model is read.
        sums: what `read_sums` gave.
        weights: the names of the files with weights.
        own: whether Nextword wrote the folder, and so a SHA256SUMS.

    Raises:
        FolderError: a file is not what was saved, is gone, or has no line.

    Warns:
        UncheckedWarning: there is no SHA256SUMS.
    """
    if not has_sums(root):
        _warn_unchecked(root, own=own)
        return
    listed = [name for name in SMALL_FILES if name in sums]
    there = small_files(root) if listed else []  # version 0.1 listed the weights alone
    for name in (*there, *weights):
        if name not in sums:
            raise FolderError(
                f"{root / name} has no line in {SUMS}, which names {len(sums)} files; copy both "
                f"files again; {accept_changes(root)}"
            )
    for name in listed:
        if name not in there:
            raise FolderError(
                f"{root / name} is missing, but {SUMS} names it; copy the file again; "
                f"{accept_changes(root)}"
            )
        if sum_of(root / name) != sums[name]:
            raise FolderError(not_as_saved(root / name))


def not_as_saved(path: Path) -> str:
    """Return the message for a file whose content is not the one that SHA256SUMS tells of."""
    return (
        f"{path} is not what was saved: its SHA-256 is not the one in {SUMS}. Copy the file "
        f"again; {accept_changes(path.parent)}"
    )


def accept_changes(root: Path) -> str:
    """Return what to do about a change that was made on purpose."""
    folder = root.parent if root.name == SAVED else root
    return (
        "if it was changed on purpose, run: "
        f"nextword doctor {shlex.quote(str(folder))} --accept-changes"
    )


def _warn_unchecked(root: Path, *, own: bool) -> None:
    folder = root.parent if root.name == SAVED else root
    wrote = ", though Nextword wrote one there" if own else ""
    warnings.warn(
        f"{folder} has no {SUMS}{wrote}: damage to its files would not be noticed. To check them "
        f"from now on, run: nextword doctor {shlex.quote(str(folder))} --accept-changes",
        UncheckedWarning,
        stacklevel=1,  # of this line, and so once, whoever opens the folder
    )
