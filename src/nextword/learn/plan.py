"""The plan of a run: which model, how many steps, for this data, on this machine."""

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from nextword.config import ModelConfig, TrainingConfig, config_from
from nextword.learn.compiling import settle
from nextword.learn.data import Prepared
from nextword.learn.evaluate import to_tensors
from nextword.learn.gradients import Gradients, n_shares
from nextword.learn.optimizer import Optimizer
from nextword.learn.passes import (
    MOST_PASSES,
    UNSURE,
    gentle,
    seen_often,
    tokens_of_pass,
    unsure,
)
from nextword.learn.precision import goes_at_once
from nextword.learn.request import TrainRequest
from nextword.machine import pick_device, pick_precision
from nextword.model.decoder import Decoder
from nextword.presets import DEFAULT_DEPTH, PRESETS, preset

BATCH_TOKENS = 4096  # tokens of a batch, unless asked otherwise
LEAST_BATCH_TOKENS, MOST_BATCH_TOKENS = 1024, 32768  # of a batch, where time is the budget
USUAL_TOKENS, USUAL_BATCH_TOKENS = 3e6, 2048  # of a run, and of its batch
BATCHES_PER_EPOCH = 8  # small data is not taken in larger bites than this
TOKENS_PER_WEIGHT = 2.0  # of the blocks; a larger model would not see enough in the time
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
MEASURED_SECONDS = 1.0  # for each depth tried, of a budget that is long enough
MEASURED_SHARE = 0.01  # of the time
RESERVE_SHARE = 0.05  # of the time, kept for the last evaluation and for saving
MARGIN_SECONDS = 1.5
MEASURED_FROM = 300  # steps; a few are taken to see how long that many would last


@dataclass(frozen=True)
class Plan:
    """A resolved run.

    Attributes:
        model, training: every setting.
        deadline: seconds after the start at which everything should be done; None: no limit.
        most_steps: not to be exceeded though there be time; None: no limit.
        why: what was chosen and on what grounds, for people.
    """

    model: ModelConfig
    training: TrainingConfig
    deadline: float | None
    why: tuple[str, ...]
    most_steps: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The plan as plain JSON, to be kept with the run."""
        return {
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "deadline": self.deadline,
            "why": list(self.why),
            "most_steps": self.most_steps,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Plan":
        """The plan that `as_json` gave."""
        return cls(
            model=config_from(ModelConfig, values["model"]),
            training=config_from(TrainingConfig, values["training"]),
            deadline=values["deadline"],
            why=tuple(values["why"]),
            most_steps=values.get("most_steps"),  # runs were begun before there was such a limit
        )


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
    seconds = _expected_seconds(model, data, training)
    training, reasons = _settled(request, model, data, training, seconds=seconds)
    return Plan(model, training, None, (f"{steps:,} steps", *reasons))


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
    why = [
        f"{seconds / 60:g} minutes at {speed:,.0f} tokens/s: {training.steps:,} steps of "
        f"{tokens:,} tokens, depth {model.n_layers if request.preset != 'seed' else 1}, "
        f"width {model.d_model}",
    ]
    if training.steps == most:
        why.append(
            f"no more than {MOST_PASSES} passes over {tokens_of_pass(data):,} tokens: more of them "
            "would be learned by heart. More data would use more time"
        )
    return Plan(model, training, seconds, (*why, *reasons), most)


def _settled(
    request: TrainRequest,
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    seconds: float,
) -> tuple[TrainingConfig, list[str]]:
    """The settings with `compile` decided, and what was decided without being asked for."""
    fast = training.precision == "int16" or _is_fast(model, data, training)
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
    if often and new and data.held_out is not None and _has_scaled_scores(request, data):
        dropout = dropout and settings.get("precision") != "int16"  # which goes without
        settings = unsure(settings if dropout else {"dropout": 0.0} | settings)
    return config_from(TrainingConfig, settings)


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


def _expected_seconds(model: ModelConfig, data: Prepared, training: TrainingConfig) -> float:
    """About how long the steps will take; 0 for few of them, where measuring would not pay."""
    if training.steps < MEASURED_FROM or training.compile != "auto":
        return 0.0
    speed = _speed(model, data, training, seconds=0.0)
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
    the time, up to the default depth: a larger one was no better. Measured on this machine from the
    smallest depth up. A depth that was asked for is only measured.
    """

    def measured(model: ModelConfig) -> _Way:
        """Data seen often are learned with dropout if there is time for that, too."""

        def passes(speed: float) -> float:
            return min(speed * seconds / tokens_of_pass(data), MOST_PASSES)

        once = _settings(request, data, batch, 1, often=False)
        speed = _speed(model, data, once, seconds=seconds)
        if not seen_often(passes(speed)):
            return _Way(speed, often=False, dropout=False)
        often = _settings(request, data, batch, 1, often=True)
        if often.dropout == once.dropout:
            return _Way(speed, often=True, dropout=True)
        slower = _speed(model, data, often, seconds=seconds)
        if seen_often(passes(slower)):
            return _Way(slower, often=True, dropout=True)
        return _Way(speed, often=True, dropout=False)

    worth = MOST_PASSES * tokens_of_pass(data)
    sized = {"d_model", "n_layers"} & request.model.keys()
    if request.depth is not None or sized or data.model is not None:
        model = model_at(request, data, depth_of(request))
        return model, measured(model)
    best: tuple[ModelConfig, _Way] | None = None
    for depth in DEPTHS:
        model = model_at(request, data, depth)
        way = measured(model)
        enough = TOKENS_PER_WEIGHT * block_weights(model)
        if depth <= DEFAULT_DEPTH:
            enough = min(enough, worth)
        if best is not None and way.speed * seconds < enough:
            break
        best = model, way
    assert best is not None
    return best


def block_weights(model: ModelConfig) -> int:
    """How many weights the blocks have, embeddings and unembedding apart."""
    with torch.device("meta"):
        decoder = Decoder(model)
    return sum(parameter.numel() for parameter in decoder.blocks.parameters())


def _speed(
    model: ModelConfig, data: Prepared, training: TrainingConfig, *, seconds: float
) -> float:
    """Tokens per second of whole training steps, the median over a small part of `seconds`."""
    device = pick_device(training.device)
    decoder = Decoder(model).to(device)
    decoder.compute_dtype = pick_precision(training.precision, device)
    decoder.dropout = training.dropout
    samples = data.samples(seed=1, learn=training.learn, talks=training.talks)
    times: list[float] = []
    rows = training.batch_size // training.accumulate
    gradients = Gradients(decoder, training, rows=rows, context=data.context)
    optimizer = Optimizer(decoder, training, gradients.workers)
    end = time.perf_counter() + min(MEASURED_SECONDS, MEASURED_SHARE * seconds)
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        optimizer.forget_gradients()
        first = len(times) * training.batch_size
        for part in range(training.accumulate):
            batch = samples.batch(first + part * rows, rows)
            gradients.add(to_tensors(batch, device), known=batch[1].size)
        optimizer.step(1e-6)
        times.append(time.perf_counter() - start)
    middle = sorted(times[1:])[(len(times) - 1) // 2]
    return training.batch_size * data.context / middle
