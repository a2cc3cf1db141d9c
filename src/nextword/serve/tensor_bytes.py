"""Tensors as bytes: a JSON header, then little-endian numbers one after the other.

    bytes 0–3   n, uint32
    n bytes     {"version", "meta", "tensors": [{"name", "dtype", "shape", "offset", "scale"}]},
                UTF-8, filled with spaces so that the data begins at a multiple of 8
    the rest    each tensor in C order, beginning at a multiple of 4 of the data

A number is its element times its scale. Float32 carries NaN and infinities as they are.
"""

import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nextword.serve.responses import exact, to_bytes

CONTENT_TYPE = "application/vnd.nextword.tensors"
BYTE_SCALE = 1 / 255  # of uint8, which stands for 0 to 1 and is meant for colours only


def pack(tensors: Mapping[str, Tensor], *, version: str, meta: Mapping[str, Any]) -> bytes:
    """Named tensors in one piece.

    Args:
        tensors: uint8 stays so; everything else becomes float32.
        version: of the model's weights.
        meta: what belongs to them, for JSON.
    """
    table: list[dict[str, Any]] = []
    parts: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        is_bytes = tensor.dtype == torch.uint8
        array = (tensor if is_bytes else tensor.float()).detach().cpu().contiguous().numpy()
        data = array.astype("uint8" if is_bytes else "<f4", copy=False).tobytes()
        table.append(
            {
                "name": name,
                "dtype": "uint8" if is_bytes else "float32",
                "shape": list(tensor.shape),
                "offset": offset,
                "scale": BYTE_SCALE if is_bytes else 1,
            }
        )
        filled = data + bytes(-len(data) % 4)
        parts.append(filled)
        offset += len(filled)
    header = to_bytes({"version": version, "meta": exact(meta), "tensors": table})
    header += b" " * (-(4 + len(header)) % 8)
    return b"".join([struct.pack("<I", len(header)), header, *parts])
