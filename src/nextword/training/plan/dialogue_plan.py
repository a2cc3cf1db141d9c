"""The dial for dialogues: every reply that was given is learned, word for word.

A run goes in rounds. In the first one the learning rate falls to zero with dropout and label
smoothing, which is what other phrasings are answered best after; some of them may be held out and
are measured then. A second round learns everything that was given, those too: as long and as strong
as a run of its own where there is time for that, else a short one, and without regularization where
replies are not known by heart yet. Where time is the budget, further short rounds follow until all
replies are exact. Epochs, shares and depths: docs/lab-log.md.
"""

import dataclasses
import math
import time
from dataclasses import dataclass

from nextword.config import ModelConfig, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.training.backends.choose import choose_backend
from nextword.training.plan.epochs import tokens_per_epoch
from nextword.training.plan.plan import ANSWER_SHARE, RESERVE_SHARE
from nextword.training.plan.sizes import (
    BATCH_TOKENS,
    batch_size,
    block_weights,
    depth_of,
    has_own_size,
    model_at,
    training_settings,
)
from nextword.training.plan.throughput import tokens_per_second
from nextword.training.request import TrainRequest

MAX_EPOCHS = 100.0  # of a round; more bring nothing to other phrasings
TWICE_EPOCHS = 120.0  # with so many, everything is gone through anew in the second round
REGULARIZED_EPOCHS = 60.0  # with fewer, dropout would leave replies unlearned
MIN_EPOCHS = 20.0  # fewer leave replies unlearned even without
DEPTH = 3  # of small data
REFIT_SHARE = 0.2  # of the steps, for the second round
REFIT_PEAK = 0.5  # its highest learning rate, as a share of the first one's
TWICE_SHARE = 0.6  # of the steps, where there is time to go through everything anew: at full rate
TOKENS_PER_WEIGHT = 0.25  # of the data for each weight of the blocks, at most


@dataclass(frozen=True)
class AnswerPlan:
    """What the dial chose for dialogues in a limited time.

    Attributes:
        model, training: every setting; the steps are those of the first two rounds.
        refit_steps: of these, the second round's.
        refit_peak: its highest learning rate, as a share of the first one's.
        epochs: over all of the data, in the first two rounds.
        speed: tokens per second that it is planned with.
        minutes_needed: None where the time suffices, else about how many would.
    """

    model: ModelConfig
    training: TrainingConfig
    refit_steps: int
    refit_peak: float
    epochs: float
    speed: float
    minutes_needed: float | None


def refit_steps(steps: int) -> int:
    """Return how many of a run's steps the second round takes; a single step has no second."""
    return min(math.ceil(REFIT_SHARE * steps), steps - 1)


def depth_for(request: TrainRequest, data: Prepared) -> int:
    """Return the smallest depth with enough weights to know all of the data by heart."""
    tokens = data.shards.n_tokens
    for depth in (DEPTH, 4, 6, 8, 12):
        if block_weights(model_at(request, data, depth)) * TOKENS_PER_WEIGHT >= tokens:
            break
    return depth


def plan_answers(
    request: TrainRequest, data: Prepared, *, seconds: float, started: float
) -> AnswerPlan:
    """Plan how to learn all replies in a limited time.

    Args:
        request: what was asked for.
        data: the prepared dialogues.
        seconds: the time for all.
        started: `time.monotonic()` when the run began.
    """
    depth = depth_of(request) if has_own_size(request, data) else depth_for(request, data)
    model = model_at(request, data, depth)
    batch = batch_size(request, data, BATCH_TOKENS)
    epoch = tokens_per_epoch(data)
    most = math.ceil(MAX_EPOCHS * epoch / (batch * data.context))
    settings = training_settings(request, data, batch=batch, steps=most, often=True)
    backend = choose_backend(model, data, settings, pretrained=request.start is not None)
    computed = dataclasses.replace(settings, precision=backend.precision)
    speed = tokens_per_second(
        model,
        data,
        computed,
        seconds=seconds,
        native=backend.native,
        muon_precision=backend.muon_precision,
    )
    spent = time.monotonic() - started
    left = max(seconds * (1 - RESERVE_SHARE - ANSWER_SHARE) - spent, 1.0)
    possible = left * speed / epoch
    twice = data.learns_held_out and possible >= TWICE_EPOCHS
    epochs = min(possible, MAX_EPOCHS / TWICE_SHARE if twice else MAX_EPOCHS)
    steps = max(math.ceil(epochs * epoch / (batch * data.context)), 2)
    settings = training_settings(
        request,
        data,
        batch=batch,
        steps=steps,
        often=True,
        regularize=epochs >= REGULARIZED_EPOCHS,
    )
    needed = None
    if possible < MIN_EPOCHS:
        needed = (seconds - left + MIN_EPOCHS * epoch / speed) / 60
    refit, peak = refit_steps(steps), REFIT_PEAK
    if twice:
        refit, peak = round(TWICE_SHARE * steps), 1.0
    return AnswerPlan(model, settings, refit, peak, epochs, speed, needed)
