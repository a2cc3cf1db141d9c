"""What a busy machine costs: training, teaching, replying and evaluating beside other programs.

Each variant of each activity is a process of its own; the processes take turns, one block of work
at a time, so drift meets all alike. Beside them zero, one or two other processes keep a core busy
in a loop. The default must reach 0.8 of the speed of one thread beside one busy core, and lose
nothing against a fixed number of threads (`fixed`) on an idle machine.

Run: python benchmarks/busy.py [--rounds 20] [--activities train teach reply evaluate]
     [--loads 0 1 2] [--variants default "one thread" …]
"""

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common import Worker, save, table, train_whole

ACTIVITIES = ("train", "train in torch", "teach", "reply", "evaluate")  # the second without C
FIXED = "BENCHMARK_FIXED_THREADS"
VARIANTS: dict[str, dict[str, str]] = {  # name → environment
    "default": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "fixed": {FIXED: "1"},  # as many threads as cores, whatever the load
    "passive": {"OMP_WAIT_POLICY": "passive"},  # threads that never spin
}
STEPS = 300  # of the model that teaches, replies and is evaluated
BUSY = "while True: pass"


def train(precision: str) -> Callable[[], object]:
    """Return a block of training steps of the dialogues' model."""
    from nextword.config import TrainingConfig
    from nextword.presets import preset
    from steps import Step

    config = preset("qwen3", vocab_size=1024, context_length=128, depth=3)
    training = TrainingConfig(steps=1, precision=precision, dropout=0.2)  # type: ignore[arg-type]
    step = Step(config, batch=10, training=training)
    return lambda: [step() for _ in range(4)]


def block(activity: str, folder: Path) -> Callable[[], object]:
    """Return what one block of an activity does; the model lies in `folder`."""
    from nextword.language_model import LanguageModel

    if activity == "train":
        return train("int8")
    if activity == "train in torch":
        return train("bfloat16")
    model = LanguageModel.load(folder)
    if activity == "reply":
        return lambda: [model.reply(prompt).text for prompt in ("what is a query?", "who are you?")]
    if activity == "teach":
        from nextword.teach.config import TeachingConfig

        config = TeachingConfig(steps=4, seconds=60.0)

        def teach() -> None:
            lesson = model.teach([("where is the cat?", "in the tree")], config=config)
            if lesson.learned:
                lesson.undo()

        return teach
    from nextword.data.shards.token_shards import Shards
    from nextword.evaluate.evaluation import judge

    shards = Shards(folder / "training" / "data" / "train")
    return lambda: judge(model.decoder, model.tokenizer, shards, replies=8)


def work(activity: str, folder: Path) -> None:
    """Wait for a line, do a block, say how many seconds it took; and again."""
    from nextword import hardware
    from nextword.training.backends.allocator import kept_memory, settled_objects

    if FIXED in os.environ:
        hardware._load.busy_cores = lambda: 0.0  # type: ignore[method-assign]
    with kept_memory(), settled_objects():
        do = block(activity, folder)
        do()
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            do()
            print(time.perf_counter() - start, flush=True)


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep so many cores busy inside."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def interval(ratios: list[float], *, draws: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of the median, by bootstrap."""
    drawn = random.Random(0)
    medians = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def measure(
    activity: str, loads: list[int], variants: list[str], rounds: int, folder: Path
) -> list[dict[str, object]]:
    """Return a row for each load: the seconds of a block in each variant, and the ratios."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    words = [__file__, "--worker", activity, "--folder", str(folder)]
    workers = {variant: Worker(words, env=clean | VARIANTS[variant]) for variant in variants}
    rows = []
    for load in loads:
        seconds: dict[str, list[float]] = {variant: [] for variant in workers}
        with busy_cores(load):
            for _ in range(rounds):
                for variant, worker in workers.items():
                    seconds[variant].append(worker.block())
        row: dict[str, object] = {"activity": activity, "busy cores": load}
        row |= {f"{name}, s": statistics.median(each) for name, each in seconds.items()}
        for other in variants[1:]:
            pairs = zip(seconds[other], seconds[variants[0]], strict=True)
            ratios = [theirs / ours for theirs, ours in pairs]
            low, high = interval(ratios)
            name = f"{variants[0]} against {other}"
            row[name] = f"{statistics.median(ratios):.2f} ({low:.2f} – {high:.2f})"
        rows.append(row | {"rounds": rounds})
        print(table(rows[-1:]), flush=True)
    for worker in workers.values():
        worker.close()
    return rows


def main() -> None:
    """Measure, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--activities", nargs="+", choices=ACTIVITIES, default=list(ACTIVITIES))
    parser.add_argument("--loads", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--worker", choices=ACTIVITIES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dry", action="store_true", help="save nothing")
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.folder)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        train_whole(f"train nextword:dialogues --steps {STEPS} --no-tensorboard", folder)
        rows = [
            row
            for activity in given.activities
            for row in measure(activity, given.loads, given.variants, given.rounds, folder)
        ]
    if not given.dry:
        save("busy", command="python benchmarks/busy.py", rows=rows)


if __name__ == "__main__":
    main()
