"""Being asked to stop."""

import signal
import threading
from pathlib import Path

import pytest

from nextword.common.signals import StopSignals, stoppable
from nextword.errors import StoppedError

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", BOTH)
def test_the_first_is_noted_and_the_second_obeyed(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in BOTH]
    with StopSignals() as stop:
        asked = [stop.asked]
        signal.raise_signal(number)
        assert [*asked, stop.asked] == [False, True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert [signal.getsignal(each) for each in BOTH] == before


@pytest.mark.parametrize("number", BOTH)
def test_outside_of_the_steps_either_stops_at_once(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in BOTH]
    with pytest.raises(StoppedError, match="saved in mine stays") as error, stoppable(Path("mine")):
        signal.raise_signal(number)
    assert error.value.exit_code == 75
    assert [signal.getsignal(each) for each in BOTH] == before


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="mine"), stoppable(Path("out")):
        raise ValueError("mine")


def test_other_threads_are_not_disturbed() -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    def enter() -> None:
        with StopSignals() as stop, stoppable(Path("out")):
            found.append((stop.asked, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [(False, before)]
