"""How soon is a model good? Tiny Shakespeare by characters, whole processes, against a peer.

The peer is nanoGPT's CPU recipe through transformers (peer_shakespeare.py). Every run is a process
of its own, from its start to a finished folder: loading, compiling and judging are counted on both
sides. Peer and goals take turns, so drift meets all alike. Each folder is then loaded and judged
once more by quality.py, in a full pass over the last tenth, and that is the loss which counts.

Run: python benchmarks/time_to_quality.py [--data FILE] [--goals a b c] [--rounds 3]
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common import DATA, run_python, save, table, train_whole
from quality import folder_loss

TINY = "--steps 10"  # in place of the budget, to try this program


@dataclass(frozen=True)
class Goal:
    """One command and what it should reach.

    Attributes:
        wanted: the goal in words.
        command: `nextword …`, without its budget.
        budget: how long it learns; {minutes} is the peer's time.
        loss: the most, held out.
        seconds: the most, given the peer's; of the whole process.
        parameters: the most.
    """

    wanted: str
    command: str
    budget: str
    loss: float
    seconds: Callable[[float], float]
    parameters: float


# TensorBoard, an extra, is left out: where it happens to be installed, loading it takes a second.
TRAIN = "train {data} --tokenizer characters --no-tensorboard"
QUIETLY = "--set training.evaluate_every=1000 --set training.sample_every=1000"
OURS = f"{TRAIN} --preset nextword"
# Attention half as wide as the model: less of the time goes into it, more into steps.
NARROW = "--width 128 --heads 2 --set model.d_head=32"
GOALS = {
    "a": Goal(
        wanted="held-out 1.88 in a fifteenth of the peer's time",
        command=(
            f"{TRAIN} --set model.token_shift=3 --layers 1 --heads 3 --width 96 --context 64"
            " --batch 16 --set training.learning_rate=0.06"
            " --set training.muon_learning_rate=0.06"
            " --set training.decay_share=0.98"
            " --set training.weight_decay=0"
            f" {QUIETLY}"
        ),
        budget="--steps 190",
        loss=1.88,
        seconds=lambda peer: peer / 15,
        parameters=0.85e6,
    ),
    "b": Goal(
        wanted="the best in the peer's time: 1.50",
        command=f"{OURS} --layers 4 {NARROW} --context 256 --batch 8 {QUIETLY}",
        budget="--minutes {minutes}",
        loss=1.50,
        seconds=lambda peer: peer,
        parameters=0.85e6,
    ),
    "c": Goal(
        wanted="nanoGPT's GPU result, 1.4697, in three minutes, any size",
        command=f"{OURS} --layers 6 {NARROW} --context 256 --batch 8 {QUIETLY}",
        budget="--minutes 3",
        loss=1.4697,
        seconds=lambda peer: 180.0,
        parameters=float("inf"),
    ),
}


@dataclass(frozen=True)
class Result:
    """One process.

    Attributes:
        seconds: from its start to its end.
        loss: held out, a full pass of its folder.
        told: held out, as the run itself reported it, and over how many tokens.
        parameters: of the model.
    """

    seconds: float
    loss: float
    told: tuple[float, int | None]
    parameters: int


def run_peer(data: Path, out: Path, *, steps: int) -> Result:
    """The peer's recipe, from start to finished folder; it judges itself by `full_pass`."""
    out.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("peer_shakespeare.py")
    words = [str(program), str(data), str(out), "--steps", str(steps)]
    seconds = run_python(words, log=out.with_name("peer.log"))
    told = json.loads((out / "result.json").read_text())
    loss = told["held-out loss"]
    return Result(seconds, loss, (loss, None), told["parameters"])


def run_goal(goal: Goal, data: Path, out: Path, *, minutes: float, tiny: bool) -> Result:
    """One of our commands, and its folder judged anew."""
    budget = TINY if tiny else goal.budget.format(minutes=f"{minutes:.4f}")
    seconds, summary = train_whole(f"{goal.command.format(data=data)} {budget}", out)
    loss, parameters = folder_loss(out, data)
    scores = summary["scores"]
    return Result(seconds, loss, (scores["loss"], scores["n_tokens"]), parameters)


def peer_row(runs: Sequence[Result], *, rounds: int) -> dict[str, Any]:
    """The peer's line of the table."""
    row = row_of(runs)
    return {"goal": "–", "command": "nanoGPT's CPU recipe through transformers", **row} | {
        "peer's time / ours": 1.0,
        "ratio min": 1.0,
        "ratio max": 1.0,
        "reached": "–",
        "rounds": rounds,
    }


def goal_row(goal: Goal, runs: Sequence[Result], peers: Sequence[Result]) -> dict[str, Any]:
    """A goal's line; ratios are of neighbouring runs."""
    ratios = [peer.seconds / run.seconds for run, peer in zip(runs, peers, strict=True)]
    row = row_of(runs)
    limit = goal.seconds(statistics.median(peer.seconds for peer in peers))
    reached = (
        row["held-out loss"] <= goal.loss
        and row["seconds"] <= limit
        and row["parameters"] <= goal.parameters
    )
    command = f"nextword {goal.command} {goal.budget}".replace("{data}", "DATA")
    return {"goal": goal.wanted, "command": command.replace("{minutes}", "PEER"), **row} | {
        "peer's time / ours": statistics.median(ratios),
        "ratio min": min(ratios),
        "ratio max": max(ratios),
        "reached": "yes" if reached else "no",
        "rounds": len(runs),
    }


def row_of(runs: Sequence[Result]) -> dict[str, Any]:
    """What every line tells of its runs."""
    losses = [run.loss for run in runs]
    told, tokens = runs[-1].told
    return {
        "parameters": runs[-1].parameters,
        "seconds": statistics.median(run.seconds for run in runs),
        "held-out loss": statistics.median(losses),
        "loss min": min(losses),
        "loss max": max(losses),
        "last run: told by itself": told,
        "over tokens": tokens or "–",
        "told − judged": told - losses[-1],
    }


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All rounds; within each, the peer and then every goal."""
    steps = 10 if given.tiny else 2000
    peers: list[Result] = []
    runs: dict[str, list[Result]] = {name: [] for name in given.goals}
    for number in range(given.rounds):
        peers.append(tell("peer", run_peer(given.data, given.out / "peer", steps=steps)))
        minutes = (given.budget or peers[-1].seconds) / 60
        run = partial(run_goal, data=given.data, minutes=minutes, tiny=given.tiny)
        for name in given.goals:
            runs[name].append(tell(name, run(GOALS[name], out=given.out / f"{name}-{number}")))
    rows = [goal_row(GOALS[name], results, peers) for name, results in runs.items()]
    return [peer_row(peers, rounds=given.rounds), *rows]


def tell(name: str, result: Result) -> Result:
    """Say what a run reached as soon as it has ended; a round takes minutes."""
    print(f"{name}: {result.seconds:.1f} s, held-out loss {result.loss:.4f}", flush=True)
    return result


def main() -> None:
    """Measure, save, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "tinyshakespeare.txt")
    parser.add_argument("--out", type=Path, default=Path("out/bench/time_to_quality"))
    parser.add_argument("--goals", nargs="*", choices=sorted(GOALS), default=sorted(GOALS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, help="seconds of goal b; default: the peer's")
    parser.add_argument("--tiny", action="store_true", help="10 steps of each; save nothing")
    given = parser.parse_args()
    rows = measure(given)
    if given.tiny:
        print(table(rows))
    else:
        asked = f"--goals {' '.join(given.goals)} --rounds {given.rounds}"
        save("time_to_quality", command=f"python benchmarks/time_to_quality.py {asked}", rows=rows)


if __name__ == "__main__":
    main()
