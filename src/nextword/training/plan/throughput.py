"""Measure how fast a model trains on this machine, over whole training steps."""

import time
from collections.abc import Generator

from nextword.config import ModelConfig, Precision, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.evaluate.scoring import to_tensors
from nextword.hardware import pick_device, pick_precision
from nextword.model.decoder import Decoder
from nextword.training.backends.data_parallel import Gradients
from nextword.training.optim.optimizer import Optimizer

MEASURED_SECONDS = 1.0  # of a budget that is long enough
MEASURED_SHARE = 0.01  # of the budget
MIN_STEPS = 3


def step_times(
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    native: bool | None = None,
    muon_precision: Precision | None = None,
) -> Generator[float]:
    """Yield the seconds of one training step after another, of a model that is thrown away.

    The first step warms up: it compiles and allocates, so leave it out.

    Args:
        model: its architecture and sizes.
        data: where batches come from.
        training: every setting; `precision` is one that is computed in, not "auto".
        native: as in `Gradients`.
        muon_precision: as in `Optimizer`.
    """
    device = pick_device(training.device)
    decoder = Decoder(model, seed=0).to(device)
    decoder.compute_dtype = pick_precision(training.precision, device)
    decoder.dropout = training.dropout
    decoder.train()
    samples = data.samples(seed=1, learn=training.learn, talks=training.talks)
    rows = training.batch_size // training.accumulate
    gradients = Gradients(decoder, training, rows=rows, context=data.context, native=native)
    optimizer = Optimizer(
        decoder,
        training,
        gradients.pool,
        shards=gradients.shards,
        muon_precision=muon_precision,
    )
    first = 0
    while True:
        start = time.perf_counter()
        optimizer.forget_gradients()
        for _ in range(training.accumulate):
            batch = samples.batch(first, rows)
            gradients.add(to_tensors(batch, device), known=batch[1].size)
            first += rows
        optimizer.step(1e-6)
        yield time.perf_counter() - start


def tokens_per_second(
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    seconds: float,
    native: bool | None = None,
    muon_precision: Precision | None = None,
) -> float:
    """Return the training speed, the median over a small part of `seconds`.

    Args:
        model, data, training, native, muon_precision: see `step_times`.
        seconds: the whole budget; 0: three steps are measured.
    """
    times = []
    end = time.perf_counter() + min(MEASURED_SECONDS, MEASURED_SHARE * seconds)
    steps = step_times(model, data, training, native=native, muon_precision=muon_precision)
    for each in steps:
        times.append(each)
        if len(times) >= MIN_STEPS and time.perf_counter() >= end:
            break
    middle = sorted(times[1:])[(len(times) - 1) // 2]
    return training.batch_size * data.context / middle
