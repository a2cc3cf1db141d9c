"""Writing files whole or not at all, and reading them within bounds, with clear errors."""

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from nextword.errors import FolderError, NextwordError, RunError

MAX_FILE = 64 << 20  # bytes of a file that is read whole, where nothing smaller is asked for
LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how the stand-in for a file begins
MAX_DIGITS = 400  # of a whole number in JSON; the largest floating-point number has 309
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON: half a character, alone or in a pair


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a mix.

    A temporary name beside it, flushed to the disk, then renamed over `path`.

    Raises:
        RunError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
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


def regular_size(path: Path) -> int:
    """Return the size of a regular file in bytes, without opening it.

    What is none is refused: to open a pipe may block for ever, and a device never ends.

    Raises:
        FolderError: it is missing, a link to nothing, or a folder, pipe, device or socket.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise FolderError(f"{path} is {kind}, not a file; put the file itself there")
    return found.st_size


def read_bytes(path: Path, *, limit: int = MAX_FILE) -> bytes:
    """Read a whole file, if it is a regular one of at most `limit` bytes.

    Raises:
        FolderError: it is none, is larger, cannot be read, or is a Git LFS pointer.
    """
    size = regular_size(path)
    if size > limit:
        raise FolderError(f"{path} has {size} bytes; at most {limit} are allowed")
    try:
        with path.open("rb") as file:
            content = file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from error
    refuse_lfs_pointer(path, content)
    return content


def read_text(path: Path, *, limit: int = MAX_FILE) -> str:
    """Read a UTF-8 file as `read_bytes` does; a byte order mark is left out.

    Raises:
        FolderError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FolderError(f"{path} is not UTF-8 text: {error}") from error


def read_json(path: Path, *, limit: int = MAX_FILE) -> Any:
    """Read a JSON file.

    Raises:
        FolderError: the file is missing, too large or not JSON; names the file and the line.
    """
    text = read_text(path, limit=limit)
    try:
        value = json.loads(text, parse_int=_whole_number)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise FolderError(f"{path} is nested too deeply to be read") from None
    except UnicodeEncodeError:
        raise FolderError(
            f"{path} holds half a character (a lone surrogate, as \\ud800); write the whole one"
        ) from None
    except json.JSONDecodeError as error:
        raise FolderError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except ValueError as error:
        raise FolderError(f"{path} cannot be read: {error}") from error
    return value


def _whole_number(digits: str) -> int:
    """Read a whole number of JSON, if it is not beyond all sense."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; at most {MAX_DIGITS} are allowed")
    return int(digits)


def refuse_lfs_pointer(path: Path, content: bytes) -> None:
    """Refuse the few lines that Git puts in the place of a large file that it did not fetch.

    Args:
        path: for the message.
        content: how the file begins.

    Raises:
        FolderError: it is such a pointer.
    """
    if content.startswith(LFS_POINTER):
        raise FolderError(
            f"{path} is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`, or "
            "download it again"
        )


def _unreadable(path: Path, error: OSError) -> FolderError:
    """The error for a file that cannot be opened."""
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        return FolderError(
            f"{path} is a link to {path.readlink()}, which does not exist; copy the file itself "
            "there (cp -L copies what links point at)"
        )
    if isinstance(error, FileNotFoundError):
        return FolderError(f"{path} does not exist")
    return FolderError(f"{path} cannot be read: {error.strerror or error}")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
