"""What people see of a training run."""

import dataclasses
import io
import json
import math
import sys
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.training.fakes import FakeClock, scores, update

from nextword.common import text_format
from nextword.common.text_format import duration, rate, share, time_left, visible
from nextword.errors import MissingExtraError
from nextword.evaluate.metrics import Update
from nextword.training.report import reporters
from nextword.training.report.live_display import Display
from nextword.training.report.reporters import (
    JsonLines,
    Lines,
    Quiet,
    Reporter,
    Several,
    TensorBoard,
    reporter_for,
)


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40)


def tell_everything(reporter: Reporter) -> None:
    reporter.start("Teaching cats", [("model", "seed"), ("device", "cpu")])
    reporter.update(update(1))
    reporter.evaluated(1, scores())
    reporter.sample(1, "where?", "there")
    reporter.note("a note")
    reporter.finish(["saved in models/cats"])
    reporter.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 猫 é", "plain 猫 é"),
        ("a\nb\tc", "a↵b␉c"),
        ("\x1b[31mred\x7f\x9b", "␛[31mred\\x7f\\x9b"),
        ("turn \u202e round \ud800", "turn \\u202e round \\ud800"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_what_steers_a_terminal_is_made_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_numbers_as_people_read_them() -> None:
    shown = [duration(seconds) for seconds in (7, 754.4, 18367, 190800, math.inf, -3)]
    assert shown == ["0:07", "12:34", "5:06:07", "2 d 5 h", "–", "0:00"]
    assert [share(value) for value in (0.0512, 0.096, 0.455, 1)] == [
        "5.1 %",
        "9.6 %",
        "46 %",
        "100 %",
    ]
    assert [rate(value) for value in (7.44, 123456, 1.234e6)] == ["7.4", "123,456", "1.23 million"]


def test_the_time_left_may_not_be_known_yet() -> None:
    assert time_left(7) == "0:07 left"
    assert time_left(None) == "time left not known yet"
    stream = io.StringIO()
    Lines(stream, clock=FakeClock()).update(dataclasses.replace(update(1), seconds_left=None))
    assert stream.getvalue().endswith("43 % of peak  time left not known yet\n")


def test_lines_come_at_two_percent_of_the_steps_and_carry_no_control_codes() -> None:
    stream, clock = io.StringIO(), FakeClock()
    lines = Lines(stream, clock=clock)
    lines.start("Teaching cats", [("model", "seed"), ("d", "cpu")])
    for step in range(1, 1001):
        clock.now += 0.001
        lines.update(update(step))
    lines.evaluated(1000, scores())
    lines.sample(1000, "a\nb", "\x1b[31m" + "x" * 500)
    lines.finish(["saved"])
    text = stream.getvalue()
    written_lines = text.splitlines()
    assert written_lines[:3] == ["Teaching cats", "  model  seed", "  d      cpu"]
    steps = [line for line in written_lines if line.startswith("step") and "tokens/s" in line]
    assert len(steps) == 51  # the first, every 20th from there, and the last
    assert steps[-1] == (
        "step 1000/1000  loss 2.5000  learning rate 0.003  gradient 0.731"
        "  48,211 tokens/s  43 % of peak  1:23 left"
    )
    assert written_lines[-4] == (
        "step 1000  held-out loss 2.0000  perplexity 7.39  bits per byte 1.2340"
        "  top-1 46 %  top-5 71 %"
    )
    assert written_lines[-3].startswith("step 1000  sample: a↵b -> ␛[31mxxx")
    assert max(map(len, written_lines)) < 200
    assert "\x1b" not in text


def test_lines_of_a_slow_run_come_every_five_seconds_then_more_rarely() -> None:
    stream, clock = io.StringIO(), FakeClock()
    lines = Lines(stream, clock=clock)
    lines.start("Teaching cats", [])
    counts = []
    for step in range(1, 36_001):  # a step a second, ten hours
        clock.now += 1
        lines.update(update(step, steps=36_000_000))
        if step in (60, 36_000):
            counts.append(len(stream.getvalue().splitlines()) - 1)
    assert counts[0] == 12
    assert counts[1] < 200


def test_every_reporter_hears_everything_and_all_are_closed() -> None:
    class Recorder(Quiet):
        def __init__(self, *, broken: bool = False) -> None:
            self.heard: list[str] = []
            self.broken = broken

        def update(self, update: Update) -> None:
            self.heard.append(f"step {update.step}")

        def close(self) -> None:
            self.heard.append("close")
            if self.broken:
                raise OSError("full")

    first, second = Recorder(broken=True), Recorder()
    several = Several([first, second])
    with pytest.raises(OSError, match="full"):
        tell_everything(several)
    assert first.heard == second.heard == ["step 1", "close"]


def test_a_pipe_gets_lines_even_where_colour_is_forced() -> None:
    assert isinstance(reporter_for(terminal()), Lines)  # a StringIO is no terminal
    assert isinstance(reporter_for(terminal(), quiet=True), Quiet)


def test_a_terminal_gets_the_display() -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    assert isinstance(reporter_for(Console(file=Terminal(), force_terminal=True)), Display)
    dumb = Console(file=Terminal(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(reporter_for(dumb), Lines)


def test_tensorboard_missing_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nextword\[tensorboard\]'"):
        TensorBoard(tmp_path)


class FakeWriter:
    """Stands in for SummaryWriter, which takes seconds to load."""

    def __init__(self, folder: str) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.closed = False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def add_text(self, name: str, text: str, step: int = 0) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_each_known_scalar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    board = TensorBoard(tmp_path)
    tell_everything(board)
    writer = board._writer
    assert ("loss/training", 2.5, 1) in writer.scalars
    assert ("loss/held_out", 2.0, 1) in writer.scalars
    assert ("speed/peak_share", 0.43, 1) in writer.scalars
    assert writer.closed
    assert isinstance(reporters.reporter_for(terminal(), tensorboard=tmp_path), Several)


def test_the_work_before_training_is_told_now_and_then() -> None:
    stream, clock = io.StringIO(), FakeClock()
    lines = Lines(stream, clock=clock)
    for done in range(101):
        clock.now += 0.125
        lines.preparing("tokenising", done * 50_000_000, 5_000_000_000)
    assert stream.getvalue().splitlines() == [
        "tokenising 39 % of 5,000 MB",
        "tokenising 79 % of 5,000 MB",
    ]


def test_tensorboard_makes_no_folder_before_training_begins(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    events = tmp_path / "events"
    TensorBoard(events).close()
    assert not events.exists()


def test_json_lines_are_one_event_each_and_group_the_facts() -> None:
    stream, clock = io.StringIO(), FakeClock()
    reporter = JsonLines(stream, clock=clock)
    reporter.preparing("tokenising", 1, 2)
    reporter.note("line\none")
    reporter.start("Training", [("data", "a.jsonl"), ("", "7 dialogues"), ("aim", "answers")])
    reporter.update(dataclasses.replace(update(1), loss=math.nan))
    reporter.update(update(2))  # not yet due again
    reporter.evaluated(2, scores())
    reporter.sample(2, "who?", "me\u001b")
    clock.now += 3
    reporter.finish(["all done"])
    assert "\x1b" not in stream.getvalue()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        *("note", "start", "step", "evaluation", "sample", "finish")
    ]
    assert events[0]["text"] == "line\none"
    assert events[1]["facts"] == {"data": ["a.jsonl", "7 dialogues"], "aim": ["answers"]}
    assert events[2]["step"] == 1 and events[2]["loss"] is None
    assert events[3] == {"event": "evaluation", "step": 2} | dataclasses.asdict(scores())
    assert events[4]["reply"] == "me\u001b"
    assert events[5] == {"event": "finish", "seconds": 3.0, "lines": ["all done"]}


def test_json_is_written_where_it_is_asked_for() -> None:
    assert isinstance(reporter_for(terminal(), as_json=True), JsonLines)
    assert isinstance(reporter_for(terminal(), as_json=True, quiet=True), Quiet)


@pytest.mark.parametrize(
    ("total", "shown"), [(5_000_000_000, "5,000 MB"), (47_700, "48 kB"), (100, "100 bytes")]
)
def test_how_far_it_is_is_said_in_a_unit_that_shows_it(total: int, shown: str) -> None:
    assert text_format.progress("tokenising", total // 2, total) == f"tokenising 50 % of {shown}"
