"""How many cores other programs keep busy, as Linux tells it; elsewhere nobody knows."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
INTERVAL = 0.2  # seconds between two samples; the kernel counts in hundredths
IDLE = (3, 4)  # of the numbers of a core in /proc/stat: idle, and waiting for a disk


class LoadMeter:
    """Measures what other programs use of the cores that this process may run on.

    Args:
        stat: the kernel's statistics; tests give a file.
    """

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._others = 0.0
        self._sampled = self._sample()

    def busy_cores(self) -> float:
        """Return how many cores others kept busy since the sample before, in the mean.

        It takes a new sample when the last one is old enough; 0 where nothing can be told.
        """
        before = self._sampled
        if before is None or time.monotonic() - before[0] < INTERVAL:
            return self._others
        now = self._sample()
        if now is not None:
            seconds, busy, own = (new - old for new, old in zip(now, before, strict=True))
            self._others = max(busy - own, 0.0) / seconds
            self._sampled = now
        return self._others

    def _sample(self) -> tuple[float, float, float] | None:
        """Return the time, and the CPU seconds of everybody and of this process so far."""
        try:
            lines = self._stat.read_text(encoding="ascii").splitlines()
            cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
            ticks = os.sysconf("SC_CLK_TCK")
            busy = sum(_busy_ticks(line) for line in lines if line.split(" ")[0] in cores)
        except (OSError, ValueError, AttributeError):  # no Linux, or another layout
            return None
        return time.monotonic(), busy / ticks, time.process_time()


def _busy_ticks(line: str) -> int:
    counts = [int(number) for number in line.split()[1:9]]  # guests are counted twice
    return sum(counts) - sum(count for place, count in enumerate(counts) if place in IDLE)
