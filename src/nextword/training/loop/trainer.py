"""The loop that learns: predict the next word everywhere, compare, adjust all matrices.

Everything that decides the next step is the step's number: which samples (a pure function of the
seed and the number), the learning rate, the random numbers of dropout. So a run that was killed
goes on from its last checkpoint to the same weights, bit for bit, as if nothing had happened.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from nextword.common.signals import StopSignals
from nextword.config import Precision, TrainingConfig
from nextword.data.samples.datasets import Samples
from nextword.data.samples.shuffling import hash64
from nextword.errors import LossError, StoppedError
from nextword.evaluate.metrics import Scores, Update
from nextword.evaluate.scoring import score, to_tensors
from nextword.model.decoder import Decoder
from nextword.model.loss import NO_LOSS
from nextword.training.backends.data_parallel import Gradients, flops_per_token
from nextword.training.loop.step_budget import Pace
from nextword.training.optim.lr_schedule import rate_share
from nextword.training.optim.optimizer import Optimizer
from nextword.training.report.reporters import Reporter
from nextword.training.run.run_dir import Run

TIMES_EVALUATED = 20  # over a run, unless the config says otherwise
TIMES_SAVED = 10
FINAL_SHARE = 0.03  # tokens of the last evaluation against all trained on, where time is short
EVALUATED_SHARE = 0.1  # tokens of one evaluation, against those trained on since the last
KEPT_METRICS = 2000  # the most lines of single steps in metrics.jsonl
SPOKEN_SHARE = 0.02  # of the time, for letting the model speak
SAVED_SECONDS = 600.0  # a checkpoint is never older than about this


@dataclass(frozen=True)
class Round:
    """A part of a run with its own learning-rate schedule, which decays to zero.

    Attributes:
        number: from 0.
        first_step: steps that were taken before it.
        peak: its highest learning rate, as a share of the run's.
        regularized: whether dropout and label smoothing are as the settings have them, or off.
    """

    number: int = 0
    first_step: int = 0
    peak: float = 1.0
    regularized: bool = True


@dataclass
class Trainer:
    """One run of the optimizer over a stream of samples.

    Attributes:
        decoder: what learns.
        training: how.
        samples, held_out: what it learns from, and what it is judged by (None: nothing).
        run: the run's folder, open.
        reporter: is told how it goes.
        pace: seconds per step, and the number of steps.
        peak: FLOP/s that a matrix product reaches here; None: not measured.
        settings: the resolved configuration and versions, kept with every checkpoint.
        show_sample: called with the step now and then, to let the model speak.
        shards: into how many parts a batch is split; None: as many as suit this machine.
        native: as in `Gradients`.
        muon_precision: as in `Optimizer`.
        later_samples: of all rounds but the first; None: there is but one.
        later_held_out: what it is judged by in those.
        later_reserve: seconds to keep free after the last step, in all rounds but the first.
        round: of a run in several rounds, the one that it is in.
        findings: plain JSON that later sittings need to know; kept with every checkpoint.
    """

    decoder: Decoder
    training: TrainingConfig
    samples: Samples
    held_out: Samples | None
    run: Run
    reporter: Reporter
    pace: Pace
    peak: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    show_sample: Callable[[int], None] | None = None
    shards: int | None = None
    native: bool | None = None
    muon_precision: Precision | None = None
    later_samples: Samples | None = None
    later_held_out: Samples | None = None
    later_reserve: float = 0.0
    round: Round = field(default_factory=lambda: Round())
    findings: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    _optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self._set_up()
        self._flops = flops_per_token(self.decoder, self.samples.context_length)
        self._owed = False  # whether this step's evaluation and sample are still to come
        self._saved = time.monotonic()
        self._spoke = 0.0  # seconds

    def _set_up(self, optimizer: Mapping[str, Tensor] | None = None) -> None:
        """Build the gradient computation and the optimizer for the settings of this round."""
        training = self._round_settings()
        self.decoder.dropout = training.dropout
        rows = training.batch_size // training.accumulate
        context = self.samples.context_length
        self._gradients = Gradients(
            self.decoder,
            training,
            rows=rows,
            context=context,
            shards=self.shards,
            native=self.native,
        )
        shards = self._gradients.shards
        self._optimizer = Optimizer(
            self.decoder,
            training,
            self._gradients.pool,
            shards=shards,
            muon_precision=self.muon_precision,
        )
        if optimizer is not None:
            self._optimizer.load(optimizer)

    def _round_settings(self) -> TrainingConfig:
        if self.round.regularized:
            return self.training
        return replace(self.training, dropout=0.0, label_smoothing=0.0)

    def begin_round(self, steps: int, *, peak: float, regularized: bool) -> None:
        """Go on with another round: `later_samples`, a learning rate that falls once more.

        Args:
            steps: of this round, at most.
            peak, regularized: see `Round`.
        """
        number = self.round.number + 1
        self._enter(Round(number, self.step, peak, regularized), steps=self.step + steps)

    def _enter(self, entered: Round, *, steps: int) -> None:
        assert self.later_samples is not None, "a run in rounds goes on as one"
        changed = entered.regularized != self.round.regularized
        self.round, self.samples = entered, self.later_samples
        self.held_out = self.later_held_out
        self.pace.begin_round(steps, reserve=self.later_reserve)
        if changed:
            self._set_up(self._optimizer.tensors())

    def fit(self) -> None:
        """Take every step that is left, evaluating, saving and telling on the way.

        Raises:
            StoppedError: Ctrl-C or SIGTERM; everything is saved.
            LossError: the loss or a weight is not finite; the last checkpoint is a good one.
            RunError: a checkpoint could not be written.
        """
        self.decoder.train()
        with StopSignals() as stop:
            self._settle()
            while self.step < self.pace.steps:
                self._one_step()
                self._owed = True
                if not stop.asked:  # else the next sitting does it: whoever stops does not wait
                    self._settle()
                if stop.asked or self._save_due():
                    self.save()
                if stop.asked:
                    self._stopped()
        self.decoder.eval()

    def resume(self) -> bool:
        """Take up the newest checkpoint that is whole; False if there is none."""
        checkpoint = self.run.load()
        if checkpoint is None:
            self.run.rewind_metrics(0)  # it was killed before its first checkpoint
            return False
        with torch.no_grad():
            weights = dict(self.decoder.named_parameters())
            for name, tensor in checkpoint.parts["weights"].items():
                weights[name].copy_(tensor)
        self._optimizer.load(checkpoint.parts["optimizer"])
        self.step = checkpoint.step
        self._owed = checkpoint.state["owed"]
        self.pace.load(checkpoint.state["pace"])
        self.findings = dict(checkpoint.state.get("findings", {}))
        here = Round(**checkpoint.state.get("round", {}))  # version 0.1 knew no rounds
        if here.number:
            self._enter(here, steps=self.pace.steps)
        self.run.rewind_metrics(self.step)
        return True

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            LossError: a weight is not finite; a checkpoint of it would push out a good one.
        """
        weights = {name: tensor.detach() for name, tensor in self.decoder.named_parameters()}
        for name, tensor in weights.items():
            if not bool(tensor.isfinite().all()):
                raise LossError(
                    f"after step {self.step} the weights of {name} are not finite, so no "
                    f"checkpoint was written; earlier ones stay. {self._mend()}"
                )
        parts = {"weights": weights, "optimizer": self._optimizer.tensors()}
        state = {"pace": self.pace.state(), "owed": self._owed, "settings": self.settings}
        state |= {"round": asdict(self.round), "findings": self.findings}
        self.run.save(self.step, parts, state)
        self._saved = time.monotonic()

    def _one_step(self) -> None:
        start = time.perf_counter()
        torch.manual_seed(hash64(self.training.seed, self.step) >> 1)  # of dropout
        since = self.step - self.round.first_step
        first = since * self.training.batch_size
        loss = self._work_out_gradients(first)
        norm = self._optimizer.clip(self.training.gradient_clip or math.inf)
        if not math.isfinite(loss) or not math.isfinite(norm):
            self._not_finite(first, loss, norm)
        steps = self.pace.steps - self.round.first_step
        share = self.round.peak * rate_share(since, steps, self.training)
        self._optimizer.step(share)
        self.step += 1
        self.pace.count(time.perf_counter() - start, self.step)
        self._tell(loss, norm, share)

    def _work_out_gradients(self, first: int) -> float:
        """The gradients of one batch, worked through in parts; returns its mean loss."""
        self._optimizer.forget_gradients()
        config = self.training
        per_part = config.batch_size // config.accumulate
        parts = [
            self.samples.batch(first + number * per_part, per_part)
            for number in range(config.accumulate)
        ]
        known = max(sum(int((targets != NO_LOSS).sum()) for _, targets, _ in parts), 1)
        total = 0.0
        for part in parts:
            total += self._gradients.add(to_tensors(part, self.decoder.device), known=known)
        return total

    def _not_finite(self, first: int, loss: float, norm: float) -> None:
        epoch, index = self.samples.locate(first)
        raise LossError(
            f"step {self.step + 1}: the loss is {loss} and the gradient's norm {norm}, so no "
            f"weight was changed. The batch was samples {first} to "
            f"{first + self.training.batch_size - 1} (epoch {epoch}, from number {index}). "
            f"{self._mend()}"
        )

    def _mend(self) -> str:
        config = self.training
        return (
            f"Start over, with --fresh and a lower --learning-rate (now {config.learning_rate}, "
            f"training.muon_learning_rate {config.muon_learning_rate}), or --precision float32"
        )

    def _due(self, every: int, times: int) -> bool:
        return self.step % (every or max(1, self.pace.steps // times)) == 0

    def _save_due(self) -> bool:
        old = time.monotonic() - self._saved > SAVED_SECONDS
        last = self.step == self.pace.steps
        return last or old or self._due(self.training.checkpoint_every, TIMES_SAVED)

    def _stopped(self) -> None:
        raise StoppedError(
            f"stopped at step {self.step} of {self.pace.steps}; everything is saved in "
            f"{self.run.folder}. The same command goes on from here"
        )

    def _tell(self, loss: float, norm: float, share: float) -> None:
        tokens = self.training.batch_size * self.samples.context_length
        speed = tokens / self.pace.seconds_per_step
        update = Update(
            step=self.step,
            steps=self.pace.steps,
            loss=loss,
            learning_rate=self.training.learning_rate * share,
            tokens_per_second=speed,
            peak_share=speed * self._flops / self.peak if self.peak else None,
            seconds_left=self.pace.seconds_left(self.step),
            gradient_norm=norm,
        )
        self.reporter.update(update)
        if self.step % max(1, self.pace.steps // KEPT_METRICS) == 0:
            values = {"step": self.step, "loss": loss, "gradient_norm": norm}
            self.run.metric(values | {"learning_rate": update.learning_rate})

    def _settle(self) -> None:
        """Evaluate and let the model speak, if this step owes it; the last is judged at the end."""
        owed, self._owed = self._owed and self.step < self.pace.steps, False
        config = self.training
        if owed and self._due(config.evaluate_every, TIMES_EVALUATED) and self.held_out is not None:
            every = config.evaluate_every or max(1, self.pace.steps // TIMES_EVALUATED)
            self.record(self.step, self._score(self._limit(every)))
        speaks_every = config.sample_every or config.evaluate_every
        if owed and self._due(speaks_every, TIMES_EVALUATED) and self.show_sample is not None:
            self._speak(self.show_sample)

    def _speak(self, show_sample: Callable[[int], None]) -> None:
        """Let the model speak, unless it has spoken for long enough and nobody said how often."""
        if self._spoke > SPOKEN_SHARE * self.pace.seconds and not self.training.sample_every:
            return
        start = time.perf_counter()
        show_sample(self.step)
        self._spoke += time.perf_counter() - start

    @contextlib.contextmanager
    def own_precision(self) -> Iterator[None]:
        """Compute in the precision of the weights, as the saved model will."""
        fast = self.decoder.compute_dtype
        self.decoder.compute_dtype = self.decoder.token_embedding.weight.dtype
        try:
            yield
        finally:
            self.decoder.compute_dtype = fast

    def final_scores(self) -> Scores | None:
        """The scores over what is held out; None where nothing is.

        Over all of it, unless time is the budget: then over no more than the time is kept for.
        """
        if self.held_out is None:
            return None
        scores = self._score(self._limit(self.step, FINAL_SHARE) if self.pace.timed else None)
        self.record(self.step, scores)
        return scores

    def _limit(self, steps: int, share: float = EVALUATED_SHARE) -> int:
        """How many samples to judge by after so many steps."""
        return max(1, math.ceil(share * steps * self.training.batch_size))

    def _score(self, limit: int | None) -> Scores:
        assert self.held_out is not None
        return score(self.decoder, self.held_out, limit=limit)

    def record(self, step: int, scores: Scores) -> None:
        """Keep and tell the held-out scores of a step."""
        self.reporter.evaluated(step, scores)
        if step == self.pace.steps and self._was_judged(step):
            return  # by an earlier sitting, which was killed after that
        values = {"step": step, "held_out_loss": scores.loss, "top1": scores.top1}
        self.run.metric(values | {"bits_per_byte": scores.bits_per_byte})

    def _was_judged(self, step: int) -> bool:
        lines = self.run.metrics()
        return any(line["step"] == step and "held_out_loss" in line for line in lines)
