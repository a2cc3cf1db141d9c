"""One rung, trained once: for its time, from its seed, then judged by all that is held out."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from nextword.config import ModelConfig, ReplyConfig, TrainingConfig, config_from
from nextword.data.prepared import Prepared
from nextword.errors import LossError
from nextword.evaluate.metrics import Scores, Update
from nextword.evaluate.scoring import prompts_and_replies, score
from nextword.generate.engine import generate
from nextword.hardware import pick_device, pick_precision
from nextword.ladder.ladder_request import LadderRequest
from nextword.ladder.result import Climb
from nextword.ladder.rung import Rung
from nextword.ladder.rungs import settings_at
from nextword.model.decoder import Decoder
from nextword.training.backends.choose import choose_backend
from nextword.training.backends.precision import SHORT
from nextword.training.loop.step_budget import Pace
from nextword.training.loop.trainer import Trainer
from nextword.training.report.reporters import Quiet, Reporter
from nextword.training.run.checkpoint import plain
from nextword.training.run.run_dir import Run

BATCH_TOKENS = 1024  # of a batch, unless asked otherwise: small, since the time is short
WARM_UP_STEPS = 4  # of a model that is thrown away: they set up kernels and tell the speed
NEVER = 1 << 62  # steps
PROMPT_TOKENS = 16  # of the held-out text, that the samples go on with
SAMPLE_TOKENS = 120
SAMPLING = ReplyConfig(temperature=0.8, seed=0)


class Watcher(Protocol):
    """Whoever wants to see how the climbing goes."""

    def note(self, text: str) -> None:
        """Something worth knowing happened."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """Before the first rung, `done` of `total` bytes are worked through."""

    def begin(self, rung: Rung, *, seed: int, number: int, of: int) -> None:
        """Climb `number` of `of`, counted from 1, begins."""

    def update(self, update: Update) -> None:
        """A step of it is done."""

    def done(self, climb: Climb, *, again: bool) -> None:
        """It is finished; `again`: by an earlier start."""


class _Steps(Quiet):
    """Passes on the steps of one training."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def update(self, update: Update) -> None:
        """A step is done."""
        self._watcher.update(update)


@dataclass
class Trials:
    """What all trainings have in common, and how one of them goes.

    Attributes:
        request, data: what was asked for; what is learned from.
        folder: where trainings that are under way keep themselves.
        watcher: is told of every step.
    """

    request: LadderRequest
    data: Prepared
    folder: Path
    watcher: Watcher

    def __post_init__(self) -> None:
        self.device = pick_device(self.request.device)
        self.batch = self.request.batch or max(1, BATCH_TOKENS // self.data.context)
        self.prompt = self._find_prompt()

    def settings(self, rung: Rung, seed: int) -> tuple[ModelConfig, TrainingConfig]:
        """Every setting of a training but the number of steps, which follows from the time."""
        model, training = settings_at(rung, self.request.sizes)
        sizes = {
            "vocab_size": self.data.tokenizer.vocab_size,
            "context_length": self.data.context,
            "d_model": self.request.width,
        }
        how = {"steps": 1, "batch_size": self.batch, "seed": seed, "device": self.request.device}
        how |= {"checkpoint_every": NEVER}  # but for the last step, and Ctrl-C
        return config_from(ModelConfig, model | sizes), config_from(TrainingConfig, training | how)

    def fastest(self, rung: Rung) -> str:
        """Return the precision that is the fastest here for a rung; any integers are int16."""
        model, training = self.settings(rung, seed=0)
        training = dataclasses.replace(training, precision="auto", steps=NEVER)
        precision = choose_backend(model, self.data, training).precision
        return "int16" if precision in SHORT else precision

    def climb(self, rung: Rung, seed: int) -> Climb:
        """Train a rung for its time, and judge it.

        Raises:
            StoppedError: Ctrl-C or SIGTERM; another call goes on from there.
        """
        model, training = self.settings(rung, seed)
        folder = self.folder / f"{rung.key}-{seed}"
        expected = self._seconds_per_step(model, training, self.folder / "warm-up")
        with self._run(folder, model, training) as run:
            steps = max(1, int(self.request.seconds / expected))
            pace = Pace(steps, deadline=time.monotonic() + self.request.seconds)
            trainer = self._trainer(model, training, run, pace, _Steps(self.watcher))
            trainer.resume()
            broke = None
            try:
                trainer.fit()
            except LossError as error:
                broke = str(error)
            return self._judged(rung, seed, trainer, broke)

    def forget(self) -> None:
        """Remove what is left of trainings whose results are kept."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @contextlib.contextmanager
    def _run(self, folder: Path, model: ModelConfig, training: TrainingConfig) -> Iterator[Run]:
        """The folder of one training, in which Ctrl-C leaves a checkpoint."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"model": dataclasses.asdict(model), "training": dataclasses.asdict(training)}
        with Run.open(folder, settings, warn=self.watcher.note) as run:
            yield run

    def _trainer(
        self,
        model: ModelConfig,
        training: TrainingConfig,
        run: Run,
        pace: Pace,
        reporter: Reporter,
    ) -> Trainer:
        decoder = Decoder(model, seed=training.seed).to(self.device)
        decoder.compute_dtype = pick_precision(training.precision, self.device)
        return Trainer(
            decoder=decoder,
            training=training,
            samples=self.data.samples(seed=training.seed, learn=training.learn),
            held_out=None,  # judged once, at the end, outside the time
            run=run,
            reporter=reporter,
            pace=pace,
        )

    def _seconds_per_step(
        self, model: ModelConfig, training: TrainingConfig, folder: Path
    ) -> float:
        """How long a step takes, from a few of a model that is thrown away."""
        if folder.exists():
            shutil.rmtree(folder)
        with self._run(folder, model, training) as run:
            pace = Pace(WARM_UP_STEPS)
            self._trainer(model, training, run, pace, Quiet()).fit()
        shutil.rmtree(folder)
        return pace.seconds_per_step

    def _judged(self, rung: Rung, seed: int, trainer: Trainer, broke: str | None) -> Climb:
        """What a training came to."""
        decoder, sample = trainer.decoder, ""
        decoder.compute_dtype = torch.float32  # each is judged in the same precision
        scores = None if broke else self._scores(decoder)
        if scores is not None and seed == 0:
            sample = self._sample(decoder)
        return Climb(
            rung=rung.key,
            seed=seed,
            loss=scores.loss if scores else None,
            bits_per_byte=scores.bits_per_byte if scores else None,
            top1=scores.top1 if scores else None,
            steps=trainer.step,
            tokens=trainer.step * self.batch * self.data.context,
            seconds=trainer.pace.seconds,
            parameters=decoder.n_parameters,
            broke=broke,
            sample=sample,
            model=comparable(decoder.config),
            training=comparable(trainer.training),
        )

    def _scores(self, decoder: Decoder) -> Scores:
        """A full pass over what is held out."""
        samples = self.data.held_out_samples(learn="everything")
        assert samples is not None, "a share is always held out"
        return score(decoder, samples)

    def _find_prompt(self) -> list[int]:
        """The beginning of what is held out: a prompt, or a few tokens of text."""
        assert self.data.held_out is not None
        shards, part = self.data.held_out
        if self.data.is_dialogue and (pairs := prompts_and_replies(shards, part, limit=1)):
            return pairs[0][0][-(self.data.context // 2) :]
        start, stop = part.spans[0].tolist()
        stop = min(stop, start + min(PROMPT_TOKENS, self.data.context // 2))
        ids: list[int] = shards.tokens(start, stop).tolist()
        return ids

    def _sample(self, decoder: Decoder) -> str:
        """What a model writes after the prompt."""
        room = min(SAMPLE_TOKENS, self.data.context - len(self.prompt))
        config = dataclasses.replace(SAMPLING, max_tokens=max(1, room))
        tokenizer = self.data.tokenizer
        made = generate(decoder, self.prompt, config, end_ids=tokenizer.end_ids)
        return tokenizer.decode([token.token_id for token in made])


def comparable(settings: Any) -> dict[str, Any]:
    """Settings as JSON keeps them, without the number of steps, which follows from the time."""
    values = dict(plain(dataclasses.asdict(settings), "settings"))
    values.pop("steps", None)
    return values
