"""Does a run that is killed at any moment end with the same weights? Kills many and compares.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--dry]

Each run is killed (SIGKILL) again and again while it lives, up to three times, and begun again
until it is done; then the SHA-256 of its model.safetensors and its metrics.jsonl are compared with
those of an undisturbed run. Half of the kills come at a moment in time, half at an operation on
the run's files (the n-th open, rename, removal …), spread over the whole life of a run. torch is
loaded once: every attempt is a fork. Unix only. It leaves with 1 if a run differs.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import nextword.training.pipeline as training
from common import save, table
from nextword.common.files import sha256_file
from nextword.training.request import TrainRequest

KILLS_PER_RUN = 3
PHASES = ("preparing", "training", "saving a checkpoint", "finishing")
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
COMMON: dict[str, Any] = {"evaluate_every": 4, "checkpoint_every": 5, "batch_size": 4}
CASES: dict[str, dict[str, Any]] = {
    "rows, muon, dropout": {
        "data": "dialogues.jsonl",
        "preset": "qwen3",
        "training": {"dropout": 0.1, "accumulate": 2},
    },
    "windows, adamw": {"data": "text.txt", "preset": "gpt2", "training": {"optimizer": "adamw"}},
}


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: what it left, and how long it lived."""

    digest: str
    metrics: bytes
    seconds: float
    events: int


def main() -> None:
    """Kill, compare, write results/kills.json."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--at", type=float, nargs="+", help="one kill per run, at these moments")
    options.add_argument("--dry", action="store_true", help="print the table, keep no result")
    given = options.parse_args()
    torch.set_num_threads(1)  # forks of a process with threads would hang
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    training.peak_of = lambda _: 1e12  # type: ignore[attr-defined, assignment]
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        training.train(request(Path(folder), next(iter(CASES)), Path(folder) / "warm"))
        if given.at:
            kills = [Kill(moment, by_event=True, last=True) for moment in given.at]
            rows = [worked_through(Path(folder), next(iter(CASES)), kills)]
        else:
            half = given.kills // 2
            rows = [
                worked_through(Path(folder), name, spread(count, f"{name} {given.seed}"))
                for name, count in zip(CASES, (given.kills - half, half), strict=True)
            ]
    if given.dry:
        print(table(rows))
    else:
        save("kills", command=f"python benchmarks/kills.py --kills {given.kills}", rows=rows)
    sys.exit(any(row["unequal"] for row in rows))


@dataclass(frozen=True)
class Kill:
    """When to kill a run: `moment` 0 … 1 of its life, in operations on files or in seconds."""

    moment: float
    by_event: bool
    last: bool  # whether the run may then go on to its end


def spread(count: int, seed: str) -> list[Kill]:
    """So many kills, spread over the life of a run, in random order."""
    draw = random.Random(seed)
    moments = [(number + draw.random()) / count for number in range(count)]
    draw.shuffle(moments)
    return [
        Kill(moment, by_event=number % 2 == 0, last=number % KILLS_PER_RUN == KILLS_PER_RUN - 1)
        for number, moment in enumerate(moments)
    ]


def worked_through(folder: Path, name: str, kills: Sequence[Kill]) -> dict[str, Any]:
    """Kill runs of one case; the row of the result."""
    reference = undisturbed(folder, name)
    phases, runs, equal = Counter[str](), 0, 0
    out = folder / f"{name} 0"
    for number, kill in enumerate(kills):
        at = kill
        while not killed(request(folder, name, out), reference, at):
            out = out.with_name(f"{out.name}+")  # it had ended before: another one, earlier
            at = replace(at, moment=at.moment * 0.9)
        phases[phase(out)] += 1
        if kill.last or number == len(kills) - 1:
            wait_for(start(request(folder, name, out)))
            runs += 1
            equal += same(out, reference)
            out = folder / f"{name} {runs}"
    row = {"case": name, "kills": len(kills), "runs": runs, "equal": equal}
    return row | {"unequal": runs - equal} | {key: phases[key] for key in PHASES}


def undisturbed(folder: Path, name: str) -> Reference:
    """Run once without a kill, counting its operations on files; once more for the time."""
    counted = folder / "events"
    wait_for(start(request(folder, name, folder / f"{name} counted"), counted=counted))
    began = time.perf_counter()
    out = folder / f"{name} undisturbed"
    wait_for(start(request(folder, name, out)))
    seconds = time.perf_counter() - began
    return Reference(*left_by(out), seconds, json.loads(counted.read_text()))


def killed(request: TrainRequest, reference: Reference, kill: Kill) -> bool:
    """Start a run and kill it; whether it was still alive."""
    if kill.by_event:
        return os.WIFSIGNALED(waited(start(request, fatal=int(kill.moment * reference.events))))
    pid = start(request)
    time.sleep(kill.moment * reference.seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(waited(pid))


def start(request: TrainRequest, *, fatal: int | None = None, counted: Path | None = None) -> int:
    """Begin, or go on with, a run in a process of its own; its id.

    Args:
        fatal: the number of the operation on files at which it kills itself.
        counted: where to write how many such operations there were.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        events = watch(request.out, fatal)
        training.train(request)
        if counted is not None:
            counted.write_text(str(events()))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def watch(folder: Path, fatal: int | None) -> Callable[[], int]:
    """Count operations on files in `folder`, and die of the one numbered `fatal`."""
    seen, inside = 0, str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in FILE_EVENTS and str(arguments[0]).startswith(inside):
            if seen == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(hook)
    return lambda: seen


def wait_for(pid: int) -> None:
    """Wait for a run that must end well."""
    status = waited(pid)
    if status:
        raise SystemExit(f"a run ended with status {status}; its traceback is above")


def waited(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def phase(out: Path) -> str:
    """What a killed run was doing, from what it left."""
    state = out / "training"
    if not (state / "plan.json").exists():
        return "preparing"
    if list((state / "checkpoints").glob(".step-*.partial")):
        return "saving a checkpoint"
    steps = json.loads((state / "plan.json").read_text())["plan"]["training"]["steps"]
    last = state / "checkpoints" / f"step-{steps:08d}"
    return "finishing" if last.exists() else "training"


def left_by(out: Path) -> tuple[str, bytes]:
    """The SHA-256 of a finished run's weights, and its measurements."""
    metrics = (out / "training" / "metrics.jsonl").read_bytes()
    return sha256_file(out / "model.safetensors"), metrics


def same(out: Path, reference: Reference) -> bool:
    """Whether a run left what the undisturbed one left; says so if not."""
    equal = left_by(out) == (reference.digest, reference.metrics)
    if not equal:
        print(f"{out.name} differs from the undisturbed run", file=sys.stderr)
    return equal


def request(folder: Path, name: str, out: Path) -> TrainRequest:
    """The run of a case."""
    case: Mapping[str, Any] = CASES[name]
    return TrainRequest(
        data=(str(folder / case["data"]),),
        out=out,
        preset=case["preset"],
        model={"d_model": 16, "n_layers": 2, "n_heads": 2},
        training=COMMON | {"threads": 1, "precision": "float32"} | case["training"],
        tokenizer="words",
        context=16,
        steps=16,
    )


def write_data(folder: Path) -> None:
    """A few small dialogues and a small text.

    Three prompts have the same reply, so some are held out as other phrasings, and a run has two
    rounds.
    """
    draw = random.Random(1)
    words = ["the", "a", "cat", "dog", "sees", "hears", "small", "old", "river", "near", "who"]
    lines = [" ".join(draw.choices(words, k=draw.randint(2, 9))) for _ in range(120)]
    (folder / "text.txt").write_text("\n".join(lines))
    pairs = ((prompt, lines[2 * (n // 3) + 1]) for n, prompt in enumerate(lines[::2]))
    (folder / "dialogues.jsonl").write_text(
        "".join(json.dumps({"prompt": prompt, "reply": reply}) + "\n" for prompt, reply in pairs)
    )


if __name__ == "__main__":
    main()
