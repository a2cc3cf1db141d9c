"""How many cores other programs keep busy, as Linux tells it; elsewhere nobody knows."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
TASKS = Path("/proc/self/task")
INTERVAL = 0.2  # seconds between two samples; the kernel counts in hundredths
STALE = 1.0  # seconds after which a sample tells of another time, not of now
IDLE = (3, 4)  # of the numbers of a core in /proc/stat: idle, and waiting for a disk


class LoadMeter:
    """Measures what other programs use of the cores that this process may run on.

    Args:
        stat, tasks: the kernel's statistics, and this process's threads; tests give their own.
    """

    def __init__(self, stat: Path = STAT, tasks: Path = TASKS) -> None:
        self._stat, self._tasks = stat, tasks
        self._others = 0.0
        self._sampled = self._sample()

    def busy_cores(self) -> float:
        """Return how many cores others kept busy since the sample before, in the mean.

        It takes a new sample when the last one is old enough. After a pause it is how many threads
        of others want a core at this moment. 0 where nothing can be told.
        """
        before = self._sampled
        if before is None or time.monotonic() - before[0] < INTERVAL:
            return self._others
        now = self._sample()
        if now is not None:
            seconds, busy, own = (new - old for new, old in zip(now, before, strict=True))
            used = max(busy - own, 0.0) / seconds
            self._others = used if seconds < STALE else self._running()
            self._sampled = now
        return self._others

    def _running(self) -> float:
        """Return how many threads of other programs run, or wait for a core, now."""
        try:
            text = self._stat.read_text(encoding="ascii")
            running = int(text.partition("procs_running ")[2].split()[0])
            states = [_state(task / "stat") for task in self._tasks.iterdir()]
        except (OSError, ValueError, IndexError):
            return 0.0
        return float(max(running - states.count("R"), 0))

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


def _state(stat: Path) -> str:
    """Return what a thread does, `R` if it runs; its name before that may have any letters."""
    try:
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(") ")[2][:1]
    except OSError:  # it has ended
        return ""


def _busy_ticks(line: str) -> int:
    counts = [int(number) for number in line.split()[1:9]]  # guests are counted twice
    return sum(counts) - sum(count for place, count in enumerate(counts) if place in IDLE)
