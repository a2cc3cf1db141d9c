"""Are the replies that were given learned, word for word, in one, three and ten minutes?

For a row of small sets of prompts and replies, `nextword train DATA --minutes M` with all other
settings left alone, each run a process of its own. Counted are the replies that the saved model
gives word for word, those that end, and, for the bundled dialogues, the other phrasings of
nextword:phrasings that are answered right; one minute of those is run with several seeds. Results
are kept run by run in OUT/results.json, so the same command goes on where it was interrupted.

Run: python benchmarks/exact_replies.py [--data FOLDER] [--sets …] [--minutes 1 3 10] [--seeds 5]
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import DATA, save, table, train_whole
from nextword import load
from nextword.common.files import write_json
from nextword.data.corpus import open_corpus
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import prepare
from nextword.evaluate.exact_replies import AnswerScores, count_answers, given_pairs

BUNDLED = "nextword:dialogues"
PHRASINGS = "nextword:phrasings"
SETS: dict[str, tuple[str, int | None]] = {  # name → the data, and how many lines of it
    "bundled 10": (BUNDLED, 10),
    "bundled 100": (BUNDLED, 100),
    "bundled 310": (BUNDLED, None),
    "faq-romance 904": ("{data}/faq-romance.jsonl", None),
    "gsm8k 1000": ("{data}/gsm8k-train.jsonl", 1000),
    "gsm8k 7473": ("{data}/gsm8k-train.jsonl", None),
}
SOURCE = Path(__file__).parents[1] / "src" / "nextword" / "data" / "bundled" / "dialogues.jsonl"
SPREAD = 7  # of the bundled dialogues every so manieth, so that phrasings do not come together

Results = dict[str, dict[str, Any]]


def source(name: str, data: Path, out: Path) -> str:
    """Return the data of a set; of a part of a file, a file of its own."""
    place, count = SETS[name]
    if count is None:
        return place.format(data=data)
    path = SOURCE if place == BUNDLED else Path(place.format(data=data))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if place == BUNDLED:
        lines = [line for first in range(SPREAD) for line in lines[first::SPREAD]]
    part = out / f"{name.replace(' ', '-')}.jsonl"
    part.write_text("".join(lines[:count]), encoding="utf-8")
    return str(part)


def run(name: str, minutes: float, seed: int, *, data: Path, out: Path) -> dict[str, Any]:
    """Train in a process of its own, then count what the saved model replies."""
    given = source(name, data, out)
    folder = out / f"{name.replace(' ', '-')}-{minutes:g}-{seed}"
    command = f"train {given} --minutes {minutes:g} --seed {seed} --no-tensorboard"
    seconds, summary = train_whole(command, folder)
    answers = counted(folder, given)
    plan = json.loads((folder / "training" / "plan.json").read_text())["plan"]
    found = {
        "seconds": seconds,
        "steps": summary["steps"],
        "model": f"{plan['model']['n_layers']} × {plan['model']['d_model']}",
        "precision": plan["training"]["precision"],
        "minutes needed": plan["minutes_needed"],
        "pairs": answers.n_pairs,
        "exact": answers.n_exact,
        "generated": answers.n_generated,
        "ended": answers.n_ended,
        "apart": answers.n_contradictory + answers.n_too_long,
    }
    if name == "bundled 310":  # the others know too few of the replies
        phrasings = counted(folder, PHRASINGS)
        found |= {"phrasings": phrasings.n_pairs, "phrasings right": phrasings.n_exact}
    return found


def counted(folder: Path, given: str) -> AnswerScores:
    """Let the saved model reply to every prompt of some data; of very many, to 1,000."""
    model = load(folder)
    place = folder.with_name(f"{folder.name}-counted")
    shards = prepare(open_corpus([given]), model.tokenizer, place)
    pairs = given_pairs(shards, whole(shards), context=model.config.context_length)
    return count_answers(model.decoder, model.tokenizer, pairs, most=1000)


def rows_of(results: Results) -> list[Mapping[str, Any]]:
    """Return a row for each set and time: the median over the seeds."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for key, found in results.items():
        name, minutes, _ = key.rsplit("|", 2)
        groups.setdefault((name, float(minutes)), []).append(found)
    return [
        {
            "set": name,
            "minutes": minutes,
            "runs": len(found),
            "seconds": statistics.median(each["seconds"] for each in found),
            "model": found[0]["model"],
            "exact": f"{_middle(found, 'exact'):g} of {found[0]['pairs']}",
            "ended": f"{_middle(found, 'ended'):g} of {_middle(found, 'generated'):g}",
            "phrasings": _phrasings(found),
            "minutes needed": found[0]["minutes needed"],
        }
        for (name, minutes), found in groups.items()
    ]


def _middle(found: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(each[key] for each in found))


def _phrasings(found: list[dict[str, Any]]) -> str:
    if "phrasings" not in found[0]:
        return "–"
    right = sorted(each["phrasings right"] for each in found)
    most = found[0]["phrasings"]
    return f"{statistics.median(right) / most:.1%} ({right[0]} – {right[-1]} of {most})"


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("out/exact_replies"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--seeds", type=int, default=5, help="of the bundled 310 in one minute")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    place = given.out / "results.json"
    results: Results = json.loads(place.read_text()) if place.exists() else {}
    for minutes in sorted(given.minutes):
        for name in given.sets:
            seeds = given.seeds if (name, minutes) == ("bundled 310", 1.0) else 1
            for seed in range(seeds):
                key = f"{name}|{minutes:g}|{seed}"
                if key not in results:
                    results[key] = run(name, minutes, seed, data=given.data, out=given.out)
                    write_json(place, results)
                    print(key, results[key], flush=True)
    print(table(rows_of(results)))
    save(
        "exact_replies",
        command="python benchmarks/exact_replies.py",
        rows=rows_of(results),
    )


if __name__ == "__main__":
    main()
