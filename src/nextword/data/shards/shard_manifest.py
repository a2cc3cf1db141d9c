"""The manifest of a folder of shards: what was encoded with what, and each file's checksum.

It has a checksum of its own; one of version 0.1 has none, so its numbers are compared with the
sizes of the files.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nextword.common.checked_json import read_checked_json, write_checked_json
from nextword.common.files import sha256_file
from nextword.errors import DataError, FolderError

FORMAT = 1  # raised when the same corpus would be encoded or laid out in another way
MANIFEST = "manifest.json"
DTYPES = ("uint16", "uint32")
ENCODED = ("tokens-", "replies-", "starts.")  # how the names of what is trained on begin
TYPES: dict[str, type] = {
    "tokenizer": str,
    "pad_id": int,
    "dtype": str,
    "file_tokens": int,
    "n_tokens": int,
    "n_documents": int,
    "n_bytes": int,
    "is_dialogue": bool,
    "bad": int,
    "corpus": list,
    "glance": list,
    "files": dict,
}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, with its checksum, whole or not at all."""
    write_checked_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest, if it is whole and every file is there in its size.

    Raises:
        DataError: says what is missing or torn.
    """
    path = folder / MANIFEST
    try:
        manifest = read_checked_json(path)
    except FolderError as error:
        raise DataError(f"{folder} holds no finished shards: {error}") from error
    if manifest.get("format") != FORMAT:
        raise DataError(f"{folder} holds shards of another version; delete it to make them anew")
    try:
        agrees = all(type(manifest[key]) is kind for key, kind in TYPES.items())
        sizes = {name: made["size"] for name, made in manifest["files"].items()}
        encoded = {name: size for name, size in sizes.items() if name.startswith(ENCODED)}
        agrees = agrees and encoded == _expected_sizes(manifest)
        agrees = agrees and all("sha256" in made for made in manifest["files"].values())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!r}") from error
    if not agrees:
        raise DataError(f"{path} is damaged: its numbers do not fit its files")
    _check_sizes(folder, sizes)
    return manifest


def damaged_file(
    folder: Path, manifest: dict[str, Any], names: Iterable[str] | None = None
) -> Path | None:
    """Return the first file whose content is not what was made; None where all are whole.

    Args:
        folder: of the shards.
        manifest: what `read_manifest` gave.
        names: of the files to read; None: all.

    Raises:
        DataError: a file cannot be read.
    """
    for name in manifest["files"] if names is None else names:
        path = folder / name
        try:
            if sha256_file(path) != manifest["files"][name]["sha256"]:
                return path
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return None


def _check_sizes(folder: Path, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else -1
        if found != size:
            what = "is missing" if found < 0 else f"has {found} bytes"
            raise DataError(f"{path} {what}; it was made with {size} bytes")


def _expected_sizes(manifest: dict[str, Any]) -> dict[str, int]:
    """Return the bytes of each encoded file, by name, that follow from a manifest's numbers."""
    if manifest["dtype"] not in DTYPES:
        raise ValueError(f"dtype {manifest['dtype']}")
    itemsize, file_tokens = np.dtype(manifest["dtype"]).itemsize, manifest["file_tokens"]
    sizes = {"starts.bin": 8 * (manifest["n_documents"] + 1)}
    for number, first in enumerate(range(0, manifest["n_tokens"], file_tokens)):
        n = min(file_tokens, manifest["n_tokens"] - first)
        sizes[f"tokens-{number:05d}.bin"] = n * itemsize
        if manifest["is_dialogue"]:
            sizes[f"replies-{number:05d}.bin"] = -(-n // 8)
    return sizes
