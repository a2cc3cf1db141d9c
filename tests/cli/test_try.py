"""How `nextword try` tells people to go on; that it works is tests/parity/test_try.py's."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from nextword.cli.training.train import WithoutAdvice
from nextword.cli.training.try_ import next_steps, program
from nextword.training.report.reporters import Quiet


def test_commands_are_shown_as_they_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv" / "bin" / "nextword"), "try"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == str(Path(".venv/bin/nextword"))
    assert next_steps(Path("out/try"))[0] == (
        "talk with it",
        f"{Path('.venv/bin/nextword')} chat {Path('out/try')}",
    )

    called = tmp_path / "nextword"
    called.write_text("#!/bin/sh\n")
    called.chmod(0o755)
    assert program() == "nextword"  # found by its name


def test_the_advice_of_a_training_is_left_out() -> None:
    shown: list[str] = []

    class Recorder(Quiet):
        def finish(self, lines: Sequence[str]) -> None:
            shown.extend(lines)

    reporter = WithoutAdvice(Recorder())
    reporter.finish(["12 of 13 replies", "advice: train longer: --minutes 10", "model saved in x"])
    reporter.close()
    assert shown == ["12 of 13 replies", "model saved in x"]
