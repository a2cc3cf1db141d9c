"""The ladder in sentences, which page and Markdown share: each follows from the numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nextword.common.formatting import count
from nextword.common.markdown import enumerated
from nextword.common.text_format import visible
from nextword.ladder.result import Ladder, Step, largest_gain
from nextword.ladder.rungs import RATES, RUNGS

TITLE = "The ladder: from the article to today"
HEADINGS = ("rung", "held-out", "range of seeds", "change", "verdict", "steps", "parameters")
MARKS = {"first": "", "better": "▼", "worse": "▲", "open": "~"}  # the loss falls, rises, or neither


@dataclass(frozen=True)
class Told:
    """A rung in words.

    Attributes:
        key, title: its name for programs, and number and name.
        story: what was not nice and what mends it.
        was, now: the formulas before and after.
        settings: what changed, as `name: before → after`.
        result: what it did on this data.
        sample: what the model writes; empty: none was made.
    """

    key: str
    title: str
    story: tuple[str, ...]
    was: tuple[str, ...]
    now: tuple[str, ...]
    settings: tuple[str, ...]
    result: tuple[str, ...]
    sample: str


def rungs(ladder: Ladder) -> list[Told]:
    """Every rung that was climbed."""
    return [
        Told(
            key=step.rung.key,
            title=f"{number}. {step.rung.name[:1].upper()}{step.rung.name[1:]}",
            story=tuple(_story(step)),
            was=step.rung.was,
            now=step.rung.now,
            settings=tuple(_changes(step)),
            result=tuple(_result(step)),
            sample=shown(step.climbs[0].sample),
        )
        for number, step in enumerate(ladder.steps())
    ]


def _story(step: Step) -> Iterator[str]:
    """What was not nice, what mends it, and what comes with it."""
    rung = step.rung
    if step.bringing:
        names = enumerated([other.name for other in step.bringing])
        yield f"(With this rung comes what lies below it and was not climbed by itself: {names}.)"
    if rung.not_nice:
        yield f"But wait, {rung.not_nice}"
        yield f"So, {rung.mend}"
    else:
        yield rung.mend
    if rung.beside:
        yield rung.beside


def _changes(step: Step) -> list[str]:
    """The settings that are not as on the rung before."""
    return [f"{name}: {_value(old)} → {_value(new)}" for name, (old, new) in step.changed().items()]


def _result(step: Step) -> Iterator[str]:
    """What the rung did on this data, by the rule of `result.py`."""
    if step.broken:
        reason = next(climb.broke for climb in step.climbs if climb.broke)
        yield (
            f"Training broke off with {step.broken} of {count(len(step.climbs), 'seed')}; the "
            f"first time because of this: {reason}."
        )
    if step.loss is not None:
        yield f"{_level(step)}{_compared(step)}"
    yield _work(step)


def _level(step: Step) -> str:
    assert step.loss is not None
    text = f"On this data: {step.loss:.3f} nats per token"
    if len(step.losses) > 1:
        spread = f"{min(step.losses):.3f} to {max(step.losses):.3f}"
        text += f" ({spread} over {count(len(step.losses), 'seed')})"
    return text


def _compared(step: Step) -> str:
    """Against the rung before: how much, and whether the seeds agree."""
    if step.before is None:
        return "."
    if step.change is None or step.broken != step.before.broken:
        return {
            "better": f". It is better: with {step.before.broken - step.broken} seeds more than "
            "on the rung before training did not break off.",
            "worse": f". It is worse: training broke off with {step.broken - step.before.broken} "
            "seeds more than on the rung before.",
        }.get(step.verdict, ".")
    way = "lower" if step.change < 0 else "higher"
    how = f", {abs(step.change):.3f} {way} than on the rung before"
    if step.verdict == "better":
        return f"{how}. It is better: every seed ends below all seeds of the rung before."
    if step.verdict == "worse":
        return (
            f"{how}. But wait, this is not nice either: in the same time it comes out worse, "
            "every seed above all seeds of the rung before."
        )
    if len(step.climbs) < 2:
        return f"{how}. One seed cannot tell whether that is more than chance."
    return f"{how}. The seeds of the two rungs overlap, so this does not tell whether it helps."


def _work(step: Step) -> str:
    """How many steps fitted into the time."""
    climbs = step.climbs
    each = 1000 * sum(climb.seconds for climb in climbs) / max(1, sum(c.steps for c in climbs))
    text = (
        f"In its time it took {count(round(step.steps), 'step')} of {each:.3g} ms, "
        f"with {climbs[0].parameters:,} parameters"
    )
    if step.before is None or not step.before.steps:
        return f"{text}."
    return f"{text}; the rung before took {count(round(step.before.steps), 'step')}."


def lead(ladder: Ladder) -> list[str]:
    """What this is, and what came out, in two paragraphs."""
    steps = ladder.steps()
    times = "once" if ladder.seeds == 1 else f"{ladder.seeds} times"
    what = (
        f"Each rung adds one thing to the one before. Each learned from the same data for the same "
        f"time, {ladder.seconds:g} seconds, {times}, each time with other first weights and in "
        "another order. Each was then judged by all of the text that was held out: the loss is "
        "the mean of −ln(probability of the token that really came), so lower is better."
    )
    return [what, " ".join(_outcome(steps))]


def _mean(step: Step) -> float:
    """The mean loss, for comparing; what broke off comes last."""
    return math.inf if step.loss is None else step.loss


def _outcome(steps: Sequence[Step]) -> Iterator[str]:
    first, last = steps[0], steps[-1]
    if first.loss is not None and last.loss is not None and len(steps) > 1:
        yield (
            f"From {first.rung.name} to {last.rung.name} the loss went from {first.loss:.3f} to "
            f"{last.loss:.3f}, {signed(last.loss - first.loss)}."
        )
    best = min(steps, key=_mean)
    if best is not last and best.loss is not None:
        yield f"The lowest loss of all was reached with {best.rung.name}: {best.loss:.3f}."
    gain = largest_gain(steps)
    if gain is not None and gain.change is not None:
        yield f"The largest gain came with {gain.rung.name}: {signed(gain.change)}."
    meaning = (
        ("better", "Better than the one before"),
        ("open", "Left open by one seed" if len(first.climbs) < 2 else "Too close to tell"),
        ("worse", "Worse than the one before, in the same time"),
    )
    for verdict, words in meaning:
        names = [step.rung.name for step in steps if step.verdict == verdict]
        if names:
            yield f"{words}: {enumerated(names)}."


def rows(ladder: Ladder) -> list[tuple[str, ...]]:
    """The table, with a cell for each of `HEADINGS`."""
    return [
        (
            f"{number}. {step.rung.name}",
            "broke off" if step.loss is None else f"{step.loss:.3f}",
            f"{min(step.losses):.3f} – {max(step.losses):.3f}" if step.losses else "–",
            "" if step.change is None else signed(step.change),
            "" if step.before is None else f"{MARKS[step.verdict]} {step.verdict}",
            f"{step.steps:,.0f}",
            f"{step.climbs[0].parameters:,}",
        )
        for number, step in enumerate(ladder.steps())
    ]


def method(ladder: Ladder) -> list[tuple[str, str]]:
    """How it was measured: what, and how."""
    machine = ladder.machine
    where = f"{machine['processor']}, {count(machine['threads'], 'thread')}"
    where += f", {machine['gpu']}" if "gpu" in machine else ""
    lines = [
        ("Data", "; ".join(ladder.data)),
        (
            "Tokens",
            f"{ladder.vocab_size:,} in the vocabulary ({ladder.tokenizer}); "
            f"{ladder.train_tokens:,} to learn from, {ladder.held_out_tokens:,} held out",
        ),
        (
            "Sizes",
            f"width {ladder.width} on every rung; from their rungs on "
            f"{count(ladder.heads, 'head')} and "
            f"{count(ladder.layers, 'block')}; batches of {ladder.batch} × {ladder.context} tokens",
        ),
        (
            "Time",
            "counted from the first step to the last; a few steps before, with a model that is "
            "thrown away, set up the machine and tell how many steps to plan for. Judging is not "
            "counted, and is done in float32 over everything that is held out",
        ),
        (
            "Learning rates",
            f"one for each optimizer, on every rung: AdamW {RATES['adamw']:g}, Muon "
            f"{RATES['muon']:g}, both after a short warm-up. They were not tuned for any rung",
        ),
        (
            "Verdict",
            "better: every seed ends below all seeds of the rung before; worse: every seed ends "
            "above them; open: the two overlap. By chance alone, three seeds against three would "
            "come out as better once in twenty times",
        ),
        ("Machine", where),
        ("Versions", ", ".join(f"{name} {text}" for name, text in ladder.versions.items())),
    ]
    left_out = [f"{key}: {why}" for key, why in ladder.left_out.items()]
    return [*lines, *([("Left out", "; ".join(left_out))] if left_out else [])]


def shown(sample: str) -> str:
    """What a model wrote, line by line, and inert."""
    return visible(sample, keep="\n")


def signed(value: float) -> str:
    """A change with its sign, as `−0.052`."""
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}"


def command(ladder: Ladder) -> str:
    """The command that climbs this ladder again; DATA stands for the data."""
    asked = {*ladder.left_out, *(climb.rung for climb in ladder.climbs)}
    keys = [rung.key for rung in RUNGS if rung.key in asked]
    only = "" if len(keys) == len(RUNGS) else f" --rungs {','.join(keys)}"
    return (
        f"nextword ladder DATA --out FOLDER --seconds {ladder.seconds:g} --seeds {ladder.seeds} "
        f"--width {ladder.width} --layers {ladder.layers} --heads {ladder.heads} "
        f"--context {ladder.context} --batch {ladder.batch} --tokenizer {ladder.tokenizer}{only}"
    )


def _value(value: Any) -> str:
    """A setting's value as in TOML, without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)
