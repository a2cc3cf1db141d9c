"""What is handed over to blocks.c and loss.c: the structs of blocks.h, field by field."""

import ctypes
from typing import Literal

from torch import Tensor

from nextword.kernels.build import POINTER, REAL, WHOLE

NormKind = Literal["none", "rms", "layer"]
NORMS: dict[str, int] = {"none": 0, "rms": 1, "layer": 2}
ACTIVATIONS: dict[str, int] = {"relu": 0, "relu2": 1, "gelu_tanh": 2, "swiglu": 3}

NORM = ("weight", "bias")
ATTENTION = (  # what half a block multiplies and adds; each [rows, columns] or [width]
    *("query", "key", "value", "output"),
    *("query_bias", "key_bias", "value_bias", "output_bias", "query_norm", "key_norm"),
)
FEED_FORWARD = ("gate", "up", "down", "gate_bias", "up_bias", "down_bias")
HALVES = (ATTENTION, FEED_FORWARD)
MATRICES = {"query", "key", "value", "output", "gate", "up", "down"}  # of either half


class ShortStruct(ctypes.Structure):
    """`Short` of blocks.h: where a matrix lies in short form, for either way."""

    _fields_ = [("forward", POINTER), ("back", POINTER)]


class DropoutStruct(ctypes.Structure):
    """`Dropout` of dropout.h."""

    _fields_ = [("seed", WHOLE), ("seed_of_weights", WHOLE), ("share", REAL)]


class NormStruct(ctypes.Structure):
    _fields_ = [
        *((name, POINTER) for name in NORM),
        *((f"by_{name}", POINTER) for name in NORM),
        *(("kind", WHOLE), ("epsilon", REAL)),
    ]


class AttentionStruct(ctypes.Structure):
    """`Attention` of blocks.h."""

    _fields_ = [
        *((name, POINTER) for name in ("product", "x", "y", "joined", "context", "log_sum")),
        *((name, POINTER) for name in ATTENTION),
        *((name, POINTER) for name in ("cos", "sin", "documents", "gradient", "by_x")),
        *((f"by_{name}", POINTER) for name in ATTENTION),
        ("scratch", POINTER),
        *((name, WHOLE) for name in ("batch", "tokens", "places", "width", "heads", "shared")),
        *((name, WHOLE) for name in ("head_width", "window", "group", "bits")),
        *((name, REAL) for name in ("scale", "epsilon")),
        *((f"{name}_short", ShortStruct) for name in ATTENTION if name in MATRICES),
        *(("dropout", DropoutStruct), ("norm", NormStruct)),
    ]


class FeedForwardStruct(ctypes.Structure):
    """`FeedForward` of blocks.h."""

    _fields_ = [
        *((name, POINTER) for name in ("product", "x", "y", "gated", "raised")),
        *((name, POINTER) for name in FEED_FORWARD),
        *((name, POINTER) for name in ("gradient", "by_x")),
        *((f"by_{name}", POINTER) for name in FEED_FORWARD),
        ("scratch", POINTER),
        *((name, WHOLE) for name in ("rows", "width", "inner", "group", "activation", "bits")),
        *((f"{name}_short", ShortStruct) for name in FEED_FORWARD if name in MATRICES),
        *(("dropout", DropoutStruct), ("norm", NormStruct)),
    ]


class LossStruct(ctypes.Structure):
    """`Loss` of blocks.h."""

    _fields_ = [
        *((name, POINTER) for name in ("product", "x", "weight", "bias", "targets")),
        *((name, POINTER) for name in ("by_x", "by_weight", "by_bias", "scratch")),
        *((name, WHOLE) for name in ("rows", "width", "words", "part", "group", "bits")),
        *(("known", REAL), ("smoothing", REAL), ("of_weight", ShortStruct), ("norm", NormStruct)),
    ]


def place(tensor: Tensor | None) -> int | None:
    """Where it lies in memory."""
    return None if tensor is None else tensor.data_ptr()
