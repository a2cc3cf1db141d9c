"""The standard streams, of which any may be closed or missing when a command starts."""

import contextlib
import errno
import io
import os
import sys
from typing import Any

CLOSED = "standard output is closed, so nothing can be printed; send it to a file or to /dev/null"


class ClosedOutput(io.TextIOBase):
    """Stands for a standard output that is closed: writing raises an OSError that says so."""

    encoding = "utf-8"

    def write(self, text: str, /) -> int:
        """Refuse to write."""
        if not text:
            return 0
        raise OSError(errno.EBADF, CLOSED)

    def writable(self) -> bool:
        """Return True, so that a writer tries and learns why it cannot."""
        return True


def open_missing_streams() -> None:
    """Give every command a standard input, output and error.

    A closed input reads as empty, what goes to a closed error output is lost, and a closed output
    refuses what is printed. Their numbers are taken, so that no other file gets one of them.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    missing: dict[str, Any] = {
        "stdin": lambda: io.StringIO(""),
        "stdout": ClosedOutput,
        "stderr": lambda: open(os.devnull, "w", encoding="utf-8"),  # noqa: PTH123, SIM115
    }
    for name, make in missing.items():
        if getattr(sys, name) is None:
            setattr(sys, name, make())


def make_printable(stream: Any) -> None:
    """Let no text fail to print: what the terminal cannot encode is escaped."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
