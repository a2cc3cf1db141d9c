"""Writing files whole or not at all, and reading them with clear errors."""

import contextlib
import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from nextword.errors import FolderError, NextwordError, RunError


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a mix.

    A temporary name beside it, flushed to the disk, then renamed over `path`. Half of a character,
    as in a file name that is not UTF-8, is written as its escape, which JSON reads back.

    Raises:
        RunError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    content = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            sync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise disk_error(path, error) from error


def sweep(folder: Path) -> None:
    """Remove what a killed `write_whole` left half written; only for who alone writes there."""
    for left in folder.glob(".*.partial"):
        if left.is_file():  # a folder is its owner's to finish or to throw away
            left.unlink()


def append_line(path: Path, line: bytes) -> None:
    """Append a line, or leave the file as it was.

    Raises:
        RunError: the disk is full or may not be written; no half line is left.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab", buffering=0) as file:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, before)
        raise disk_error(path, error) from error


def flush(path: Path) -> None:
    """Push what was written to a file to the disk itself; RunError says why it cannot be."""
    try:
        with path.open("rb+") as file:
            sync(file.fileno())
    except OSError as error:
        raise disk_error(path, error) from error


def sync(descriptor: int) -> None:
    """Push a file's content to the disk itself."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Push a folder's list of names to the disk, where the system can."""
    if os.name == "nt":  # Windows has no handle for folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(path: Path, error: OSError) -> NextwordError:
    """The RunError that explains why `path` could not be used, with the way to mend it."""
    named = Path(error.filename or path)
    path = path if named.name.endswith(".partial") else named  # nobody knows of partial files
    if error.errno == errno.ENOSPC:
        return RunError(
            f"the disk is full: {path} could not be written. What was saved before is untouched; "
            "free some space and run the same command again."
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return RunError(
            f"{path} may not be used: {error.strerror or error}. Give yourself the right to read "
            "and write there, or choose another --out."
        )
    return RunError(f"{path} could not be written: {error.strerror or error}")


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal; reads 1 MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FolderError: the file is missing or is not JSON; names the file and the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FolderError(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise FolderError(f"{path} is not UTF-8 text: {error}") from error
    except RecursionError:
        raise FolderError(f"{path} is nested too deeply to be read") from None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise FolderError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
