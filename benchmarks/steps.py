"""One training step on random tokens, put together from the trainer's own pieces."""

import statistics
import time
from contextlib import suppress
from dataclasses import replace

import torch
from torch.profiler import record_function

from nextword.config import ModelConfig, Precision, TrainingConfig
from nextword.errors import NextwordError
from nextword.hardware import pick_device, pick_precision
from nextword.model import Decoder
from nextword.presets import preset
from nextword.training.backends.choose import SECONDS_EACH, candidates
from nextword.training.backends.data_parallel import Gradients
from nextword.training.optim.optimizer import Optimizer

WARM_UP = 2  # steps before any that is measured
LEAST_STEPS = 3


class Step:
    """Calling it takes one optimizer step, as `Trainer` does between two batches.

    Args:
        config: the model; a sequence is its whole context.
        batch: sequences per step.
        training: how it learns; None: the defaults. Precision "auto" is the fastest one, measured
            as `nextword train` does.
        device: as for `nextword train`.
        compiled: whether forward and backward go through torch.compile.
        shards: into how many parts a batch is split; None: as many as suit this machine.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        batch: int,
        training: TrainingConfig | None = None,
        device: str = "cpu",
        compiled: bool = False,
        shards: int | None = None,
    ) -> None:
        training = training or TrainingConfig(steps=1)
        if training.precision == "auto" and not compiled:
            asked = replace(training, device=device)
            name = fastest_precision(config, batch=batch, training=asked, shards=shards)
            training = replace(training, precision=name)
        self.device = pick_device(device)
        self.tokens = batch * config.context_length
        self.decoder = Decoder(config).to(self.device).train()
        self.decoder.compute_dtype = pick_precision(training.precision, self.device)
        training = replace(training, compile="yes" if compiled else "no")
        self._gradients = Gradients(
            self.decoder, training, rows=batch, context=config.context_length, shards=shards
        )
        pool, shards = self._gradients.pool, self._gradients.shards
        self._optimizer = Optimizer(self.decoder, training, pool, shards=shards)
        self._clip = training.gradient_clip
        self._shape = (batch, config.context_length + 1)

    def __call__(self) -> float:
        """Take a step on new random tokens; returns the loss, nats per token.

        The named parts are what profile_step.py tells apart; unprofiled, a name costs nothing.
        """
        ids = torch.randint(self.decoder.config.vocab_size, self._shape, device=self.device)
        self._optimizer.forget_gradients()
        value = self._gradients.add((ids[:, :-1], ids[:, 1:], None), known=self.tokens)
        with record_function("part: optimizer"):
            self._optimizer.clip(self._clip)
            self._optimizer.step(1.0)
        return value

    def seconds(self, *, at_least: float) -> float:
        """The median time of one step; steps are taken until `at_least` seconds have passed."""
        for _ in range(WARM_UP):
            self()
        times: list[float] = []
        while len(times) < LEAST_STEPS or sum(times) < at_least:
            start = time.perf_counter()
            self()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            times.append(time.perf_counter() - start)
        return statistics.median(times)


def fastest_precision(
    config: ModelConfig, *, batch: int, training: TrainingConfig, shards: int | None
) -> Precision:
    """Return the precision in which a step takes the least time, of those worth measuring."""
    seconds: dict[Precision, float] = {}
    for name in candidates(config, training):
        given = replace(training, precision=name)
        with suppress(NextwordError):  # such as int8 where a batch cannot be split evenly
            step = Step(config, batch=batch, training=given, device=training.device, shards=shards)
            seconds[name] = step.seconds(at_least=SECONDS_EACH)
    return min(seconds, key=lambda name: seconds[name])


def gpt2_124m(name: str = "gpt2", *, context: int) -> ModelConfig:
    """The sizes of GPT-2's smallest model, with the architecture of any preset."""
    sizes = {"d_model": 768, "n_layers": 12, "n_heads": 12, "tied_embeddings": True}
    return preset(name, vocab_size=50257, context_length=context, **sizes)
