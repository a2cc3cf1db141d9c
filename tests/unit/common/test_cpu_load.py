"""What other programs use of the cores: from the kernel's counters, less what this process used."""

import os
import time
from pathlib import Path

import pytest

from nextword.common import cpu_load
from nextword.common.cpu_load import LoadMeter

TICKS = 100  # of the kernel's clock in a second


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The time, the CPU seconds of this process, and two cores that it may run on."""
    now = {"time": 10.0, "own": 3.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["time"])
    monkeypatch.setattr(time, "process_time", lambda: now["own"])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: TICKS)
    return now


def write(stat: Path, *busy: int) -> Path:
    """Counters of some cores: `busy` ticks each, shared out over user, system and irq."""
    lines = ["cpu 1 2 3 4 5 6 7 8 9 10"]
    for number, ticks in enumerate(busy):
        lines.append(f"cpu{number} {ticks - 3} 0 2 777 33 0 1 0 55 0")
    stat.write_text("\n".join([*lines, "intr 5"]))
    return stat


def test_it_is_what_all_used_of_our_cores_less_what_we_used(
    clock: dict[str, float], tmp_path: Path
) -> None:
    meter = LoadMeter(write(tmp_path / "stat", 100, 1000, 200))
    assert meter.busy_cores() == 0.0
    clock.update(time=10.5, own=3.5)
    write(tmp_path / "stat", 170, 5000, 270)  # 1.4 s on cores 0 and 2, 0.5 s of them ours
    assert meter.busy_cores() == pytest.approx(0.9 / 0.5)
    clock.update(time=11.4, own=5.5)
    write(tmp_path / "stat", 270, 9000, 370)  # 2 s, all of them ours
    assert meter.busy_cores() == pytest.approx(0.0)


def test_no_sample_is_taken_too_soon_after_another(clock: dict[str, float], tmp_path: Path) -> None:
    meter = LoadMeter(write(tmp_path / "stat", 100, 0, 100))
    clock.update(time=10.0 + cpu_load.INTERVAL / 2)
    write(tmp_path / "stat", 200, 0, 100)
    assert meter.busy_cores() == 0.0
    clock.update(time=10.0 + cpu_load.INTERVAL * 2)
    assert meter.busy_cores() == pytest.approx(1.0 / (cpu_load.INTERVAL * 2))


@pytest.mark.parametrize("text", [None, "cpu0 a b c d e f g h", "\xff"])
def test_where_nothing_can_be_told_nobody_is_busy(
    text: str | None, clock: dict[str, float], tmp_path: Path
) -> None:
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_bytes(text.encode("latin-1"))
    meter = LoadMeter(stat)
    clock.update(time=20.0)
    assert meter.busy_cores() == 0.0


def test_after_a_pause_it_is_who_wants_a_core_now(clock: dict[str, float], tmp_path: Path) -> None:
    stat, tasks = write(tmp_path / "stat", 100, 0, 100), tmp_path / "task"
    for number, state in enumerate("RSR"):  # two of ours run; their names try to mislead
        (tasks / str(number)).mkdir(parents=True)
        (tasks / str(number) / "stat").write_text(f"{number} (a) S (b) {state} 1 2 3")
    meter = LoadMeter(stat, tasks)
    clock.update(time=10.0 + cpu_load.STALE)
    stat.write_text(stat.read_text() + "\nprocs_running 5\nprocs_blocked 0\n")
    assert meter.busy_cores() == 3.0
    clock.update(time=20.0)
    (tasks / "0" / "stat").unlink()  # a thread that has just ended
    assert meter.busy_cores() == 4.0
    clock.update(time=30.0)
    stat.write_text(stat.read_text().replace("procs_running 5", "procs_running"))
    assert meter.busy_cores() == 0.0
