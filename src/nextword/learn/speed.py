"""How fast a model learns on this machine: measured, over whole steps of training."""

import time

from nextword.config import ModelConfig, TrainingConfig
from nextword.learn.data import Prepared
from nextword.learn.evaluate import to_tensors
from nextword.learn.gradients import Gradients
from nextword.learn.optimizer import Optimizer
from nextword.machine import pick_device, pick_precision
from nextword.model.decoder import Decoder

MEASURED_SECONDS = 1.0  # of a budget that is long enough
MEASURED_SHARE = 0.01  # of the time


def speed_of(
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    seconds: float,
    n_teachers: int = 0,
    learned_before: bool = False,
) -> float:
    """Tokens per second of whole training steps, the median over a small part of `seconds`.

    Args:
        model: its architecture and sizes.
        data: of which batches are taken.
        training: how it learns; on how many sequences at a time.
        seconds: the time that there is for all; 0: three steps are measured.
        n_teachers: models of the same sizes whose probabilities it learns.
        learned_before: as in `Decoder`.
    """
    device = pick_device(training.device)
    dtype = pick_precision(training.precision, device)
    # with other weights each: gradients towards one's own opinion are so small that they are slow
    decoder, *teachers = (Decoder(model, seed=n).to(device) for n in range(1 + n_teachers))
    for each in (decoder, *teachers):
        each.compute_dtype, each.learned_before = dtype, learned_before
    for teacher in teachers:
        teacher.eval()
    decoder.dropout = training.dropout
    samples = data.samples(seed=1, learn=training.learn, talks=training.talks)
    times: list[float] = []
    rows = training.batch_size // training.accumulate
    gradients = Gradients(decoder, training, rows=rows, context=data.context, teachers=teachers)
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
