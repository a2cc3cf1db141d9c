"""Making the plan of a run: which model, how many steps, for this data, on this machine."""

import dataclasses
import math
import time
from typing import NamedTuple

import torch

from nextword.config import ModelConfig, TrainingConfig, config_from
from nextword.learn.compiling import settle
from nextword.learn.data import Prepared
from nextword.learn.generations import n_models, summary
from nextword.learn.gradients import n_shares
from nextword.learn.passes import (
    MOST_PASSES,
    UNSURE,
    gentle,
    seen_often,
    tokens_of_pass,
    unsure,
)
from nextword.learn.plan import RESERVE_SHARE, Plan
from nextword.learn.precision import SHORT, goes_at_once
from nextword.learn.request import TrainRequest
from nextword.learn.speed import speed_of
from nextword.learn.turns import GENERATIONS, in_turn
from nextword.machine import pick_device, pick_precision
from nextword.model.decoder import Decoder
from nextword.presets import DEFAULT_DEPTH, PRESETS, preset

BATCH_TOKENS = 4096  # tokens of a batch, unless asked otherwise
LEAST_BATCH_TOKENS, MOST_BATCH_TOKENS = 1024, 32768  # of a batch, where time is the budget
USUAL_TOKENS, USUAL_BATCH_TOKENS = 3e6, 2048  # of a run, and of its batch
BATCHES_PER_EPOCH = 8  # small data is not taken in larger bites than this
TOKENS_PER_WEIGHT = 2.0  # of the blocks; a larger model would not see enough in the time
LITTLE_DEPTH = 3  # that data pays for which is seen often (docs/lab-log.md)
TURNS = ("generations", "siblings")
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
MEASURED_FROM = 300  # steps; a few are taken to see how long that many would last


class _Way(NamedTuple):
    """How fast a model learns, in tokens per second, and with what."""

    speed: float
    often: bool  # the data are seen often
    dropout: bool  # there is time for dropout


def make_plan(request: TrainRequest, data: Prepared, *, started: float) -> Plan:
    """Settle what was left open.

    Args:
        request: what was asked for.
        data: the prepared data.
        started: `time.monotonic()` when the run began, against which minutes count.

    Raises:
        ConfigError: settings that do not fit together.
    """
    batch = _batch(request, data, BATCH_TOKENS)
    if request.timed_minutes is not None:
        return _timed(request, data, batch, seconds=request.timed_minutes * 60, started=started)
    steps = request.steps or math.ceil((request.tokens or 0) / (batch * data.context))
    often = seen_often(steps * batch * data.context / tokens_of_pass(data))
    training = _settings(request, data, batch, steps, often=often)
    model = model_at(request, data, depth_of(request))
    seconds = _expected_seconds(request, model, data, training)
    training, reasons = _settled(request, model, data, training, seconds=seconds)
    why = [f"{steps:,} steps"]
    if n_models(training) > 1:
        why = [f"{n_models(training)} models, {steps:,} steps each", summary(training)]
    return Plan(model, training, None, (*why, *reasons))


def _timed(
    request: TrainRequest, data: Prepared, batch: int, *, seconds: float, started: float
) -> Plan:
    """The plan for a time: the model, the batch and the number of steps follow from the speed."""
    model, (speed, often, dropout) = _choose(request, data, batch, seconds=seconds)
    left = max(seconds * (1 - RESERVE_SHARE) - (time.monotonic() - started), 1.0)
    worth = MOST_PASSES * tokens_of_pass(data)
    batch = _batch(request, data, batch_tokens_for(min(left * speed, worth)))
    tokens = batch * data.context
    most = -(-worth // tokens)
    steps = min(max(int(left * speed / tokens), 1), most)
    training = _settings(request, data, batch, steps, often=often, dropout=dropout)
    training, reasons = _settled(request, model, data, training, seconds=left)
    plan = Plan(model, training, seconds, (), most)
    asked = {name: int(request.training[name]) for name in TURNS if name in request.training}
    if asked or (often and _learns_anew(request, data)):
        again = request.start is not None
        plan = in_turn(plan, data, asked=asked, speed=speed, left=left, learned_before=again)
    return dataclasses.replace(plan, why=(*_told(request, plan, data, speed=speed), *reasons))


def _told(request: TrainRequest, plan: Plan, data: Prepared, *, speed: float) -> list[str]:
    """What was chosen for a time."""
    assert plan.deadline is not None
    model, training = plan.model, plan.training
    batch = training.batch_size * data.context
    steps = f"{training.steps:,} steps"
    if n_models(training) > 1:
        steps = f"{n_models(training)} models, {plan.most_steps:,} steps each, the last {steps}"
    why = [
        f"{plan.deadline / 60:g} minutes at {speed:,.0f} tokens/s: {steps} of {batch:,} tokens, "
        f"depth {model.n_layers if request.preset != 'seed' else 1}, width {model.d_model}",
    ]
    if training.generations > 1:
        asked = "generations" in request.training
        why.append(summary(training) + ("" if asked else ": the data are seen often"))
    elif training.steps == plan.most_steps:
        why.append(
            f"no more than {MOST_PASSES} passes over {tokens_of_pass(data):,} tokens: more of them "
            "would be learned by heart. More data would use more time"
        )
    return why


def _settled(
    request: TrainRequest,
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    seconds: float,
) -> tuple[TrainingConfig, list[str]]:
    """The settings with `compile` decided, and what was decided without being asked for."""
    fast = training.precision in SHORT or _is_fast(model, data, training)
    training, reason = settle(training, seconds=seconds, fast=fast)
    unasked = sorted(UNSURE.keys() - request.training.keys())
    chosen = [(name.replace("_", " "), getattr(training, name)) for name in unasked]
    told = [f"{name} {value:g}" for name, value in chosen if value]
    why = [f"{' and '.join(told)}: the data are seen often"] if told else []
    return training, why if reason is None else [*why, reason]


def batch_tokens_for(tokens: float) -> int:
    """The tokens of a batch for a run over `tokens`, a power of two.

    It grows with their root, as the largest batch does that loses nothing against smaller ones
    (arXiv 2410.21676); where it begins was measured (docs/lab-log.md).
    """
    wanted = USUAL_BATCH_TOKENS * math.sqrt(max(tokens, 1.0) / USUAL_TOKENS)
    nearest = 2 ** round(math.log2(max(wanted, 1.0)))
    return int(min(max(nearest, LEAST_BATCH_TOKENS), MOST_BATCH_TOKENS))


def _settings(
    request: TrainRequest,
    data: Prepared,
    batch: int,
    steps: int,
    *,
    often: bool,
    dropout: bool = True,
) -> TrainingConfig:
    """The settings of training; `dropout`: there is time for it, where the data are seen often."""
    settings = dict(request.training) | {"batch_size": batch, "steps": steps}
    if not _has_scaled_scores(request, data):  # the article's scores suffer from decay: lab log
        settings.setdefault("weight_decay", 0.0)
    new = data.model is None
    if often or not new:  # what is known already is not shaken
        settings = gentle(settings)
    if often and _learns_anew(request, data):
        settings = unsure(settings if dropout else {"dropout": 0.0} | settings)
    return config_from(TrainingConfig, settings)


def _learns_anew(request: TrainRequest, data: Prepared) -> bool:
    """Whether it is a new model, but not the article's, that will be judged by what is held out."""
    new = data.model is None and data.held_out is not None
    return new and _has_scaled_scores(request, data)


def _has_scaled_scores(request: TrainRequest, data: Prepared) -> bool:
    if data.model is not None:
        return data.model.scaled_scores
    chosen = PRESETS[request.preset] | dict(request.model)
    return bool(chosen.get("scaled_scores", True))


def _batch(request: TrainRequest, data: Prepared, tokens: int) -> int:
    """Sequences per step: what was asked for, or about `tokens`, in whole parts."""
    parts = int(request.training.get("accumulate", 1))
    asked = int(request.training.get("batch_size", 0))
    return asked or -(-default_batch(data, tokens) // parts) * parts


def _expected_seconds(
    request: TrainRequest, model: ModelConfig, data: Prepared, training: TrainingConfig
) -> float:
    """About how long the steps will take; 0 for few of them, where measuring would not pay."""
    if training.steps < MEASURED_FROM or training.compile != "auto":
        return 0.0
    again = request.start is not None
    speed = speed_of(model, data, training, seconds=0.0, learned_before=again)
    return training.steps * training.batch_size * data.context / speed


def _is_fast(model: ModelConfig, data: Prepared, training: TrainingConfig) -> bool:
    """Whether steps are fast uncompiled: rows are dealt out, or blocks gone through at once."""
    with torch.device("meta"):
        decoder = Decoder(model)
    rows = training.batch_size // training.accumulate
    device = pick_device(training.device)
    decoder.compute_dtype = pick_precision(training.precision, device)
    shares = n_shares(decoder, training, rows=rows, context=data.context, device=device)
    alone = torch.get_num_threads() == 1 and goes_at_once(decoder, training, device)
    return shares > 1 or alone


def default_batch(data: Prepared, tokens: int) -> int:
    """Sequences per step: about `tokens`, less for small data."""
    samples = data.samples(seed=0, learn="everything").n_samples(0)
    return max(1, min(tokens // data.context, samples // BATCHES_PER_EPOCH))


def depth_of(request: TrainRequest) -> int:
    """The depth asked for, or the default."""
    return DEFAULT_DEPTH if request.depth is None else request.depth


def model_at(request: TrainRequest, data: Prepared, depth: int) -> ModelConfig:
    """The request's model at a depth; the data's own where one goes on learning."""
    if data.model is not None:
        return data.model
    return preset(
        request.preset,
        vocab_size=data.tokenizer.vocab_size,
        context_length=data.context,
        depth=depth,
        **request.model,
    )


def _choose(
    request: TrainRequest, data: Prepared, batch: int, *, seconds: float
) -> tuple[ModelConfig, "_Way"]:
    """The model for the time, and the way in which it will learn.

    The largest depth at which every weight of the blocks still gets TOKENS_PER_WEIGHT tokens to
    learn from; of small data, which is gone through MOST_PASSES times, the largest that does so in
    the time, and a second generation as well, up to LITTLE_DEPTH: a larger one was no better, and
    leaves time for fewer siblings. Measured on this machine from the smallest depth up. A depth
    that was asked for is only measured.
    """

    def measured(model: ModelConfig) -> _Way:
        """Data seen often are learned with dropout if there is time for that, too."""

        def passes(speed: float) -> float:
            return min(speed * seconds / tokens_of_pass(data), MOST_PASSES)

        again = request.start is not None
        once = _settings(request, data, batch, 1, often=False)
        speed = speed_of(model, data, once, seconds=seconds, learned_before=again)
        if not seen_often(passes(speed)):
            return _Way(speed, often=False, dropout=False)
        often = _settings(request, data, batch, 1, often=True)
        if often.dropout == once.dropout:
            return _Way(speed, often=True, dropout=True)
        slower = speed_of(model, data, often, seconds=seconds, learned_before=again)
        if seen_often(passes(slower)):
            return _Way(slower, often=True, dropout=True)
        return _Way(speed, often=True, dropout=False)

    unasked = GENERATIONS if _learns_anew(request, data) else 1
    generations = int(request.training.get("generations", unasked))
    worth = MOST_PASSES * tokens_of_pass(data)
    sized = {"d_model", "n_layers"} & request.model.keys()
    if request.depth is not None or sized or data.model is not None:
        model = model_at(request, data, depth_of(request))
        return model, measured(model)
    best: tuple[ModelConfig, _Way] | None = None
    for depth in DEPTHS:
        model = model_at(request, data, depth)
        way = measured(model)
        tokens, enough = way.speed * seconds, TOKENS_PER_WEIGHT * block_weights(model)
        if depth <= LITTLE_DEPTH:
            enough = min(enough, generations * worth)
        elif worth < enough:
            break
        if best is not None and tokens < enough:
            break
        best = model, way
    assert best is not None
    return best


def block_weights(model: ModelConfig) -> int:
    """How many weights the blocks have, embeddings and unembedding apart."""
    with torch.device("meta"):
        decoder = Decoder(model)
    return sum(parameter.numel() for parameter in decoder.blocks.parameters())
