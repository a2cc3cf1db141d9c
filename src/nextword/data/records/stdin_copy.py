"""Standard input and pipes, copied within bounds to a file, so that they can be read twice."""

import contextlib
import os
import select
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nextword.common.files import disk_error
from nextword.data.records.file_format import HEAD, refuse_head
from nextword.errors import DataError

LARGEST_STREAM = 64 << 30  # bytes
SPARED = 1 << 30  # bytes of the disk that a copy leaves free
WRITER_WAIT = 10.0  # seconds that a pipe waits for somebody to write into it
SILENCE = 600.0  # seconds that a pipe waits for the next bytes
_BLOCK = 1 << 20


class Copy:
    """A temporary file that is deleted together with this object, or at exit."""

    def __init__(self, stream: IO[bytes], *, name: str = "the stream") -> None:
        """Copy a stream to its end.

        Raises:
            DataError: it is binary, or larger than a stream may be.
            RunError: the disk is full.
        """
        descriptor, path = tempfile.mkstemp(prefix="nextword-", suffix=".stream")
        self.path = Path(path)
        remove = weakref.finalize(self, self.path.unlink, missing_ok=True)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _copy(stream, file, self.path, name)
        except OSError as error:
            remove()
            raise disk_error(self.path, error) from error
        except BaseException:
            remove()
            raise


def _copy(stream: IO[bytes], file: IO[bytes], path: Path, name: str) -> None:
    head, size = b"", 0
    while block := stream.read(_BLOCK):
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
            refuse_head(head, name=name)
        size += len(block)
        free = shutil.disk_usage(path.parent).free
        if size > LARGEST_STREAM or free < SPARED:
            where = f"the disk of {path.parent} has {free / 1e9:.1f} GB left"
            raise DataError(
                f"{name} has more than {size / 1e9:.1f} GB, and {where}; the most is "
                f"{LARGEST_STREAM / 1e9:.0f} GB, with {SPARED / 1e9:.0f} GB to spare. Give a file "
                "instead, or set TMPDIR to a larger disk"
            )
        file.write(block)


@contextlib.contextmanager
def open_pipe(path: Path, *, name: str) -> Iterator[IO[bytes]]:
    """Open a named pipe for reading, without waiting for ever for a writer.

    Raises:
        DataError: nobody writes into it; at its first read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.closing(_Pipe(descriptor, name)) as pipe:
        yield pipe  # type: ignore[misc]


class _Pipe:
    """A pipe that is read with a time limit."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._began = False

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        waiting = time.monotonic()
        while True:
            block = self._next(size)
            if block or (block == b"" and self._began):
                self._began = True
                return block
            waited = time.monotonic() - waiting
            if waited > (WRITER_WAIT if block == b"" else SILENCE):
                raise DataError(
                    f"{self._name} is a pipe, and nothing came from it for {waited:.0f} seconds; "
                    "start its writer first, or give a file"
                )
            if block is None:  # its writer has not written anything
                select.select([self._descriptor], [], [], min(1.0, SILENCE))
            else:  # no writer yet
                time.sleep(0.05)

    def _next(self, size: int) -> bytes | None:
        """Return what is there; none at the end; None: a writer is there and wrote nothing."""
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            return None

    def close(self) -> None:
        os.close(self._descriptor)
