"""Climbing: every rung learns from the same data for the same time, once for each seed.

The seeds are the outer loop, so that a machine that gets slower or faster on the way is slower or
faster for all rungs alike. What is finished is kept in OUT/training/results; a start that was
killed goes on with what is left.
"""

import dataclasses
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nextword.common.files import read_json, write_json
from nextword.common.signals import stoppable
from nextword.config import config_from
from nextword.data.corpus import Corpus, open_corpus
from nextword.data.prepared import Prepared
from nextword.errors import ConfigError, NextwordError, StoppedError
from nextword.hardware import cores, features, processor_name
from nextword.ladder.ladder_request import LadderRequest
from nextword.ladder.result import Climb, Ladder
from nextword.ladder.rung import Rung
from nextword.ladder.rungs import choose
from nextword.ladder.trial import Trials, Watcher, comparable
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.backends.thread_limit import limited_threads
from nextword.training.data.held_out import SPLIT_RULE
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.report.summary import versions
from nextword.training.run.run_dir import Run

RULE = "split_rule.json"  # how the data are divided, for every rung
FIRST_RULE = 2  # of ladders that were begun before it was written


def climb(request: LadderRequest, *, watcher: Watcher, fresh: bool = False) -> Ladder:
    """Climb the ladder, or what an earlier start left of it.

    Args:
        request: what to climb, on which data.
        watcher: is told how it goes.
        fresh: forget what an earlier start finished.

    Raises:
        StoppedError: Ctrl-C or SIGTERM; everything is kept and the same command goes on.
        NextwordError: see `nextword.errors`.
    """
    with stoppable(request.out), limited_threads():
        corpus = open_corpus(
            request.data, skip_bad=request.skip_bad, warn=watcher.note, leave_out=request.out
        )
        settings = {"request": request.settings(), "data": corpus.fingerprint()}
        settings["versions"] = versions()
        with Run.open(request.out, settings, fresh=fresh, warn=watcher.note):
            folder = request.out / "training"
            if fresh:
                _forget(folder)
            try:
                data = _prepare(request, corpus, folder, watcher)
                climber = _Climber(request, corpus, data, folder, watcher)
            except NextwordError:  # what could not begin must not bind the command that mends it
                if not (folder / "results").exists():
                    _forget(folder)
                    (folder / "settings.json").unlink(missing_ok=True)
                raise
            return climber.ladder()


def _prepare(request: LadderRequest, corpus: Corpus, folder: Path, watcher: Watcher) -> Prepared:
    """The tokenizer and the data that every rung shares."""
    asked, place = request.preparing(is_dialogue=corpus.is_dialogue), folder / "tokenizer"
    rule = SPLIT_RULE
    if (place / "tokenizer.json").exists():
        tokenizer = Tokenizer.read(place)
        rule = read_json(folder / RULE) if (folder / RULE).exists() else FIRST_RULE
    else:
        write_json(folder / RULE, rule)
        learning = partial(watcher.preparing, "learning the tokenizer from")
        tokenizer = find_tokenizer(asked, corpus, progress=learning)
        place.mkdir(exist_ok=True)
        tokenizer.write(place)
    tokenising = partial(watcher.preparing, "tokenising")
    return prepare_data(
        asked,
        corpus,
        tokenizer,
        folder,
        warn=watcher.note,
        progress=tokenising,
        split_rule=rule,
    )


def _forget(folder: Path) -> None:
    """Remove what earlier starts left in the folder."""
    for name in ("results", "climbs", "tokenizer", "data"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


@dataclass
class _Climber:
    """Trains one rung after the other, and keeps what each of them measured."""

    request: LadderRequest
    corpus: Corpus
    data: Prepared
    folder: Path
    watcher: Watcher

    def __post_init__(self) -> None:
        self.trials = Trials(self.request, self.data, self.folder / "climbs", self.watcher)
        self.rungs, self.left_out = self._possible()

    def ladder(self) -> Ladder:
        """Everything that is to be measured."""
        todo = [(rung, seed) for seed in range(self.request.seeds) for rung in self.rungs]
        climbs: list[Climb] = []
        for number, (rung, seed) in enumerate(todo, start=1):
            self.watcher.begin(rung, seed=seed, number=number, of=len(todo))
            kept = self._kept(rung, seed)
            try:
                climbs.append(kept or self._climb(rung, seed))
            except StoppedError:
                raise StoppedError(
                    f"stopped on the rung {rung.key!r}, {len(climbs)} of {len(todo)} trainings are "
                    f"done; everything is kept in {self.request.out}. The same command goes on "
                    "from here"
                ) from None
            self.watcher.done(climbs[-1], again=kept is not None)
        return self._told(climbs)

    def _possible(self) -> tuple[list[Rung], dict[str, str]]:
        """The rungs that this machine can climb, and why it cannot the others."""
        asked = choose(self.request.rungs)
        left_out = {
            rung.key: f"products in {rung.fast_in} are no faster here, or cannot be had"
            for rung in asked
            if rung.fast_in is not None and rung.fast_in != self.trials.fastest(rung)
        }
        rungs = [rung for rung in asked if rung.key not in left_out]
        if not rungs:
            raise ConfigError(f"no rung is left to climb: {left_out}. Give others to --rungs")
        return rungs, left_out

    def _climb(self, rung: Rung, seed: int) -> Climb:
        """Train a rung, keep what came of it, and drop what only a stopped training needs."""
        made = self.trials.climb(rung, seed)
        write_json(self._result(rung, seed), dataclasses.asdict(made))
        self.trials.forget()
        return made

    def _result(self, rung: Rung, seed: int) -> Path:
        (self.folder / "results").mkdir(exist_ok=True)
        return self.folder / "results" / f"{rung.key}-{seed}.json"

    def _kept(self, rung: Rung, seed: int) -> Climb | None:
        """What an earlier start measured, if it was with the same settings."""
        path = self._result(rung, seed)
        if not path.exists():
            return None
        kept = config_from(Climb, read_json(path))
        model, training = map(comparable, self.trials.settings(rung, seed))
        return kept if (kept.model, kept.training) == (model, training) else None

    def _told(self, climbs: list[Climb]) -> Ladder:
        """The climbs with all that they have in common."""
        assert self.data.held_out is not None
        request, tokenizer = self.request, self.data.tokenizer
        return Ladder(
            data=tuple(self.corpus.describe()),
            tokenizer=request.tokenizer,
            vocab_size=tokenizer.vocab_size,
            context=self.data.context,
            batch=self.trials.batch,
            width=request.width,
            layers=request.layers,
            heads=request.heads,
            train_tokens=self.data.train.n_tokens,
            held_out_tokens=self.data.held_out[1].n_tokens,
            seconds=request.seconds,
            seeds=request.seeds,
            prompt=tokenizer.decode(self.trials.prompt),
            machine=_machine(self.trials.device),
            versions=versions(),
            left_out=self.left_out,
            climbs=tuple(climbs),
        )


def _machine(device: torch.device) -> dict[str, Any]:
    """What the times depend on."""
    facts = {
        "processor": processor_name(),
        "features": features(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
