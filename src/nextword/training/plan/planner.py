"""Make the plan of a run: which model, how many steps, for this data, aim, time and machine."""

import dataclasses
import math
import time
from typing import NamedTuple

from nextword.common.formatting import count
from nextword.config import ModelConfig, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.training.backends.backend import Backend
from nextword.training.backends.choose import choose_backend
from nextword.training.backends.compiling import settle
from nextword.training.plan.dialogue_plan import plan_answers, refit_steps
from nextword.training.plan.epochs import (
    MAX_EPOCHS,
    REGULARIZED,
    is_small_data,
    tokens_per_epoch,
)
from nextword.training.plan.plan import RESERVE_SHARE, Plan
from nextword.training.plan.sizes import (
    BATCH_TOKENS,
    batch_size,
    batch_tokens_for,
    block_weights,
    depth_of,
    has_own_size,
    model_at,
    training_settings,
)
from nextword.training.plan.throughput import tokens_per_second
from nextword.training.request import TrainRequest

TOKENS_PER_WEIGHT = 2.0  # of the blocks; a larger model would not see enough in the time
SMALL_DATA_DEPTH = 3  # a deeper model gains nothing from data seen often (docs/lab-log.md)
MEASURED_FROM = 300  # steps; fewer are not worth measuring for whether to compile
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)


class _Way(NamedTuple):
    """How fast a model trains, in tokens per second, and with what."""

    speed: float
    often: bool  # small data, many epochs
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
    if request.timed_minutes is not None:
        return _timed(request, data, seconds=request.timed_minutes * 60, started=started)
    batch = batch_size(request, data, BATCH_TOKENS)
    steps = request.steps or math.ceil((request.tokens or 0) / (batch * data.context))
    often = is_small_data(steps * batch * data.context / tokens_per_epoch(data))
    training = training_settings(request, data, batch=batch, steps=steps, often=often)
    model = model_at(request, data, depth_of(request))
    refit = refit_steps(steps) if data.learns_held_out and steps > 1 else 0
    why = [count(steps, "step")]
    if refit:
        why.append(f"the last {refit:,} over everything that was given")
    plan = Plan(model, training, None, tuple(why), refit_steps=refit)
    return _finished(request, data, plan)


def _finished(
    request: TrainRequest, data: Prepared, plan: Plan, *, like: Backend | None = None
) -> Plan:
    """Return the plan with its backend, whether it compiles, and the rest of the reasons."""
    pretrained = request.start is not None
    backend = choose_backend(plan.model, data, plan.training, pretrained=pretrained, like=like)
    training = dataclasses.replace(plan.training, precision=backend.precision)
    training, reasons = _settle_compiling(training, backend, plan, data)
    unasked = sorted(REGULARIZED.keys() - request.training.keys())
    chosen = [(name.replace("_", " "), getattr(training, name)) for name in unasked]
    named = [f"{name} {value:g}" for name, value in chosen if value]
    why = [f"{' and '.join(named)}: small data, many epochs"] if named else []
    return dataclasses.replace(
        plan,
        training=training,
        why=(*plan.why, *why, *reasons),
        aim=data.aim,
        split_rule=data.split_rule,
        backend=backend,
    )


def _settle_compiling(
    training: TrainingConfig, backend: Backend, plan: Plan, data: Prepared
) -> tuple[TrainingConfig, list[str]]:
    """Decide whether steps are compiled, which is predicted from how long they will take."""
    seconds = plan.deadline or 0.0
    if not seconds and training.compile == "auto" and training.steps >= MEASURED_FROM:
        speed = backend.speeds.get(backend.precision)
        if speed is None:  # of a precision that was asked for
            speed = tokens_per_second(plan.model, data, training, seconds=0.0)
        seconds = training.steps * training.batch_size * data.context / speed
    fast = backend.native or backend.shards > 1
    training, reason = settle(training, seconds=seconds, fast=fast)
    return training, [] if reason is None else [reason]


def _timed(request: TrainRequest, data: Prepared, *, seconds: float, started: float) -> Plan:
    """Return the plan for a time: model, batch and steps follow from the speed."""
    if data.aim == "answers":
        return _timed_answers(request, data, seconds=seconds, started=started)
    return _timed_text(request, data, seconds=seconds, started=started)


def _timed_answers(
    request: TrainRequest, data: Prepared, *, seconds: float, started: float
) -> Plan:
    """Return the plan to learn every reply, or, where there is no time for that, many of them."""
    chosen = plan_answers(request, data, seconds=seconds, started=started)
    if chosen.minutes_needed is not None:
        plan = _timed_text(request, data, seconds=seconds, started=started)
        why = (
            f"the time does not suffice to learn every reply word for word; about "
            f"{math.ceil(chosen.minutes_needed)} minutes would",
            *plan.why,
        )
        return dataclasses.replace(
            plan,
            why=why,
            minutes_needed=chosen.minutes_needed,
            refit_steps=refit_steps(plan.training.steps),
        )
    steps = chosen.training.steps
    plan = Plan(
        chosen.model,
        chosen.training,
        seconds,
        (),
        steps,
        refit_steps=chosen.refit_steps,
        refit_peak=chosen.refit_peak,
    )
    why = (
        _timed_reason(request, plan, data, speed=chosen.speed),
        f"{chosen.epochs:.0f} epochs, the last {chosen.refit_steps:,} steps over everything; "
        "then until every reply is as given",
    )
    return _finished(request, data, dataclasses.replace(plan, why=why))


def _timed_text(request: TrainRequest, data: Prepared, *, seconds: float, started: float) -> Plan:
    """Return the plan for the lowest held-out loss in a time."""
    batch = batch_size(request, data, BATCH_TOKENS)
    model, backend, (speed, often, dropout) = _choose_model(request, data, batch, seconds=seconds)
    left = max(seconds * (1 - RESERVE_SHARE) - (time.monotonic() - started), 1.0)
    worth = MAX_EPOCHS * tokens_per_epoch(data)
    batch = batch_size(request, data, batch_tokens_for(min(left * speed, worth)))
    tokens = batch * data.context
    most = -(-worth // tokens)
    steps = min(max(int(left * speed / tokens), 1), most)
    # with too little time for all replies, as many as can be are learned by heart
    regularize = dropout and data.aim != "answers"
    training = training_settings(
        request, data, batch=batch, steps=steps, often=often, regularize=regularize
    )
    plan = Plan(model, training, seconds, (), most)
    why = [_timed_reason(request, plan, data, speed=speed)]
    if steps == most:
        why.append(
            f"no more than {MAX_EPOCHS} epochs of {tokens_per_epoch(data):,} tokens: more would "
            "be memorized. More data would use more time"
        )
    return _finished(request, data, dataclasses.replace(plan, why=tuple(why)), like=backend)


def _choose_model(
    request: TrainRequest, data: Prepared, batch: int, *, seconds: float
) -> tuple[ModelConfig, Backend, _Way]:
    """Return the model for the time, what depths were measured with, and how it will be trained.

    The largest depth at which every weight of the blocks still gets TOKENS_PER_WEIGHT tokens to
    learn from; of small data, which is gone through MAX_EPOCHS times, up to SMALL_DATA_DEPTH.
    Measured on this machine from the smallest depth up, in the precision that is the fastest
    there. A depth that was asked for is only measured.
    """
    first = depth_of(request) if has_own_size(request, data) else DEPTHS[0]
    backend = _backend_at(request, data, batch, first)

    def measured(model: ModelConfig) -> _Way:
        return _measure(request, data, batch, model, backend=backend, seconds=seconds)

    if has_own_size(request, data):
        model = model_at(request, data, first)
        return model, backend, measured(model)
    worth = MAX_EPOCHS * tokens_per_epoch(data)
    best: tuple[ModelConfig, _Way] | None = None
    for depth in DEPTHS:
        model = model_at(request, data, depth)
        way = measured(model)
        tokens, enough = way.speed * seconds, TOKENS_PER_WEIGHT * block_weights(model)
        if depth <= SMALL_DATA_DEPTH:
            enough = min(enough, worth)
        elif worth < enough:
            break
        if best is not None and tokens < enough:
            break
        best = model, way
    assert best is not None
    return best[0], backend, best[1]


def _backend_at(request: TrainRequest, data: Prepared, batch: int, depth: int) -> Backend:
    """Return the backend to measure depths with; that of the final model is chosen at the end."""
    training = training_settings(request, data, batch=batch, steps=10**6, often=False)
    model = model_at(request, data, depth)
    return choose_backend(model, data, training, pretrained=request.start is not None)


def _measure(
    request: TrainRequest,
    data: Prepared,
    batch: int,
    model: ModelConfig,
    *,
    backend: Backend,
    seconds: float,
) -> _Way:
    """Return how fast a model trains; data gone through often with dropout if there is time."""

    def epochs(speed: float) -> float:
        return min(speed * seconds / tokens_per_epoch(data), MAX_EPOCHS)

    def settings(*, often: bool) -> TrainingConfig:
        training = training_settings(request, data, batch=batch, steps=1, often=often)
        return dataclasses.replace(training, precision=backend.precision)

    def speed_with(training: TrainingConfig) -> float:
        muon = backend.muon_precision
        return tokens_per_second(
            model, data, training, seconds=seconds, native=backend.native, muon_precision=muon
        )

    once = settings(often=False)
    speed = speed_with(once)
    if not is_small_data(epochs(speed)):
        return _Way(speed, often=False, dropout=False)
    often = settings(often=True)
    if often.dropout == once.dropout:
        return _Way(speed, often=True, dropout=True)
    slower = speed_with(often)
    if is_small_data(epochs(slower)):
        return _Way(slower, often=True, dropout=True)
    return _Way(speed, often=True, dropout=False)


def _timed_reason(request: TrainRequest, plan: Plan, data: Prepared, *, speed: float) -> str:
    """Return what was chosen for a time, for people."""
    assert plan.deadline is not None
    model, training = plan.model, plan.training
    depth = model.n_layers if request.preset != "seed" else 1
    return (
        f"{plan.deadline / 60:g} minutes at {speed:,.0f} tokens/s: {training.steps:,} steps of "
        f"{training.batch_size * data.context:,} tokens, depth {depth}, width {model.d_model}"
    )
