"""Small data in more time: models that learn one after the other, from each other.

What a model knows of small data it knows by heart, and is too sure of. So several may learn the
text, siblings that differ in what they began with; they are the first generation. The only model
of a later one learns the probabilities that those of the generation before it hold for every next
word, in place of the word that stands there (born-again networks: arXiv 1805.04770), of text in
which some words were replaced by random ones (arXiv 1808.07512): of the text itself they would
tell little but what they know by heart. Measured: docs/lab-log.md.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nextword.config import TrainingConfig
from nextword.learn.progress import Reporter
from nextword.learn.scores import Scores, Update
from nextword.model.decoder import Decoder
from nextword.text.order import hash64, hash64_each

REPLACED = 0.15  # of a sequence's words, in the mean over sequences


def n_models(training: TrainingConfig) -> int:
    """How many models learn, one after the other."""
    return training.siblings + training.generations - 1 if training.generations > 1 else 1


def generation_of(model: int, training: TrainingConfig) -> int:
    """The generation, from 1, of a model, which are numbered from 1 on."""
    return max(model - training.siblings, 0) + 1


def settings_of(training: TrainingConfig, model: int) -> TrainingConfig:
    """The settings of a model, from 1: each has a seed, only the first one's is as given.

    Later generations learn from what is not sure: they need neither dropout nor smoothed labels.
    """
    if model == 1:
        return training
    seeded = dataclasses.replace(training, seed=hash64(training.seed, model) >> 2)
    return seeded if generation_of(model, training) == 1 else sure(seeded)


def sure(training: TrainingConfig) -> TrainingConfig:
    """The settings of a later generation."""
    return dataclasses.replace(training, compile="no", dropout=0.0, label_smoothing=0.0)


def teachers_of(earlier: Sequence[Decoder], training: TrainingConfig) -> tuple[Decoder, ...]:
    """Those of the earlier models, in their order, from which the next one learns."""
    here = generation_of(len(earlier) + 1, training)
    return tuple(
        decoder
        for model, decoder in enumerate(earlier, start=1)
        if generation_of(model, training) == here - 1
    )


def summary(training: TrainingConfig) -> str:
    """What the models of several generations learn; for people."""
    later = "each other one what the one before it says"
    if training.siblings == 1:
        return f"the first learns the text, {later}"
    rest = f", {later}" if training.generations > 2 else ""
    return f"{training.siblings} learn the text, the next one what these say{rest}"


def told(model: int, training: TrainingConfig) -> str:
    """What a model, from 2, learns; for people."""
    which = f"model {model} of {n_models(training)} learns"
    generation = generation_of(model, training)
    if generation == 1:
        return f"{which} the text, too"
    if generation == 2 and training.siblings > 1:
        return f"{which} what is said by the {training.siblings} before it"
    return f"{which} what is said by the one before it"


def disturbed(
    tokens: NDArray[np.int64], first: int, *, vocab_size: int, seed: int
) -> NDArray[np.int64]:
    """Sequences in which random words stand in some places: from none to 2 · REPLACED of them.

    Args:
        tokens: [B, T] of the samples number `first` and on.
        first: on which, with the seed, it depends what is replaced by what.
        vocab_size: V, of which a word is drawn.
        seed: of the training.

    Returns:
        [B, T] int64.
    """
    rows = []
    for number, row in enumerate(tokens, start=first):
        place = np.arange(len(row), dtype=np.uint64)
        share = 2 * REPLACED * hash64(seed, number) / 2**64
        drawn = hash64_each(hash64(seed, number, 1), place) / 2.0**64  # [T], from 0 to 1
        words = hash64_each(hash64(seed, number, 2), place) % np.uint64(vocab_size)
        rows.append(np.where(drawn < share, words.astype(np.int64), row))
    return np.stack(rows)


class Onward:
    """Tells a reporter of one generation, its steps numbered on from those before it.

    Args:
        reporter: who is told.
        before: steps that earlier generations took.
        after: steps that later ones will take.
        seconds: how long those will last; 0: as long as these, each.
    """

    def __init__(self, reporter: Reporter, *, before: int, after: int, seconds: float) -> None:
        self._reporter = reporter
        self._before, self._after, self._seconds = before, after, seconds
        self._each = 0.0  # seconds of a step

    def preparing(self, what: str, done: int, total: int) -> None:
        """Pass it on."""
        self._reporter.preparing(what, done, total)

    def start(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Pass it on."""
        self._reporter.start(title, facts)

    def update(self, update: Update) -> None:
        """Pass it on, counted over all generations."""
        step, steps = update.step + self._before, update.steps + self._before + self._after
        if update.step < update.steps and not self._seconds:  # nobody measured before
            self._each = update.seconds_left / (update.steps - update.step)
        left = update.seconds_left + (self._seconds or self._after * self._each)
        self._reporter.update(
            dataclasses.replace(update, step=step, steps=steps, seconds_left=left)
        )

    def evaluated(self, step: int, scores: Scores) -> None:
        """Pass it on if this is the last model: others are not what there will be at the end."""
        if not self._after:
            self._reporter.evaluated(step + self._before, scores)

    def sample(self, step: int, prompt: str, reply: str) -> None:
        """Pass it on, counted over all generations."""
        self._reporter.sample(step + self._before, prompt, reply)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._reporter.note(text)

    def finish(self, lines: Sequence[str]) -> None:
        """Pass it on."""
        self._reporter.finish(lines)

    def close(self) -> None:
        """Whoever made the reporter closes it."""
