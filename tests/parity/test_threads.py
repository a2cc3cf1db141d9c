"""A run leaves the same weights, bit for bit, however many threads work on its shards."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_runs import BrokenOffError, breaking_at, left_by, quick, request, write_dialogues

from nextword.common.files import read_json, sha256_file
from nextword.data.prepared import Prepared
from nextword.kernels import fused_blocks
from nextword.training.backends import data_parallel
from nextword.training.loop.trainer import Trainer
from nextword.training.pipeline import train
from nextword.training.report.summary import Trained
from nextword.training.request import TrainRequest

STEPS = 8
KINDS: dict[str, dict[str, Any]] = {
    "float32": {},
    "dropout": {"dropout": 0.2},
    "int16": {"precision": "int16"},
    "int8": {"precision": "int8"},
    "adamw, float32": {"optimizer": "adamw"},
    "adamw, dropout, int8, accumulate": {
        "optimizer": "adamw",
        "precision": "int8",
        "dropout": 0.2,
        "accumulate": 2,
    },
}
NEVER = {"evaluate_every": 1000, "sample_every": 1000}  # torch's own threads would wait in there
OURS = ("dropout", "int16", "int8")  # split into shards only where blocks go through our C

Threads = Callable[[int], None]


def not_judged(_: Prepared, trainer: Trainer, **__: object) -> Trained:
    return Trained(folder=trainer.run.folder, steps=trainer.step)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """How many threads later runs have, whatever they ask for; tiny batches are split, too."""
    quick(monkeypatch)
    for name in ("LEAST_WORK", "LEAST_WORK_WHOLE"):
        monkeypatch.setattr(data_parallel, name, 1.0)
    monkeypatch.setattr("nextword.training.pipeline.judge_run", not_judged)

    def limit(count: int) -> None:
        @contextlib.contextmanager
        def limited(_: int = 0) -> Iterator[None]:
            before = torch.get_num_threads()
            torch.set_num_threads(count)
            try:
                yield
            finally:
                torch.set_num_threads(before)

        monkeypatch.setattr("nextword.training.pipeline.limited_threads", limited)

    return limit


@pytest.fixture(params=KINDS)
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], TrainRequest]:
    """A kind's request for any folder; it leaves the number of threads to the machine."""
    kind = str(request.param)
    if any(each in kind for each in OURS) and not fused_blocks.exist():
        pytest.skip("no C compiler, or no product in torch: such batches are not split")
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    return lambda name: _request(data, tmp_path / name, KINDS[kind])


def _request(data: Path, out: Path, training: dict[str, Any]) -> TrainRequest:
    return request(data, out, steps=STEPS, training={"threads": 0} | NEVER | training)


def broken(asked: TrainRequest, step: int) -> None:
    with pytest.raises(BrokenOffError):
        train(asked, reporter=breaking_at(step))


def weights(out: Path, *, shards: int = 2) -> str:
    """Of a finished run in so many shards."""
    assert read_json(out / "training" / "plan.json")["plan"]["backend"]["shards"] == shards
    return sha256_file(out / "model.safetensors")


def test_the_number_of_threads_changes_nothing_from_the_start_or_in_the_middle(
    asked: Callable[[str], TrainRequest], threads: Threads, tmp_path: Path
) -> None:
    """All are planned for two threads; what is broken off at step 1 has no checkpoint yet."""
    threads(2)
    train(asked("two"))
    broken(asked("one"), 1)
    broken(asked("one, then two"), 1)
    broken(asked("two, then one"), 6)  # after the checkpoint of step 4
    threads(1)
    broken(asked("one, then two"), 6)
    train(asked("one"))
    train(asked("two, then one"))
    threads(2)
    train(asked("one, then two"))
    expected = weights(tmp_path / "two"), *left_by(tmp_path / "two")
    for name in ("one", "two, then one", "one, then two"):
        assert (weights(tmp_path / name), *left_by(tmp_path / name)) == expected, name


@pytest.mark.skipif(not fused_blocks.exist(), reason="no C compiler, or no product in torch")
@pytest.mark.parametrize(
    ("asked", "planned", "later"),
    [
        ("float32", 2, 3),
        ("int8", 2, 3),
        ("float32", 2, 4),
        ("dropout", 2, 4),
        ("int8", 2, 4),
        ("dropout", 1, 2),
        ("int8", 1, 2),
    ],
    indirect=["asked"],
)
def test_more_threads_than_shards_leave_the_same(
    planned: int,
    later: int,
    asked: Callable[[str], TrainRequest],
    threads: Threads,
    tmp_path: Path,
) -> None:
    threads(planned)
    train(asked("as planned"))
    broken(asked("with more"), 1)
    threads(later)
    train(asked("with more"))
    as_planned, with_more = (
        weights(tmp_path / name, shards=planned) for name in ("as planned", "with more")
    )
    assert with_more == as_planned
