"""One training, from data to a model's folder: prepare, plan, learn, judge, save."""

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nextword.common.files import write_whole
from nextword.common.signals import stoppable
from nextword.data.corpus import Corpus, open_corpus
from nextword.data.prepared import Prepared
from nextword.data.prompting import Prompting
from nextword.data.replay_sample import RESERVOIR, write_reservoir
from nextword.data.samples.splits import whole
from nextword.errors import FolderError, NextwordError, RunChangedError, RunError
from nextword.evaluate.exact_replies import given_pairs, unanswerable
from nextword.formats.huggingface.model_card import model_card
from nextword.formats.huggingface.save_load import LoadedModel, load_model, save_model
from nextword.hardware import pick_device, pick_precision
from nextword.model.decoder import Decoder
from nextword.model.fingerprint import version_of
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.backends.allocator import kept_memory, settled_objects
from nextword.training.backends.choose import version_0_1_backend
from nextword.training.backends.precision import peak_of
from nextword.training.backends.thread_limit import limited_threads
from nextword.training.data.held_out import SPLIT_RULE
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.loop.rounds import train_later_rounds
from nextword.training.loop.trainer import Trainer
from nextword.training.plan.plan import Plan
from nextword.training.plan.plan_file import MEND, KeptPlan, check_against, read_plan, write_plan
from nextword.training.plan.planner import make_plan
from nextword.training.report.final_evaluation import judge_run
from nextword.training.report.model_card_facts import card_facts
from nextword.training.report.reporters import Quiet, Reporter
from nextword.training.report.summary import Trained, curves, facts, versions
from nextword.training.request import TrainRequest
from nextword.training.run.checkpoint import plain
from nextword.training.run.run_dir import Run
from nextword.training.sample_generations import speaker

ON_PLAN = 0.95  # of the planned steps; fewer are told
MAX_NAMED = 5  # replies that cannot be learned; of more, how many there are


def train(
    request: TrainRequest,
    *,
    reporter: Reporter | None = None,
    fresh: bool = False,
    started: float | None = None,
) -> Trained:
    """Train a model from data and leave its folder; go on with a run that was interrupted.

    Args:
        request: what to train.
        reporter: is told how it goes; None: nobody.
        fresh: start over where the folder holds an earlier run.
        started: `time.monotonic()` when the program began; minutes count from there.

    Raises:
        NextwordError: see `nextword.errors`; StoppedError when it was asked to stop.
    """
    reporter = Quiet() if reporter is None else reporter
    started = time.monotonic() if started is None else started
    with (
        contextlib.closing(reporter),
        stoppable(request.out),
        limited_threads(int(request.training.get("threads", 0))),
        kept_memory(),
        settled_objects(),
    ):
        corpus = open_corpus(
            request.data,
            skip_bad=request.skip_bad,
            warn=reporter.note,
            leave_out=request.out,
            columns=request.columns,
        )
        start = None if request.start is None else load_model(request.start)
        settings = _settings(request, corpus, start)
        with Run.open(request.out, settings, fresh=fresh, warn=reporter.note) as run:
            if run.finished:
                return Trained.earlier(run)
            digest = _digest(run.settings)
            training = _Training(request, corpus, run, reporter, started, digest, start)
            if fresh:
                training.forget_plan()
            return training.work()


@dataclass
class _Training:
    """The steps of one training, in order; each takes up what an earlier sitting left."""

    request: TrainRequest
    corpus: Corpus
    run: Run
    reporter: Reporter
    started: float
    digest: str  # of the settings: a plan that an earlier run left in the folder is not taken
    start: LoadedModel | None  # what goes on learning

    def work(self) -> Trained:
        try:
            data = self._prepare()
            plan = self._plan(data)
            trainer = self._trainer(data, plan)
        except NextwordError:
            self._forget_settings()
            raise
        self._keep(plan, data)
        self._name_unanswerable(data, plan)
        self.reporter.start("Training", facts(self.request, self.corpus, data, plan, trainer))
        if not data.shards.bytes_are_exact and not data.tokenizer.is_byte_level:
            self.reporter.note(
                "the run's data were encoded by version 0.1, which counted no bytes: bits per byte "
                "is an estimate"
            )
        if trainer.resume():
            self.reporter.note(f"going on from step {trainer.step}")
        trainer.fit()
        self._name_steps_not_taken(trainer, plan)
        train_later_rounds(trainer, data, plan, note=self.reporter.note)
        return self._finish(data, trainer, plan)

    def _name_unanswerable(self, data: Prepared, plan: Plan) -> None:
        """Name the replies that cannot be learned, and say if the time does not suffice."""
        if plan.aim != "answers":
            return
        context = plan.model.context_length
        given = given_pairs(data.shards, whole(data.shards), context=context)
        lines = unanswerable(given, data.tokenizer, context=context)
        for line in lines[:MAX_NAMED]:
            self.reporter.note(line)
        if len(lines) > MAX_NAMED:
            self.reporter.note(f"and {len(lines) - MAX_NAMED:,} more like these")
        if plan.minutes_needed is not None and plan.deadline is not None:
            self.reporter.note(
                f"{plan.deadline / 60:g} minutes do not suffice to learn all "
                f"{len(given.answerable):,} replies word for word; about "
                f"{math.ceil(plan.minutes_needed)} minutes would (--minutes)"
            )

    def _name_steps_not_taken(self, trainer: Trainer, plan: Plan) -> None:
        """Say if the first round had fewer steps than planned, since the machine was slower."""
        planned = plan.training.steps - plan.refit_steps
        if trainer.round.number == 0 and trainer.step < ON_PLAN * planned:
            self.reporter.note(
                f"the machine was slower than before training: {trainer.step:,} steps in the time, "
                f"{planned:,} were planned"
            )

    @property
    def _folder(self) -> Path:
        return self.run.folder / "training"

    def _prepare(self) -> Prepared:
        """Tokenizer and shards; an interrupted run finds its tokenizer in its folder."""
        place, kept = self._folder / "tokenizer", self._kept()
        if kept is None:
            tokenizer = self._tokenizer()
            place.mkdir(exist_ok=True)
            tokenizer.write(place)  # not beside the weights of an earlier model: it is not theirs
        else:
            tokenizer, was = Tokenizer.read(place), kept.tokenizer
            if tokenizer.fingerprint != was:
                raise RunChangedError(
                    f"the tokenizer in {place} is not the one that this run began with "
                    f"(fingerprint {tokenizer.fingerprint[:12]}, in {self._plan_file} {was[:12]}). "
                    "Put the old tokenizer.json back, or start over with --fresh"
                )
            prompting = Prompting(tokenizer, self._template).fingerprint
            if (kept.prompting or was) != prompting:
                raise RunChangedError(
                    f"the run in {self.run.folder} was begun by an older Nextword, which left out "
                    "the start token and the chat template of the model or tokenizer that it "
                    "began from; start over with --fresh"
                )
        return prepare_data(
            self.request,
            self.corpus,
            tokenizer,
            self._folder,
            warn=self.reporter.note,
            progress=partial(self.reporter.preparing, "tokenising"),
            model=None if self.start is None else self.start.decoder.config,
            template=self._template,
            split_rule=SPLIT_RULE if kept is None else kept.plan.split_rule,
            begun=kept is not None,
        )

    @property
    def _template(self) -> str | None:
        """The chat template by which dialogues are encoded, and which the model is saved with."""
        return None if self.start is None else self.start.chat_template

    def _tokenizer(self) -> Tokenizer:
        """That of the model that goes on learning, or the one that was asked for."""
        if self.start is not None:
            return self.start.tokenizer
        progress = partial(self.reporter.preparing, "learning the tokenizer from")
        return find_tokenizer(self.request, self.corpus, progress=progress)

    def _plan(self, data: Prepared) -> Plan:
        """The plan of an interrupted run, or a new one."""
        kept = self._kept()
        if kept is None:
            return make_plan(self.request, data, started=self.started)
        if kept.data not in (None, data.digest):
            raise RunChangedError(
                f"the tokens in {self._folder / 'data'} are not those that this run began with; "
                "finish it with the version of Nextword that began it, or start over with --fresh"
            )
        return kept.plan

    @property
    def _plan_file(self) -> Path:
        return self._folder / "plan.json"

    def _kept(self) -> KeptPlan | None:
        """What `_keep` wrote for this very run; from then on it has begun.

        Raises:
            RunError: it is missing, damaged or another plan than that of the run's checkpoints.
        """
        begun = self.run.has_checkpoints
        if not self._plan_file.exists():
            if begun:
                raise RunError(f"{self._plan_file} is missing, beside its checkpoints. {MEND}")
            return None
        kept = read_plan(self._plan_file)
        check_against(self._plan_file, kept, self.run.saved_settings())
        return kept if begun or kept.settings == self.digest else None

    def _keep(self, plan: Plan, data: Prepared) -> None:
        if self._kept() is None:
            kept = KeptPlan(
                plan=plan,
                tokenizer=data.tokenizer.fingerprint,
                prompting=Prompting(data.tokenizer, self._template).fingerprint,
                settings=self.digest,
                data=data.digest,
            )
            write_plan(self._plan_file, kept)

    def forget_plan(self) -> None:
        """Plan anew, although an earlier run with the same settings left its plan."""
        self._plan_file.unlink(missing_ok=True)

    def _forget_settings(self) -> None:
        """A command that could not even begin must not bind the one that mends it."""
        with contextlib.suppress(RunError):  # a damaged plan is one, too
            if self._kept() is None:
                (self._folder / "settings.json").unlink(missing_ok=True)

    def _trainer(self, data: Prepared, plan: Plan) -> Trainer:
        config, pretrained = plan.training, self.start is not None
        backend = plan.backend
        if backend is None:
            backend = version_0_1_backend(plan.model, data, config, pretrained=pretrained)
        config = replace(config, precision=backend.precision)
        device = pick_device(config.device)
        decoder = Decoder(plan.model, seed=config.seed).to(device)
        if self.start is not None:
            decoder.load_state_dict(self.start.decoder.state_dict())
        decoder.compute_dtype = pick_precision(config.precision, device)
        trainer = Trainer(
            decoder=decoder,
            training=config,
            samples=data.samples(seed=config.seed, learn=config.learn, talks=config.talks),
            held_out=data.held_out_samples(learn=config.learn),
            run=self.run,
            reporter=self.reporter,
            pace=plan.pace(started=self.started),
            settings=plan.as_json() | {"versions": versions()},
            shards=backend.shards,
            native=backend.native,
            muon_precision=backend.muon_precision,
            later_samples=data.all_samples(
                seed=config.seed, learn=config.learn, talks=config.talks
            ),
            later_held_out=(
                None if data.learns_held_out else data.held_out_samples(learn=config.learn)
            ),
            later_reserve=plan.reserve,
        )
        trainer.peak = peak_of(decoder)
        trainer.show_sample = speaker(data, decoder, trainer.reporter)
        return trainer

    def _finish(self, data: Prepared, trainer: Trainer, plan: Plan) -> Trained:
        """Judge, draw the curves, write rehearsal, card and model, mark the run finished."""
        trained = judge_run(data, trainer, minutes_needed=plan.minutes_needed)
        write_reservoir(self._folder / RESERVOIR, data, training=trainer.training)
        write_whole(self._folder / "curves.svg", curves(self.run))
        save_model(
            self.run.folder,
            trainer.decoder,
            data.tokenizer,
            kind="dialogue" if data.is_dialogue else "text",
            card=model_card(card_facts(self.corpus, data, trainer, trained)),
            replace=True,
            chat_template=Prompting(data.tokenizer, self._template).template,
        )
        self.run.mark_finished(trained.summary())
        self.reporter.finish(trained.lines())
        return trained


def _settings(request: TrainRequest, corpus: Corpus, start: LoadedModel | None) -> dict[str, Any]:
    """What identifies a run: the request, the data's content, the tokenizer or model given."""
    settings = request.settings()
    if start is not None:
        settings["start"] = version_of(start.decoder)
    with contextlib.suppress(FolderError):
        if Path(request.tokenizer).is_dir():
            settings["tokenizer"] = Tokenizer.read(Path(request.tokenizer)).fingerprint
    if isinstance(request.held_out, str):
        held_out = open_corpus(
            [request.held_out],
            skip_bad=request.skip_bad,
            leave_out=request.out,
            columns=request.columns,
        )
        settings["held_out"] = held_out.fingerprint()
    return {"request": settings, "data": corpus.fingerprint(), "versions": versions()}


def _digest(settings: Mapping[str, Any]) -> str:
    """The SHA-256 of what identifies a run, versions apart."""
    what = {key: value for key, value in settings.items() if key != "versions"}
    text = json.dumps(plain(what, "settings"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
