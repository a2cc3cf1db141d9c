"""Tensors in a .safetensors file, one at a time: no second copy of a model is ever in memory.

The format: 8 bytes with the header's length, the header (JSON: dtype, shape and place of each
tensor), then the tensors' bytes. Source: https://github.com/huggingface/safetensors#format.
The safetensors library checks a file before its header is trusted.
"""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nextword.common.files import LFS_POINTER, disk_error, refuse_lfs_pointer, regular_size, sync
from nextword.errors import FolderError
from nextword.formats.huggingface.checksums import not_as_saved

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
BLOCK = 1 << 20  # bytes read at once of what is only hashed
MAX_HEADER = 16 << 20  # bytes: over 100,000 tensors
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
    """Return the tensors of a .safetensors file, in the order in which they lie.

    Raises:
        FolderError: the file is missing, damaged, cut short or no regular one.
    """
    regular_size(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
            refuse_lfs_pointer(path, start + file.read(len(LFS_POINTER)))
        with safe_open(path, framework="pt"):  # checks lengths, places and the file's size
            pass
        length = int.from_bytes(start, "little")
        if length > MAX_HEADER:
            raise FolderError(
                f"{path} has a header of {length} bytes; at most {MAX_HEADER} are allowed"
            )
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise FolderError(
            f"{path} is damaged or cut short ({error}); copy or download the file again"
        ) from error
    header.pop("__metadata__", None)
    entries = [_entry(name, item, 8 + length) for name, item in header.items()]
    return sorted(entries, key=lambda entry: entry.start)


def _entry(name: str, item: dict[str, object], data: int) -> Entry:
    code, shape, places = item["dtype"], item["shape"], item["data_offsets"]
    assert isinstance(code, str) and isinstance(shape, list) and isinstance(places, list)
    return Entry(name, code, tuple(shape), data + places[0], data + places[1])


def check_dtype(path: Path, entry: Entry) -> None:
    """Refuse numbers that are no floats, as quantized weights are.

    Raises:
        FolderError: names the tensor.
    """
    if entry.code not in DTYPES:
        raise FolderError(
            f"{path} holds {entry.name} as {entry.code}; supported are {', '.join(DTYPES)}: get "
            "the model's weights before they were quantized"
        )


def read_tensors(
    path: Path, *, sha256: str | None = None, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Read the tensors of a .safetensors file in the order in which they lie, one at a time.

    Args:
        path: the file.
        sha256: what its content must hash to; None: not known.
        wanted: the names of those to read; the others take no memory. None: all.

    Yields:
        Names and tensors, each in its own memory.

    Raises:
        FolderError: as `read_header` and `check_dtype`; and, at the end, if the content is not
            what was saved.
    """
    entries = read_header(path)
    for entry in entries:
        if wanted is None or entry.name in wanted:
            check_dtype(path, entry)
    digest = None if sha256 is None else hashlib.sha256()
    try:
        with path.open("rb") as file:
            for entry in entries:
                if wanted is not None and entry.name not in wanted:
                    continue
                _pass_over(file, entry.start, digest)
                tensor = torch.empty(entry.shape, dtype=DTYPES[entry.code])
                content = _bytes_of(tensor)
                if file.readinto(content) != entry.stop - entry.start:
                    raise FolderError(f"{path} was cut short while it was read; try again")
                if digest is not None:
                    digest.update(content)
                yield entry.name, tensor
            _pass_over(file, path.stat().st_size, digest)
    except OSError as error:
        raise FolderError(f"{path} could not be read: {error.strerror or error}") from error
    if digest is not None and digest.hexdigest() != sha256:
        raise FolderError(not_as_saved(path))


def _pass_over(file: BinaryIO, stop: int, digest: "hashlib._Hash | None") -> None:
    """Go on to `stop` in a file; what lies before it is read only where it is hashed."""
    if digest is None:
        file.seek(stop)
        return
    while (left := stop - file.tell()) > 0 and (block := file.read(min(left, BLOCK))):
        digest.update(block)


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, as bytes."""
    array: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(array)
