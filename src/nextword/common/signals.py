"""Being asked to stop: Ctrl-C and SIGTERM let the step end, so that everything can be saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from nextword.common.interrupts import Interrupted
from nextword.errors import StoppedError


class StopSignals:
    """While it is entered, the first Ctrl-C or SIGTERM only sets `asked`; a second one is obeyed.

    Outside the main thread Python delivers no signals, and it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None: it was set by code that is not Python's, and cannot be set again
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise Interrupted(number)
        self.asked = True


class _AtOnce(StopSignals):
    """SIGTERM ends things as Ctrl-C does: at once, by an Interrupted."""

    def _hear(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)


@contextlib.contextmanager
def stoppable(folder: Path) -> Iterator[None]:
    """Before and after training, where nothing can be lost, Ctrl-C and SIGTERM end it at once.

    Raises:
        StoppedError: in place of the KeyboardInterrupt, a second Ctrl-C while training included.
    """
    try:
        with _AtOnce():
            yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped at once; what was saved in {folder} stays, and the same command goes on "
            "from there"
        ) from None
