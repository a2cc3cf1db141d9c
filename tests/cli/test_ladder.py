"""`nextword ladder`: files, summary, going on, and what is refused."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.small_runs import quick, write_text

from nextword.cli.main import main
from nextword.ladder.rungs import RUNGS
from nextword.ladder.trial import Trials

FILES = {"ladder.html", "ladder.json", "ladder.md", "ladder.svg", "training"}
SMALL: dict[str, object] = {
    "--seconds": 0.05, "--seeds": 2, "--width": 12, "--layers": 2, "--heads": 3, "--context": 11,
    "--batch": 5, "--rungs": "article,scaled", "--device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def run(folder: Path, *more: str) -> Result:
    text = folder / "text.txt"
    if not text.exists():
        write_text(text)
    small = [str(part) for option in SMALL.items() for part in option]
    arguments = ["ladder", str(text), "--out", str(folder / "out"), *small, *more]
    return CliRunner().invoke(main, arguments)


def test_a_ladder_leaves_its_pages_and_says_what_came_out(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert re.search(r"1/4  the article's model, seed 0: held-out loss \d\.\d{4}", result.stdout)
    assert "4/4  scaled scores, seed 1" in result.stdout
    numbers = json.loads((tmp_path / "out" / "ladder.json").read_text())
    assert [rung["rung"] for rung in numbers["rungs"]] == ["article", "scaled"]
    page = (tmp_path / "out" / "ladder.html").read_text()
    for rung in numbers["rungs"]:
        assert f"{rung['loss']:.3f}" in page
        assert f"{rung['loss']:.3f}" in result.stdout
    assert result.stdout.endswith("ladder.html\n")


def test_a_second_start_only_writes_the_pages_anew(tmp_path: Path) -> None:
    run(tmp_path)
    out = tmp_path / "out"
    before = {name: (out / name).read_text() for name in FILES - {"training"}}
    (out / "ladder.html").unlink()
    result = run(tmp_path)
    assert result.stdout.count("(kept from before)") == 4
    assert {name: (out / name).read_text() for name in before} == before


def test_ctrl_c_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Trials.climb

    def interrupted(self: Trials, rung: object, seed: int) -> object:
        if (rung, seed) == (RUNGS[1], 0):
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, rung, seed)  # type: ignore[arg-type]

    monkeypatch.setattr(Trials, "climb", interrupted)
    result = run(tmp_path)
    assert result.exit_code == 75
    assert "same command goes on" in result.stderr
    monkeypatch.undo()
    assert run(tmp_path).stdout.count("(kept from before)") == 1


def test_quiet_says_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--rungs", "article,muom"], "unknown rung 'muom'"),
        (["--rungs", ","], "no rung is given"),
        (["--width", "13"], "--width or --heads"),
        (["--tokenizer", "charcters"], "the tokenizer 'charcters'"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--context", "9000"], "shorter --context"),
        (["nothing.txt"], "nothing.txt"),
    ],
)
def test_bad_input_takes_one_line(tmp_path: Path, more: list[str], message: str) -> None:
    result = run(tmp_path, *more)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert run(tmp_path).exit_code == 0  # the mended command is not bound by it
