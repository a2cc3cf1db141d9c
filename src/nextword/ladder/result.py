"""What was measured on the ladder, and by which rule one rung is better than another.

The rule: a rung is better than the one before where each of its seeds ends with a lower held-out
loss than every seed of the one before (worse: higher). Where the two ranges overlap, and with a
single seed, it is left open. Three seeds that differ by chance only fall apart like this once in
twenty times either way.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from nextword.ladder.rung import Rung
from nextword.ladder.rungs import RUNGS

Verdict = Literal["first", "better", "worse", "open"]


@dataclass(frozen=True, kw_only=True)
class Climb:
    """One rung, trained once.

    Attributes:
        rung, seed: which rung, with which first weights and order of the data.
        loss: held out, nats per token; None where training broke off.
        bits_per_byte: of the held-out text; None where its tokens have no bytes.
        top1: share, 0 … 1, of next tokens that were the most probable one; None as for loss.
        steps, tokens: how much was learned from.
        seconds: spent in steps; evaluation and saving apart.
        parameters: numbers that the model learns.
        broke: why training broke off; None where it did not.
        sample: what the model writes after the ladder's prompt.
        model, training: every setting.
    """

    rung: str
    seed: int
    loss: float | None
    bits_per_byte: float | None
    top1: float | None
    steps: int
    tokens: int
    seconds: float
    parameters: int
    broke: str | None
    sample: str
    model: Mapping[str, Any]
    training: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A rung with all its seeds, and the rung that was climbed before it."""

    rung: Rung
    climbs: tuple[Climb, ...]
    before: "Step | None"

    @property
    def losses(self) -> list[float]:
        """Of the seeds that did not break off, in their order."""
        return [climb.loss for climb in self.climbs if climb.loss is not None]

    @property
    def broken(self) -> int:
        """How many seeds broke off."""
        return len(self.climbs) - len(self.losses)

    @property
    def loss(self) -> float | None:
        """The mean; None where every seed broke off."""
        return fmean(self.losses) if self.losses else None

    @property
    def steps(self) -> float:
        """Steps of the optimizer, the mean."""
        return fmean(climb.steps for climb in self.climbs)

    @property
    def change(self) -> float | None:
        """Mean loss minus that of the rung before; None where one of them has none."""
        if self.before is None or self.before.loss is None or self.loss is None:
            return None
        return self.loss - self.before.loss

    @property
    def verdict(self) -> Verdict:
        """Whether it is better than the rung before, by the rule above."""
        if self.before is None:
            return "first"
        if self.broken != self.before.broken:
            return "worse" if self.broken > self.before.broken else "better"
        if len(self.climbs) < 2 or not self.losses:
            return "open"
        if max(self.losses) < min(self.before.losses):
            return "better"
        return "worse" if min(self.losses) > max(self.before.losses) else "open"

    @property
    def bringing(self) -> tuple[Rung, ...]:
        """The rungs between the one before and this one, which were not climbed by themselves.

        Not those in whose place this one comes: it changes all that they would have changed.
        """
        first = 0 if self.before is None else RUNGS.index(self.before.rung) + 1
        between = RUNGS[first : RUNGS.index(self.rung)]
        return tuple(rung for rung in between if not {*rung.settings} <= {*self.rung.settings})

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """Every setting that is not as on the rung before: its value there, and here."""
        if self.before is None:
            return {}
        old, new = self.before.climbs[0], self.climbs[0]
        return {
            name: (there[name], here[name])
            for there, here in ((old.model, new.model), (old.training, new.training))
            for name in here
            if there[name] != here[name] and name not in ("steps", "seed")
        }


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Everything that was measured, and on what.

    Attributes:
        data: what was learned from, in words.
        vocab_size, context, batch, width, layers, heads: the sizes, one for all rungs.
        train_tokens, held_out_tokens: of the two parts of the data.
        tokenizer: its kind.
        seconds, seeds: per rung; how many times.
        prompt: what the samples go on with.
        machine, versions: what computed.
        left_out: rungs that this machine cannot climb, and why.
        climbs: every rung with every seed.
    """

    data: tuple[str, ...]
    tokenizer: str
    vocab_size: int
    context: int
    batch: int
    width: int
    layers: int
    heads: int
    train_tokens: int
    held_out_tokens: int
    seconds: float
    seeds: int
    prompt: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    left_out: Mapping[str, str]
    climbs: tuple[Climb, ...]

    def steps(self) -> tuple[Step, ...]:
        """The rungs that were climbed, from the ground up."""
        made: list[Step] = []
        for rung in RUNGS:
            climbs = tuple(climb for climb in self.climbs if climb.rung == rung.key)
            if climbs:
                made.append(Step(rung=rung, climbs=climbs, before=made[-1] if made else None))
        return tuple(made)

    def as_json(self) -> dict[str, Any]:
        """All numbers as plain JSON; what follows from them stands beside each rung."""
        rungs = [
            {
                "rung": step.rung.key,
                "name": step.rung.name,
                "loss": step.loss,
                "lowest": min(step.losses, default=None),
                "highest": max(step.losses, default=None),
                "broken": step.broken,
                "change": step.change,
                "verdict": step.verdict,
                "steps": step.steps,
                "settings": {name: list(pair) for name, pair in step.changed().items()},
            }
            for step in self.steps()
        ]
        return {"rungs": rungs, **dataclasses.asdict(self)}


def largest_gain(steps: Sequence[Step]) -> Step | None:
    """The rung that lowered the loss most, of those that are better than the one before."""
    gains = [step for step in steps if step.verdict == "better" and (step.change or 0.0) < 0]
    return min(gains, key=lambda step: step.change or 0.0, default=None)
