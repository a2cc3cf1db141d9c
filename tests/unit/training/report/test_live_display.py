"""The live picture of a training run."""

import dataclasses
import io
import math
import sys

import pytest
from rich.console import Console
from tests.unit.training.fakes import FakeClock, scores, update

from nextword.training.report.live_display import Display, State, picture, summary
from nextword.training.report.loss_history import Curve


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_curve_smooths_and_leaves_out_what_is_not_finite() -> None:
    curve = Curve(memory=0.5)
    assert math.isnan(curve.smoothed)
    curve.add(4.0)
    assert curve.smoothed == 4.0  # no pull towards 0 at the start
    curve.add(math.nan)
    curve.add(1.0)
    assert curve.smoothed == pytest.approx((0.25 * 4 + 0.5 * 1) / 0.75)


def test_sparkline_runs_from_highest_to_lowest() -> None:
    curve = Curve()
    for value in (8.0, 4.0, 2.0, 1.0):
        curve.add(value)
    assert curve.sparkline(10) == "█▆▃▁"  # equal steps: the scale is logarithmic
    assert curve.sparkline(2) == "█▁"
    assert Curve().sparkline(10) == ""


def test_curve_keeps_a_long_run_in_bounded_memory() -> None:
    curve = Curve(capacity=8)
    for step in range(10_000):
        curve.add(10_000.0 - step)
    assert len(curve._points) < 8
    line = curve.sparkline(8)
    assert line[0] == "█"
    assert line[-1] == "▁"


@pytest.mark.parametrize("width", [100, 80, 60, 40, 20])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    state = State(update=update(321), scores=scores(), best=(1.9, 200))
    state.sample = (300, "where is the [red]cat[/red]?", "on the mat 猫" * 30)
    for step in range(300):
        state.curve.add(5 - step / 100)
    console = Console(file=io.StringIO(), width=width)
    console.print(picture(state, width=width))
    console.print(summary(state, ["saved in models/cats"], seconds=425, width=width))
    lines = written(console).splitlines()
    assert all(console.measure(line).maximum <= width for line in lines)
    if width >= 60:
        text = "\n".join(lines)
        assert "step 321 of 1,000 · 1:23 left" in text
        assert "▸ 2.000 held out" in text
        assert "1.900 at step 200" in text
        assert "48,211 tokens/s" in text
        assert "43 % of its matrix peak" in text
        assert "prompt  where is the [red]cat[/red]?" in text
        assert "done in 7:05" in text


def test_the_time_left_may_not_be_known_yet() -> None:
    console = Console(file=io.StringIO(), width=80)
    early = dataclasses.replace(update(3), seconds_left=None)
    console.print(picture(State(update=early), width=80))
    assert "step 3 of 1,000 · time left not known yet" in written(console)


def test_perplexity_stands_in_for_bits_per_byte() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(picture(State(update=update(1), scores=scores(bits=None)), width=80))
    assert "perplexity     7.39" in written(console)
    assert "bits per byte" not in written(console)


def test_display_draws_at_most_ten_times_a_second() -> None:
    clock, console = FakeClock(), terminal()
    display = Display(console, clock=clock)
    display.start("Teaching cats", [])
    draws = 0
    for step in range(1, 501):  # five seconds
        clock.now += 0.01
        before = len(written(console))
        display.update(update(step))
        draws += len(written(console)) > before
    assert 40 <= draws <= 50
    before = len(written(console))
    display.update(update(1000))  # the last step is drawn even so
    assert len(written(console)) > before
    display.close()


def test_drawing_takes_two_percent_of_the_time_at_most() -> None:
    clock = FakeClock()

    class SlowTerminal(io.StringIO):
        def write(self, text: str) -> int:
            clock.now += 0.05
            return super().write(text)

    console = Console(file=SlowTerminal(), force_terminal=True, width=80)
    display = Display(console, clock=clock)
    display.start("Teaching cats", [])
    drawing, begin = 0.0, clock.now
    for step in range(1, 900):
        clock.now += 0.1
        before = clock.now
        display.update(update(step))
        drawing += clock.now - before
    assert 0 < drawing / (clock.now - begin) <= 0.03
    display.close()


def test_display_gives_the_terminal_back_after_an_error() -> None:
    console, stdout = terminal(), sys.stdout
    display = Display(console)
    display.start("Teaching cats", [])
    display.update(update(1))
    assert sys.stdout is not stdout  # what others print goes above the picture
    display.close()
    display.close()  # twice is once
    assert sys.stdout is stdout
    assert written(console).endswith("\x1b[?25h")  # the cursor is shown


def test_display_leaves_a_summary_and_user_text_inert() -> None:
    console = terminal()
    display = Display(console)
    display.start("[bold]cats[/bold]", [("data", "[red]x[/red] \x1b[31m :cat:")])
    display.update(update(1000))
    display.sample(1000, "[link]", "\x1b]0;title\x07")
    display.note("[blink]note[/blink]")
    display.finish(["saved in [models]"])
    text = written(console)
    for inert in ("[bold]cats", "[red]x[/red] ␛[31m :cat:", "[blink]note", "saved in [models]"):
        assert inert in text
    assert "\x1b]0;" not in text
    assert "done in 0:00" in text


def test_the_work_before_training_is_shown_and_makes_room_for_the_picture() -> None:
    console = terminal()
    display = Display(console, clock=FakeClock())
    display.preparing("tokenising", 35, 100)
    assert "tokenising 35 % of 100 bytes" in written(console)
    display.start("Teaching cats", [("model", "seed")])
    display.close()
    assert "preparing the first step" in written(console)
