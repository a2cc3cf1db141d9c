"""Matrix products for our C: torch's own library has them, and lends its function.

Every BLAS (MKL, OpenBLAS, Accelerate) exports `sgemm_`, Fortran's product of two float32 matrices.
It is looked up in the library that torch is linked with, and tried once against torch.
"""

import ctypes
from functools import cache
from pathlib import Path

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
    left = torch.arange(rows * inner, dtype=torch.float32).view(rows, inner)
    right = torch.arange(columns * inner, dtype=torch.float32).view(columns, inner)
    found = torch.full((rows, columns), 1.0)
    whole, real = ctypes.c_int32, ctypes.c_float
    sizes = [ctypes.byref(whole(size)) for size in (columns, rows, inner)]
    steps = [ctypes.byref(whole(size)) for size in (inner, inner, columns)]
    one = ctypes.byref(real(1.0))
    a, b, c = (ctypes.c_void_p(each.data_ptr()) for each in (right, left, found))
    assert callable(sgemm)
    sgemm(b"T", b"N", *sizes, one, a, steps[0], b, steps[1], one, c, steps[2])
    return torch.equal(found, left @ right.T + 1.0)
