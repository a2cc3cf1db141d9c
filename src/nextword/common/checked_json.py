"""JSON files that carry their own checksum, so that damage cannot pass for another content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextword.common.files import read_json, write_json
from nextword.errors import FolderError

CHECKSUM = "sha256"  # the key that it stands under


def write_checked_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object with its checksum, whole or not at all.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    write_json(path, {**values, CHECKSUM: checksum_of(values)})


def read_checked_json(path: Path) -> dict[str, Any]:
    """Read an object and verify its checksum; files of version 0.1 have none.

    Raises:
        FolderError: it is missing, no JSON object, or damaged; names the file.
    """
    try:
        values = read_json(path)
    except ValueError as error:  # a number of more digits than Python reads
        raise FolderError(f"{path} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise FolderError(f"{path} is damaged: it holds no JSON object")
    written = values.pop(CHECKSUM, None)
    if written is not None and written != checksum_of(values):
        raise FolderError(f"{path} is damaged: its content does not have the checksum in it")
    return values


def checksum_of(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain JSON, in hexadecimal; spaces and the order of keys do not count.

    Args:
        values: without the checksum.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
