"""Climbing: the same data and time for all, and a start that goes on where another ended."""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.small_runs import quick, write_dialogues, write_text

from nextword.config import TrainingConfig, config_from
from nextword.data.prepared import Prepared
from nextword.errors import ConfigError, DataError, LossError, RunChangedError, StoppedError
from nextword.evaluate.metrics import Update
from nextword.kernels import fused_blocks
from nextword.ladder import trial
from nextword.ladder.climb import climb
from nextword.ladder.ladder_request import LadderRequest
from nextword.ladder.result import Climb
from nextword.ladder.rung import Rung
from nextword.ladder.rungs import RATES
from nextword.training.backends import choose
from nextword.training.data.held_out import SPLIT_RULE
from nextword.training.data.prepare import prepare_data
from nextword.training.loop.trainer import Trainer

SMALL: dict[str, Any] = {
    "seconds": 0.05, "seeds": 2, "width": 12, "layers": 2, "heads": 3, "context": 11, "batch": 5,
    "rungs": ("article", "scaled"), "device": "cpu",
}  # fmt: skip


class Seen:
    """Remembers what it is told; may send a signal, or break off, at a certain moment."""

    def __init__(self, *, of: int = 4, dies_at: int = 0, stops_at: int = 0) -> None:
        self._of = of
        self.begun: list[tuple[str, int]] = []
        self.again: list[bool] = []
        self.first_steps: list[int] = []
        self._dies_at, self._stops_at = dies_at, stops_at

    def note(self, text: str) -> None: ...

    def preparing(self, what: str, done: int, total: int) -> None: ...

    def begin(self, rung: Rung, *, seed: int, number: int, of: int) -> None:
        if number == self._dies_at:
            raise KeyboardInterrupt
        self.begun.append((rung.key, seed))
        assert of == self._of

    def update(self, update: Update) -> None:
        if len(self.first_steps) < len(self.begun):
            self.first_steps.append(update.step)
        if self._stops_at and len(self.begun) == self._stops_at:
            os.kill(os.getpid(), signal.SIGINT)
            self._stops_at = 0

    def done(self, climb: Climb, *, again: bool) -> None:
        self.again.append(again)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def request_(tmp_path: Path) -> LadderRequest:
    return asked(tmp_path)


def asked(folder: Path, **changes: Any) -> LadderRequest:
    """A request for the smallest ladder."""
    data = (str(write_text(folder / "text.txt")),)
    return config_from(LadderRequest, {"data": data, "out": folder / "out"} | SMALL | changes)


def test_every_rung_has_the_same_time_and_data(request_: LadderRequest) -> None:
    seen = Seen()
    ladder = climb(request_, watcher=seen)
    assert seen.begun == [("article", 0), ("scaled", 0), ("article", 1), ("scaled", 1)]
    assert ladder.context == 11 and ladder.batch == 5
    for made in ladder.climbs:
        assert made.loss is not None and 0 < made.loss < 10
        assert made.steps > 0 and made.tokens == made.steps * 55
        assert 0 < made.seconds < 2
        assert made.seed == 0 or not made.sample  # one voice for each rung
    assert {made.model["d_model"] for made in ladder.climbs} == {12}
    assert ladder.climbs[0].parameters == ladder.climbs[1].parameters  # scaling has no weights
    assert not (request_.out / "training" / "climbs").exists()


def test_what_is_finished_is_used_again(request_: LadderRequest) -> None:
    with pytest.raises(StoppedError):
        climb(request_, watcher=Seen(dies_at=3))
    seen = Seen()
    ladder = climb(request_, watcher=seen)
    assert seen.again == [True, True, False, False]
    seen = Seen()
    assert climb(request_, watcher=seen).climbs == ladder.climbs
    assert seen.again == [True] * 4


def test_a_training_that_was_stopped_goes_on(tmp_path: Path) -> None:
    request = asked(tmp_path, seconds=1.0, rungs=("article", "scaled"))
    with pytest.raises(StoppedError, match="The same command goes on from here"):
        climb(request, watcher=Seen(stops_at=1))
    kept = list((request.out / "training" / "climbs" / "article-0").rglob("step-*"))
    assert [path.name for path in kept] == ["step-00000001"]
    seen = Seen(dies_at=2)
    with pytest.raises(StoppedError):
        climb(request, watcher=seen)
    assert (seen.again, seen.first_steps) == ([False], [2])
    results = request.out / "training" / "results"
    assert [path.name for path in results.iterdir()] == ["article-0.json"]


def test_more_rungs_and_seeds_are_only_added(tmp_path: Path) -> None:
    few = asked(tmp_path, seeds=4, rungs=("article",))
    climb(few, watcher=Seen())
    seen = Seen()
    ladder = climb(asked(tmp_path, seeds=2), watcher=seen)
    assert seen.again == [True, False, True, False]
    assert len(ladder.climbs) == 4


def test_other_settings_are_refused_and_fresh_starts_over(tmp_path: Path) -> None:
    climb(asked(tmp_path), watcher=Seen())
    other = asked(tmp_path, width=24)
    with pytest.raises(RunChangedError, match=r"width: 12 in the folder, 24 now"):
        climb(other, watcher=Seen())
    seen = Seen()
    climb(other, watcher=seen, fresh=True)
    assert seen.again == [False] * 4


def test_a_result_with_other_settings_is_not_used(
    request_: LadderRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    climb(request_, watcher=Seen())
    monkeypatch.setitem(RATES, "adamw", 1e-3)
    seen = Seen()
    climb(request_, watcher=seen)
    assert seen.again == [False] * 4


def test_dialogues_can_be_climbed(tmp_path: Path) -> None:
    data = (str(write_dialogues(tmp_path / "talks.jsonl")),)
    ladder = climb(asked(tmp_path, data=data, context=None), watcher=Seen())
    assert ladder.context == 128
    assert all(made.loss for made in ladder.climbs)


def test_a_ladder_keeps_the_rule_by_which_its_data_are_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: list[int] = []

    def prepare(*arguments: Any, split_rule: int, **options: Any) -> Prepared:
        rules.append(split_rule)
        return prepare_data(*arguments, split_rule=split_rule, **options)

    monkeypatch.setattr("nextword.ladder.climb.prepare_data", prepare)
    request = asked(tmp_path, seeds=1, rungs=("article",))
    climb(request, watcher=Seen(of=1))
    climb(request, watcher=Seen(of=1))
    (request.out / "training" / "split_rule.json").unlink()  # as an earlier version left it
    climb(request, watcher=Seen(of=1))
    climb(request, watcher=Seen(of=1), fresh=True)
    assert rules == [SPLIT_RULE, SPLIT_RULE, 2, SPLIT_RULE]


def test_too_little_data_is_refused_and_binds_nobody(tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("a cat")
    request = asked(tmp_path, data=(str(tmp_path / "few.txt"),))
    with pytest.raises(DataError, match="Give more text"):
        climb(request, watcher=Seen())
    climb(asked(tmp_path), watcher=Seen())  # the same folder, better data


def test_a_rung_that_breaks_off_is_a_result(
    request_: LadderRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(trainer: Trainer) -> None:
        if trainer.pace.timed:  # it is no warm-up
            raise LossError("step 1: the loss is nan, so no weight was changed")
        usual(trainer)

    usual = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", fit)
    ladder = climb(request_, watcher=Seen())
    assert [made.loss for made in ladder.climbs] == [None] * 4
    assert all(made.broke and "no weight was changed" in made.broke for made in ladder.climbs)


SHORT = ("bfloat16", "int16")  # rungs that are for machines which are faster in these


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("fastest", ["float32", *SHORT])
def test_a_rung_whose_precision_is_not_the_fastest_is_left_out(
    fastest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial.Trials, "fastest", lambda *_: fastest)
    if fastest == "int16" and not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    request = asked(tmp_path, rungs=("article", "muon", *SHORT))
    ladder = climb(request, watcher=Seen(of=4 if fastest == "float32" else 6))
    assert list(ladder.left_out) == [name for name in SHORT if name != fastest]
    assert {made.rung for made in ladder.climbs} == {"article", "muon", *SHORT} - {*ladder.left_out}
    if fastest == "float32":
        with pytest.raises(ConfigError, match="no rung is left"):
            climb(asked(tmp_path, rungs=("bfloat16",)), watcher=Seen())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("measured", "expected"),
    [("float32", "float32"), ("bfloat16", "bfloat16"), ("int8", "int16")],
)
def test_what_is_fastest_is_what_training_would_choose(
    measured: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch")
    seen: list[str] = []

    def step_times(
        _: object, __: object, training: TrainingConfig, **___: object
    ) -> Generator[float]:
        while True:
            yield 0.001 if training.precision == measured else 0.002

    def noting(trials: trial.Trials, rung: Rung) -> str:
        seen.append(fastest(trials, rung))
        return "float32"

    fastest = trial.Trials.fastest
    monkeypatch.setattr(trial.Trials, "fastest", noting)
    monkeypatch.setattr(choose, "step_times", step_times)
    monkeypatch.setattr(choose, "cache_folder", lambda: None)  # nothing was measured before
    climb(asked(tmp_path, rungs=("article", "int16")), watcher=Seen(of=2))
    assert seen == [expected]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": 0.0}, "seconds is 0.0; it must be a finite number above 0"),
        ({"seeds": 0}, "seeds is 0; it must be at least 1"),
        ({"batch": 0}, "batch is 0; it must be at least 1"),
        ({"width": 15}, "width 15 is not a multiple of 2 × heads = 6"),
        ({"rungs": ("norms",)}, "Did you mean 'norm'"),
    ],
)
def test_impossible_requests_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(tmp_path, **changes)
