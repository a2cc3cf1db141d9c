"""Matrix products for our C: torch's own library has them, and lends its function.

Every BLAS (MKL, OpenBLAS, Accelerate) exports `sgemm_`, Fortran's product of two float32 matrices.
It is looked up in the library that torch is linked with, and tried once against torch.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("libtorch_cpu.so", "libtorch_cpu.dylib")
NAME = "sgemm_"


@cache
def product() -> int | None:
    """The address of sgemm in torch's library; None where there is none, or it errs."""
    for name in LIBRARIES:
        path = Path(torch.__file__).parent / "lib" / name
        if path.exists():
            try:
                function = getattr(ctypes.CDLL(str(path)), NAME)
            except (OSError, AttributeError):
                return None
            address = ctypes.cast(function, ctypes.c_void_p).value
            return address if _is_right(function) else None
    return None


def _is_right(sgemm: object) -> bool:
    """Whether it gives what torch gives, for sizes that tell rows from columns."""
    rows, inner, columns = 2, 3, 5
    kind: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    left = torch.arange(rows * inner, **kind).view(rows, inner)
    right = torch.arange(columns * inner, **kind).view(columns, inner)
    found = torch.ones(rows, columns, **kind)
    whole = ctypes.c_int32 * 2  # where whole numbers of 64 bits are expected, these are negative
    sizes = [whole(size, -1) for size in (columns, rows, inner)]
    steps = [whole(size, -1) for size in (inner, inner, columns)]
    one = ctypes.byref(ctypes.c_float(1.0))
    a, b, c = (ctypes.c_void_p(each.data_ptr()) for each in (right, left, found))
    assert callable(sgemm)
    sgemm(b"T", b"N", *sizes, one, a, steps[0], b, steps[1], one, c, steps[2])
    return torch.equal(found, left @ right.T + 1.0)
