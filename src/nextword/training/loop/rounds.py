"""The rounds of a run whose aim is to answer: measure other phrasings, then learn everything.

The first round is trained like any run. What follows it is here: the held-out phrasings are
measured on the model as it is then, and learned from then on. A run that has time goes on in short
rounds until every reply that was given is exact.
"""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nextword.data.prepared import Prepared
from nextword.data.samples.splits import Part, whole
from nextword.evaluate.exact_replies import Pair, count_answers, given_pairs, known_replies, screen
from nextword.training.loop.trainer import Trainer
from nextword.training.plan.dialogue_plan import REFIT_PEAK, refit_steps
from nextword.training.plan.plan import Plan

PHRASINGS = "phrasings"  # in the findings of a run: AnswerScores of those held out, and the step
SCORES = "scores"  # in the findings: Scores of the held-out part, measured then, too
ASKING_SHARE = 0.2  # of the time that is left, for asking the held-out phrasings
KNOWN_SHARE = 0.99  # of the replies; with fewer the second round is not regularized
SAMPLE = 1000  # replies that tell whether enough are known
LEAST_SHARE = 0.5  # of a further round that there must be time for


def train_later_rounds(
    trainer: Trainer, data: Prepared, plan: Plan, *, note: Callable[[str], None]
) -> None:
    """Go on after the first round, where the aim is to answer, until all is learned.

    Args:
        trainer: has taken the steps of the round that it is in.
        data, plan: of the run.
        note: is told, in one sentence, of each thing that a person should know.

    Raises:
        StoppedError: as `Trainer.fit`; everything is saved.
    """
    if plan.aim != "answers":
        return
    if trainer.round.number == 0:
        if data.learns_held_out:
            _measure_phrasings(trainer, data)
        if not plan.refit_steps:
            return
        # what is known by heart needs no more of that, and phrasings are answered better with it
        known, _ = _exact(trainer, _sample(_pairs(trainer, data, data.train)), data)
        enough = known.sum() >= KNOWN_SHARE * len(known)
        trainer.begin_round(plan.refit_steps, peak=plan.refit_peak, regularized=bool(enough))
        trainer.fit()
    if plan.deadline is None or not plan.refit_steps:
        return
    pairs = _pairs(trainer, data, whole(data.shards))
    steps = min(plan.refit_steps, refit_steps(plan.training.steps))
    while _has_time(trainer, steps):
        until = time.monotonic() + ASKING_SHARE * trainer.pace.seconds_to_spare
        exact, checked = _exact(trainer, pairs, data, until=until)
        if (exact | ~checked).all() or not _has_time(trainer, steps):
            return
        note(f"{exact.sum():,} of {checked.sum():,} replies are learned; another round follows")
        trainer.begin_round(steps, peak=REFIT_PEAK, regularized=False)
        trainer.fit()


def _has_time(trainer: Trainer, steps: int) -> bool:
    """Return True if there is time for a further round, or for a good part of it."""
    return trainer.pace.seconds_to_spare >= LEAST_SHARE * steps * trainer.pace.seconds_per_step


def _pairs(trainer: Trainer, data: Prepared, part: Part) -> list[Pair]:
    """Return the prompts of a part of the data with the replies that can be learned exactly."""
    context = trainer.decoder.config.context_length
    return given_pairs(data.shards, part, context=context).answerable


def _sample(pairs: list[Pair]) -> list[Pair]:
    """Return at most SAMPLE of the pairs, from all over the data."""
    count = min(len(pairs), SAMPLE)
    return [pairs[number * len(pairs) // count] for number in range(count)]


def _exact(
    trainer: Trainer, pairs: list[Pair], data: Prepared, *, until: float | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pairs a forward pass gets right, and which were checked before `until`."""
    with trainer.own_precision():
        return screen(trainer.decoder, pairs, pad_id=data.tokenizer.pad_id, until=until)


def _measure_phrasings(trainer: Trainer, data: Prepared) -> None:
    """Let the model reply to the held-out phrasings, before it learns them."""
    assert data.held_out is not None
    shards, part = data.held_out
    context = trainer.decoder.config.context_length
    asked = known_replies(
        given_pairs(shards, part, context=context),
        given_pairs(data.shards, data.train, context=context),
    )
    until = None
    if trainer.pace.timed:
        until = time.monotonic() + ASKING_SHARE * max(trainer.pace.seconds_to_end, 0.0)
    with trainer.own_precision():
        scores = trainer.final_scores()
        answers = count_answers(trainer.decoder, data.tokenizer, asked, until=until)
    assert scores is not None
    found = dataclasses.asdict(answers) | {"step": trainer.step}
    trainer.findings = {PHRASINGS: found, SCORES: dataclasses.asdict(scores)}
