"""Ctrl-C and SIGTERM as one exception that knows its exit code.

Both end a process with one line on standard error and 128 + the signal's number, as shells count:
130 and 143. Code that has something to save catches the signals itself (`common/signals.py`).
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number

    def __str__(self) -> str:
        """Return the line for a person."""
        return f"stopped by {NAMES.get(signal.Signals(self.number), f'signal {self.number}')}"

    @property
    def exit_code(self) -> int:
        """128 + the signal's number."""
        return 128 + self.number


class Interrupts:
    """What the handlers heard.

    Attributes:
        last: the last signal's exception; None: none came.
    """

    def __init__(self) -> None:
        self.last: Interrupted | None = None

    def hear(self, number: int, frame: FrameType | None) -> NoReturn:
        """Raise Interrupted where the main thread is; while a module is imported, end the process.

        An exception in the middle of an import can reach code in C++ that aborts the process, as
        in torch, and there is nothing to save then.
        """
        self.last = Interrupted(number)
        if _is_importing(frame):
            os.write(2, f"nextword: {self.last}\n".encode())
            os._exit(self.last.exit_code)
        raise self.last

    def explain(self, error: BaseException) -> Interrupted | None:
        """Return the signal that made `error`; None if none did.

        A module whose import was broken off may report it as an ImportError or a SystemError.
        """
        if isinstance(error, Interrupted):
            return error
        if isinstance(error, KeyboardInterrupt):
            return self.last or Interrupted()
        return self.last if isinstance(error, ImportError | SystemError) else None


def _is_importing(frame: FrameType | None) -> bool:
    """Return True if a module is being imported where a signal came."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def raise_on_signals() -> Iterator[Interrupts]:
    """Raise Interrupted on SIGINT and SIGTERM while entered; outside the main thread, nothing."""
    heard = Interrupts()
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before[number] = signal.signal(number, heard.hear)
        yield heard
    finally:
        for caught, handler in before.items():
            # None: it was set by code that is not Python's, and cannot be set again
            signal.signal(caught, signal.SIG_DFL if handler is None else handler)


def end_at_once_on_signals() -> None:
    """From now on a signal ends the process without a word; for its last moments."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: os._exit(128 + number))
