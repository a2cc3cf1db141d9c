"""Does `--minutes M` keep its time, learn more with more of it, and choose well?

For tiny Shakespeare (by characters) and the bundled dialogues, with the held-out loss as the aim:
the automatic choice at 1, 3 and 10 minutes, and for the shorter two a grid of depths picked by
hand. Each is a whole process. Every model is then judged by all that was held out, without a limit
of time. Results are kept run by run in OUT/results.json, so the same command goes on where it was
interrupted: it takes over an hour.

Run: python benchmarks/minutes.py [--data FOLDER] [--texts …] [--minutes 1 3 10] [--grid 1 3]
"""

import argparse
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import DATA, save, table, train_whole
from nextword import load
from nextword.common.files import write_json
from nextword.data.corpus import open_corpus
from nextword.data.prepared import make_samples
from nextword.data.samples.document_hashes import content_keys
from nextword.data.samples.split_by_content import split_by_content
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import prepare
from nextword.evaluate.scoring import score
from nextword.training.data.held_out import HELD_OUT_SHARE

TEXTS = {  # name → the data, and the rest of its command
    "shakespeare": ("{data}/tinyshakespeare.txt", "--tokenizer characters"),
    "dialogues": ("nextword:dialogues", "--aim generalize"),
}
DEPTHS = (1, 2, 3, 4, 6)
WITHIN = 0.10  # of the time asked for
EXCESS = 3.0  # percent above the best of the grid

Results = dict[str, dict[str, Any]]  # key of a run → what it reached


def key(text: str, minutes: float, depth: int | None) -> str:
    """What a run is kept under."""
    return f"{text}-{minutes:g}-{'auto' if depth is None else depth}"


def run(text: str, minutes: float, depth: int | None, *, data: Path, out: Path) -> dict[str, Any]:
    """Train in a process of its own, then judge what it left."""
    source, options = (part.format(data=data) for part in TEXTS[text])
    command = f"train {source} {options} --minutes {minutes:g}"
    if depth is not None:
        command += f" --depth {depth}"
    folder = out / key(text, minutes, depth)
    seconds, summary = train_whole(command, folder)
    plan = json.loads((folder / "training" / "plan.json").read_text())["plan"]
    return {
        "seconds": seconds,
        "steps": summary["steps"],
        "layers": plan["model"]["n_layers"],
        "width": plan["model"]["d_model"],
        "loss": held_out_loss(folder, source),
    }


def held_out_loss(folder: Path, source: str) -> float:
    """Judge a folder by all that its run held out; its tokens still lie beside it."""
    model = load(folder)
    context = model.config.context_length
    shards = prepare(open_corpus([source]), model.tokenizer, folder / "training" / "data" / "train")
    keys = content_keys(shards, whole(shards), model.tokenizer)
    _, part = split_by_content(shards, keys, share=HELD_OUT_SHARE, seed=0, context_length=context)
    assert part is not None, "every text here has enough to hold some out"
    return score(model.decoder, make_samples(shards, part, context=context, seed=0)).loss


def work(given: argparse.Namespace) -> Results:
    """Every run that is not kept yet, the short ones first."""
    place = given.out / "results.json"
    results: Results = json.loads(place.read_text()) if place.exists() else {}
    for minutes in sorted({*given.minutes, *given.grid}):
        for text in given.texts:
            depths = [None] * (minutes in given.minutes) + given.depths * (minutes in given.grid)
            for depth in depths:
                name = key(text, minutes, depth)
                if name not in results:
                    found = run(text, minutes, depth, data=given.data, out=given.out)
                    results[name] = found
                    write_json(place, results)
                told = results[name]
                print(f"{name}: {told['seconds']:.1f} s, loss {told['loss']:.4f}", flush=True)
    return results


def rows_of(results: Mapping[str, Mapping[str, Any]], given: argparse.Namespace) -> list[Any]:
    """A line for each text and time: the automatic choice, and the best of the grid beside it."""
    rows = []
    for text in given.texts:
        losses = [results[key(text, minutes, None)]["loss"] for minutes in given.minutes]
        falling = all(later < earlier for earlier, later in pairwise(losses))
        for minutes in given.minutes:
            row = auto_row(text, minutes, results[key(text, minutes, None)])
            rows.append(row | grid_columns(text, minutes, results, given) | {"falling": falling})
    return rows


def auto_row(text: str, minutes: float, auto: Mapping[str, Any]) -> dict[str, Any]:
    """What the automatic choice reached, and whether in its time."""
    share = auto["seconds"] / (60 * minutes)
    return {
        "text": text,
        "minutes": minutes,
        "seconds": auto["seconds"],
        "of the time, %": 100 * share,
        "within 10 %": abs(share - 1) <= WITHIN,
        "chosen": f"{auto['layers']} × {auto['width']}",
        "steps": auto["steps"],
        "held-out loss": auto["loss"],
    }


def grid_columns(
    text: str, minutes: float, results: Mapping[str, Mapping[str, Any]], given: argparse.Namespace
) -> dict[str, Any]:
    """The losses by depth, and by how much the automatic choice is above the best of them."""
    names = ("grid, depth: loss", "best depth", "excess, %", "within 3 %")
    if minutes not in given.grid:
        return dict.fromkeys(names, "–")
    losses = {depth: results[key(text, minutes, depth)]["loss"] for depth in given.depths}
    best = min(losses, key=losses.__getitem__)
    excess = 100 * (results[key(text, minutes, None)]["loss"] / losses[best] - 1)
    listed = ", ".join(f"{depth}: {loss:.4f}" for depth, loss in losses.items())
    return dict(zip(names, (listed, best, excess, excess <= EXCESS), strict=True))


def main() -> None:
    """Do what is left to do, then save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("out/bench/minutes"))
    parser.add_argument("--texts", nargs="+", choices=sorted(TEXTS), default=list(TEXTS))
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--grid", nargs="*", type=float, default=[1.0, 3.0])
    parser.add_argument("--depths", nargs="+", type=int, default=list(DEPTHS))
    parser.add_argument("--dry", action="store_true", help="save no table")
    given = parser.parse_args()
    given.minutes.sort()
    rows = rows_of(work(given), given)
    if given.dry:
        print(table(rows))
    else:
        save("minutes", command="python benchmarks/minutes.py", rows=rows)


if __name__ == "__main__":
    main()
