"""What every benchmark shares: alternation, medians, and a result with where it was measured."""

import json
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DATA = Path("../shared/data")  # texts to measure with, unless a program is told another folder


def alternate(
    runs: Mapping[str, Callable[[], object]], *, rounds: int = 5, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each run, worked through in turn A B A B …, so that drift meets all alike."""
    for run in runs.values():
        for _ in range(warmup):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each list."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def train_whole(command: str, out: Path) -> tuple[float, dict[str, Any]]:
    """Run `nextword COMMAND` into the folder `out`, anew, in a process of its own.

    Args:
        command: from "train" on, without --out; what it prints goes to `out`.log.

    Returns:
        Seconds from the start of the process to its end, and the run's own summary.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    words = ["-m", "nextword", *shlex.split(command), "--out", str(out), "--fresh"]
    seconds = run_python(words, log=out.with_name(f"{out.name}.log"))
    summary: dict[str, Any] = json.loads((out / "training" / "finished.json").read_text())
    return seconds, summary


def run_python(words: Sequence[str], *, log: Path) -> float:
    """Run Python with these arguments in a process of its own; seconds from its start to its end.

    What it prints goes to `log`.
    """
    with log.open("w") as file:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], stdout=file, stderr=subprocess.STDOUT, check=True)
        return time.perf_counter() - start


class Worker:
    """A process of a benchmark that does a block of work when told to.

    The program prints a line once it is ready; for each line that it reads it does a block and
    prints the seconds that it took.

    Args:
        words: the program and its arguments, for Python.
        env: its environment; None: this one.
    """

    def __init__(self, words: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        self._read()

    def block(self) -> float:
        """Return the seconds of one block."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended early; its error stands above")
        return line


def where() -> dict[str, str | int]:
    """Hardware, versions and commit of a measurement."""
    import torch

    import nextword
    from nextword.hardware import processor_name

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        **gpu,
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "nextword": nextword.__version__,
        "commit": commit or "unknown",
    }


def save(name: str, *, command: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `results/NAME.json` and print the rows as a table."""
    result = {"command": command, "where": where(), "rows": list(rows)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(table(rows))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table."""
    if not rows:
        return "(no rows)"
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = (_cell(row[column]) for column in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
