"""100 corrections one after another: what is learned, what stays known, and what undo gives back.

The model is that of `nextword try`, trained here unless one is given. corrections.jsonl has 50
prompts that it knows, each with another reply and a held-out phrasing of the prompt, and 50
prompts that it does not know, each with two other phrasings. They are taught in turn by
`LanguageModel.teach`, each lesson kept in the folder, and by plain fine-tuning, the usual way:
AdamW with fresh moments on all weights and the one pair, nothing rehearsed, until every token of
the reply is the most likely with at least the margin of a lesson. What stays known is measured
alike for all: the most likely next token at every position, prompts included, of the dialogues
that were learned and of the held-out phrasings, without those whose prompt or phrasing a lesson
has answered anew; and once more in the replies of the learned dialogues alone. First of all, whole
replies are generated, with no right answer fed in: taught prompts, phrasings, and how many replies
to the learned dialogues and the held-out phrasings are the same, token for token, after each lesson
and, against the untaught model, after all of them.

Run: python benchmarks/corrections.py [--model FOLDER] [--count 100] [--json FILE] [--dry]
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from common import run_python, save, table
from nextword import LanguageModel, TeachingConfig
from nextword.common.files import write_json
from nextword.teach.journal.lesson_records import sums_of
from nextword.teach.journal.undo import undo
from nextword.teach.lesson_files import Given, read_lessons
from nextword.training.backends.thread_limit import limited_threads
from what_stays import as_correction, holds, kept, replies, says, unchanged, watch

CORRECTIONS = Path(__file__).with_suffix(".jsonl")
LEARNED, HELD_OUT = "nextword:dialogues", "nextword:phrasings"
FINE_TUNING_RATES = (3e-3, 3e-4)  # AdamW's rate in training this model, and a tenth of it
MOST_STEPS = 200
SINGLE, ALL, SECONDS = 0.97, 0.90, 2.0  # goals: replies unchanged after a lesson, after all


@dataclass(frozen=True, kw_only=True)
class One:
    """One correction as one way learned it; `kept` are shares of next words."""

    prompt: str
    reliable: bool
    right_phrasings: int
    n_phrasings: int
    kept_learned: float
    kept_replies: float
    kept_held_out: float
    says_it: bool
    phrasings_say_it: int
    replies_learned: float
    replies_held_out: float
    steps: int
    seconds: float
    seconds_of_steps: float


Way = Callable[[LanguageModel, Given], tuple[int, float]]  # steps, and the seconds that they took


def ours(lm: LanguageModel, given: Given) -> tuple[int, float]:
    """A lesson with nothing but its defaults, kept in the folder."""
    lesson = lm.teach([(given.turns, given.reply)], phrasings=given.phrasings, keep=True)
    return lesson.steps, lesson.seconds


def fine_tuning(rate: float) -> Way:
    """Plain fine-tuning on the pair, at this learning rate."""

    def way(lm: LanguageModel, given: Given) -> tuple[int, float]:
        began = time.perf_counter()
        correction = as_correction(lm, given.turns, given.reply)
        ids = torch.tensor([correction.ids])
        first = correction.learned[0]
        optimizer = torch.optim.AdamW(lm.decoder.parameters(), lr=rate)
        for step in range(MOST_STEPS + 1):
            logits = lm.decoder(ids[:, :-1])[0, first:].float()
            if step == MOST_STEPS or right(logits, ids[0, first + 1 :]):
                return step, time.perf_counter() - began
            optimizer.zero_grad()
            loss = F.cross_entropy(logits, ids[0, first + 1 :])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        raise AssertionError("the last step returns")

    return way


def right(logits: Tensor, targets: Tensor) -> bool:
    """Whether every target is the most likely and has the margin of a lesson."""
    likely = logits.softmax(-1).gather(-1, targets[:, None])
    margin = TeachingConfig().margin
    return bool((logits.argmax(-1) == targets).all() and (likely >= margin).all())


def taught(
    way: Way, lm: LanguageModel, lessons: Sequence[Given]
) -> tuple[list[One], dict[str, Any]]:
    """Every correction in turn, one way; each of them, and what holds at the end."""
    first = {source: watch(lm, source) for source in (LEARNED, HELD_OUT)}
    said = {source: replies(lm, source) for source in (LEARNED, HELD_OUT)}
    ones, answered = list[One](), set[str]()
    for number, given in enumerate(lessons, 1):
        answered |= {*given.turns, *given.phrasings}
        ones.append(learn_one(way, lm, given, answered=answered))
        print(f"{number}: {ones[-1]}", file=sys.stderr, flush=True)
    pairs = [as_correction(lm, given.turns, given.reply) for given in lessons]
    end = {
        "right at the end": sum(holds(lm, pairs)),
        "replies right at the end": sum(says(lm, pairs)),
        "replies unchanged after all": unchanged(lm, said[LEARNED], answered),
        "held-out replies unchanged after all": unchanged(lm, said[HELD_OUT], answered),
        "kept after all": kept(lm, first[LEARNED], answered),
        "replies kept after all": kept(lm, first[LEARNED], answered, replies=True),
        "held-out kept after all": kept(lm, first[HELD_OUT], answered),
    }
    return ones, end


def learn_one(way: Way, lm: LanguageModel, given: Given, *, answered: Iterable[str]) -> One:
    """One correction, and what it did to the model."""
    before = {source: watch(lm, source) for source in (LEARNED, HELD_OUT)}
    said = {source: replies(lm, source) for source in (LEARNED, HELD_OUT)}
    began = time.perf_counter()
    steps, seconds_of_steps = way(lm, given)
    seconds = time.perf_counter() - began
    asked = [given.turns, *given.other_prompts]
    corrections = [as_correction(lm, turns, given.reply) for turns in asked]
    reliable, *others = holds(lm, corrections)
    says_it, *phrasings = says(lm, corrections)
    return One(
        prompt=given.turns[-1],
        reliable=reliable,
        right_phrasings=sum(others),
        n_phrasings=len(others),
        kept_learned=kept(lm, before[LEARNED], answered),
        kept_replies=kept(lm, before[LEARNED], answered, replies=True),
        kept_held_out=kept(lm, before[HELD_OUT], answered),
        says_it=says_it,
        phrasings_say_it=sum(phrasings),
        replies_learned=unchanged(lm, said[LEARNED], answered),
        replies_held_out=unchanged(lm, said[HELD_OUT], answered),
        steps=steps,
        seconds=seconds,
        seconds_of_steps=seconds_of_steps,
    )


def row_of(name: str, ones: Sequence[One], end: dict[str, Any]) -> dict[str, Any]:
    """One line of the table; shares in percent."""
    learned, replies, held_out = (
        sorted(100 * getattr(one, kind) for one in ones)
        for kind in ("kept_learned", "kept_replies", "kept_held_out")
    )
    seconds = sorted(one.seconds for one in ones)
    phrasings = sum(one.n_phrasings for one in ones)
    return {
        "way": name,
        "corrections": len(ones),
        "replies learned": sum(one.says_it for one in ones),
        "replies right at the end": end["replies right at the end"],
        "phrasings replied, %": 100 * sum(one.phrasings_say_it for one in ones) / phrasings,
        "replies unchanged, median %": _median(ones, "replies_learned"),
        "replies unchanged, worst %": 100 * min(one.replies_learned for one in ones),
        "replies unchanged after all, %": 100 * end["replies unchanged after all"],
        "held-out replies unchanged, median %": _median(ones, "replies_held_out"),
        "held-out replies unchanged, worst %": 100 * min(one.replies_held_out for one in ones),
        "held-out replies unchanged after all, %": 100
        * end["held-out replies unchanged after all"],
        "learned": sum(one.reliable for one in ones),
        "right at the end": end["right at the end"],
        "phrasings, %": 100 * sum(one.right_phrasings for one in ones) / phrasings,
        "kept, median %": statistics.median(learned),
        "kept, worst %": learned[0],
        "kept after all, %": 100 * end["kept after all"],
        "replies kept, median %": statistics.median(replies),
        "replies kept after all, %": 100 * end["replies kept after all"],
        "held-out kept, median %": statistics.median(held_out),
        "held-out kept, worst %": held_out[0],
        "held-out kept after all, %": 100 * end["held-out kept after all"],
        "steps, median": statistics.median(one.steps for one in ones),
        "seconds, median": statistics.median(seconds),
        "seconds, p95": seconds[-1 - len(seconds) // 20],
        "of them steps, median": statistics.median(one.seconds_of_steps for one in ones),
    }


def _median(ones: Sequence[One], name: str) -> float:
    """The median of a share, in percent."""
    shares: list[float] = [getattr(one, name) for one in ones]
    return 100 * statistics.median(shares)


def undone(folder: Path, sums: dict[str, str]) -> bool:
    """Undo every lesson of the folder; whether its weights' SHA-256 are those of the beginning."""
    undo(folder, None)
    return sums_of(folder) == sums


def reached(row: dict[str, Any]) -> bool:
    """Whether lessons did all that they are to do, by generated replies, known and held out."""
    medians = row["replies unchanged, median %"], row["held-out replies unchanged, median %"]
    at_the_end = (
        row["replies unchanged after all, %"],
        row["held-out replies unchanged after all, %"],
    )
    return bool(
        row["replies learned"] == row["replies right at the end"] == row["corrections"]
        and min(medians) >= 100 * SINGLE
        and min(at_the_end) >= 100 * ALL
        and row["seconds, median"] < SECONDS
        and row["undo gives the SHA-256"]
    )


def the_model(given: Path | None, out: Path) -> Path:
    """A copy of the model that is given, or that of `nextword try`, to teach in."""
    folder = out / "lessons"
    shutil.rmtree(folder, ignore_errors=True)
    if given is None:
        given = out / "try"
        if not (given / "config.json").exists():
            out.mkdir(parents=True, exist_ok=True)
            words = ["-m", "nextword", "try", "--out", str(given)]
            run_python(words, log=out / "try.log")
    shutil.copytree(given, folder)
    return folder


def measured(model: Path, lessons: Sequence[Given]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The table, and under each way's name all of its corrections."""
    ways: dict[str, Way] = {"lessons": ours}
    ways |= {f"fine-tuning, {rate:g}": fine_tuning(rate) for rate in FINE_TUNING_RATES}
    sums = sums_of(model)
    untaught = LanguageModel.load(model)
    wrong = holds(untaught, [as_correction(untaught, it.turns, it.reply) for it in lessons])
    print(f"right before: {sum(wrong)} of {len(lessons)}", file=sys.stderr)
    rows, details = [], {}
    for name, way in ways.items():
        ones, end = taught(way, LanguageModel.load(model), lessons)
        sums_given_back = undone(model, sums) if way is ours else "–"
        row = row_of(name, ones, end) | {"undo gives the SHA-256": sums_given_back}
        rows.append(row | {"reached": reached(row) if way is ours else "–"})
        print(table(rows[-1:]), file=sys.stderr, flush=True)
        details[name] = [asdict(one) for one in ones]
    return rows, details


def main() -> None:
    """Teach, compare, undo; write results/corrections.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a model's folder; it is copied, not changed")
    parser.add_argument("--count", type=int, default=100, help="the first so many corrections")
    parser.add_argument("--out", type=Path, default=Path("out/bench/corrections"))
    parser.add_argument("--json", type=Path, help="a file for every single correction, too")
    parser.add_argument("--dry", action="store_true", help="print the table, keep no result")
    given = parser.parse_args()
    model = the_model(given.model, given.out)
    with limited_threads():
        rows, details = measured(model, read_lessons(CORRECTIONS)[: given.count])
    if given.json is not None:
        write_json(given.json, details)
    if given.dry:
        print(table(rows))
    else:
        command = f"python benchmarks/corrections.py --count {given.count}"
        save("corrections", command=command, rows=rows)


if __name__ == "__main__":
    main()
