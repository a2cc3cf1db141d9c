"""What memory costs a training step: kept between steps, and not searched for garbage.

A training step makes and drops the same large tensors every time. The C library of Linux returns
large blocks to the kernel at once, and every later use pays for fresh, zeroed pages. Told not to,
a step is up to a quarter faster (docs/lab-log.md).
"""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator

# of glibc's malloc.h, mallopt(3)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
# One arena: those of further threads give every block of over 64 MiB back.
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 256 << 20, _ARENA_MAX: 1}
_DEFAULTS = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 128 << 10, _ARENA_MAX: 0}


@contextlib.contextmanager
def kept_memory() -> Iterator[bool]:
    """Keep freed memory for the next step while inside; give it back afterwards.

    Yields:
        Whether this C library can be told so: glibc can, on other systems nothing is changed.
    """
    library = _glibc()
    if library is None:
        yield False
        return
    _tell(library, _KEEP)
    try:
        yield True
    finally:
        _tell(library, _DEFAULTS)
        library.malloc_trim(0)


@contextlib.contextmanager
def settled_objects() -> Iterator[None]:
    """Do not search what is there now for garbage while inside.

    torch brings some hundred thousand objects along. Python's collector looks through them again
    and again, which is 7 % of the step of a small model. (What an embedding program has frozen
    itself is searched again afterwards, too.)
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _tell(library: ctypes.CDLL, settings: dict[int, int]) -> None:
    for name, value in settings.items():
        library.mallopt(name, value)


def _glibc() -> ctypes.CDLL | None:
    """This process's C library, where it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
