"""Tensors in a .safetensors file, one at a time: no second copy of a model is ever in memory.

The format: 8 bytes with the header's length, the header (JSON: dtype, shape and place of each
tensor), then the tensors' bytes. Source: https://github.com/huggingface/safetensors#format.
The safetensors library checks a file before its header is trusted.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nextword.errors import FolderError
from nextword.files import disk_error, sync

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
METADATA = {"format": "pt"}  # transformers asks for it


@dataclass(frozen=True)
class Entry:
    """One tensor of a file; `start` and `stop` are bytes from the file's beginning."""

    name: str
    code: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class ToWrite:
    """One tensor to be written; `make` is called when its turn comes."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], Tensor]

    @property
    def n_bytes(self) -> int:
        """How many bytes it takes in a file."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensors(path: Path, tensors: Sequence[ToWrite]) -> str:
    """Write a .safetensors file and push it to the disk.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for block in _blocks(tensors):
                file.write(block)
                digest.update(block)
            file.flush()
            sync(file.fileno())
    except OSError as error:
        raise disk_error(path, error) from error
    return digest.hexdigest()


def _blocks(tensors: Sequence[ToWrite]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, in order."""
    header: dict[str, object] = {"__metadata__": METADATA}
    place = 0
    for item in tensors:
        code, end = CODES[item.dtype], place + item.n_bytes
        header[item.name] = {"dtype": code, "shape": item.shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8
    yield len(text).to_bytes(8, "little") + text
    for item in tensors:
        tensor = item.make().to("cpu", item.dtype).contiguous()
        assert tuple(tensor.shape) == item.shape, f"{item.name}: {tensor.shape} ≠ {item.shape}"
        yield _bytes_of(tensor)


def read_header(path: Path) -> list[Entry]:
    """The tensors of a .safetensors file, in the order in which they lie.

    Raises:
        FolderError: the file is missing, damaged or cut short, or holds quantised numbers.
    """
    try:
        with safe_open(path, framework="pt"):  # checks lengths, places and the file's size
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise FolderError(f"{path} does not exist; copy the model's folder again") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise FolderError(
            f"{path} is damaged or cut short ({error}); copy or download the file again"
        ) from error
    header.pop("__metadata__", None)
    entries = [_entry(path, name, item, 8 + length) for name, item in header.items()]
    return sorted(entries, key=lambda entry: entry.start)


def _entry(path: Path, name: str, item: dict[str, object], data: int) -> Entry:
    code, shape, places = item["dtype"], item["shape"], item["data_offsets"]
    assert isinstance(code, str) and isinstance(shape, list) and isinstance(places, list)
    if code not in DTYPES:
        raise FolderError(
            f"{path} holds {name} as {code}; supported are {', '.join(DTYPES)}: get the model's "
            "weights before they were quantised"
        )
    return Entry(name, code, tuple(shape), data + places[0], data + places[1])


def read_tensors(path: Path, *, sha256: str | None = None) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a .safetensors file in the order in which they lie, each in its own memory.

    Args:
        path: the file.
        sha256: what its content must hash to; None: not known.

    Raises:
        FolderError: as `read_header`; and, at the end, if the content is not what was saved.
    """
    entries = read_header(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            digest.update(file.read(entries[0].start if entries else path.stat().st_size))
            for entry in entries:
                tensor = torch.empty(entry.shape, dtype=DTYPES[entry.code])
                content = _bytes_of(tensor)
                if file.readinto(content) != entry.stop - entry.start:
                    raise FolderError(f"{path} was cut short while it was read; try again")
                if sha256 is not None:
                    digest.update(content)
                yield entry.name, tensor
    except OSError as error:
        raise FolderError(f"{path} could not be read: {error.strerror or error}") from error
    if sha256 is not None and digest.hexdigest() != sha256:
        raise FolderError(
            f"{path} is not what was saved: its SHA-256 is not the one in SHA256SUMS. Copy the "
            "file again; if it was changed on purpose, delete SHA256SUMS"
        )


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, as bytes."""
    array: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(array)
