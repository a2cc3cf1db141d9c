"""How many steps a run takes: fixed, or as many as its time allows."""

import math
from collections.abc import Callable

import pytest

from nextword.training.loop.step_budget import TOLD_FROM, Pace


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def work(
    pace: Pace, clock: Clock, cost: Callable[[float], float], *, pause: float = 0.0, step: int = 0
) -> int:
    """Take steps until the pace has enough; `cost` tells a step's seconds at a moment."""
    begun = clock.now
    while step < pace.steps:
        seconds = cost(clock.now - begun)
        clock.now += seconds
        step += 1
        pace.count(seconds, step)
        if pause and step % max(1, pace.steps // 20) == 0:
            clock.now += pause  # an evaluation
    return step


def test_without_a_deadline_the_steps_never_change() -> None:
    clock = Clock()
    pace = Pace(50, clock=clock)
    assert work(pace, clock, lambda _: 1000.0) == 50
    assert not pace.timed
    assert pace.seconds == 50_000.0


def test_time_for_more_than_the_most_steps_is_left_over() -> None:
    clock = Clock()
    pace = Pace(70, most=70, deadline=clock.now + 300, reserve=6.0, clock=clock)
    assert work(pace, clock, lambda _: 0.1) == 70
    slow = Pace(70, most=70, deadline=clock.now + 300, reserve=6.0, clock=clock)
    assert work(slow, clock, lambda _: 10.0) == pytest.approx(29, abs=1)  # 294 s of 10 each


DRIFTS: dict[str, Callable[[float], float]] = {
    "as planned": lambda t: 0.1,
    "40 % slower": lambda t: 0.14,
    "40 % faster": lambda t: 0.06,
    "ever slower": lambda t: 0.06 + 0.08 * min(t / 300, 1),
    "ever faster": lambda t: 0.14 - 0.08 * min(t / 300, 1),
    "to and fro": lambda t: 0.1 * (1 + 0.4 * math.sin(t / 17)),
    "slow at the end": lambda t: 0.06 if t < 200 else 0.14,
    "fast at the end": lambda t: 0.14 if t < 200 else 0.06,
}


@pytest.mark.parametrize("pause", [0.0, 1.0])
@pytest.mark.parametrize("drift", DRIFTS)
def test_the_run_ends_within_a_tenth_of_its_time(drift: str, pause: float) -> None:
    clock = Clock()
    pace = Pace(3000, deadline=clock.now + 300, reserve=6.0, clock=clock)  # planned: 0.1 s a step
    work(pace, clock, DRIFTS[drift], pause=pause)
    assert 270 <= clock.now - 1000.0 <= 300


def test_a_plan_that_is_far_off_is_mended_early() -> None:
    clock = Clock()
    pace = Pace(10, deadline=clock.now + 300, clock=clock)
    pace.steps = 3000
    done = work(pace, clock, lambda _: 1.0)
    assert 290 <= done <= 300


def test_an_earlier_sitting_has_used_its_part_of_the_time() -> None:
    clock = Clock()
    pace = Pace(3000, deadline=clock.now + 300, clock=clock, began=clock.now)
    clock.now += 20  # to prepare the data
    for step in range(1, 1001):
        clock.now += 0.1
        pace.count(0.1, step)
    state = pace.state()
    assert state["used"] == pytest.approx(120)
    assert state["seconds"] == pytest.approx(100)

    clock.now += 5000  # a night between the two
    later = Pace(3000, deadline=clock.now + 300, clock=clock, began=clock.now)
    later.load(state)
    sat_down = clock.now
    clock.now += 10
    done = work(later, clock, lambda _: 0.1, step=1000)
    assert 160 <= clock.now - sat_down <= 180  # 300 - 120 are left
    assert later.state()["used"] == pytest.approx(120 + clock.now - sat_down)
    assert later.seconds == pytest.approx(done * 0.1)


def test_a_sitting_with_nothing_left_ends_at_once() -> None:
    clock = Clock()
    pace = Pace(3000, deadline=clock.now + 300, clock=clock)
    pace.load({"steps": 3000, "seconds": 290.0, "used": 310.0})
    assert work(pace, clock, lambda _: 0.1, step=2500) == 2502


def test_the_time_left_follows_the_mean_of_the_latest_steps() -> None:
    pace = Pace(70, clock=Clock())
    pace.count(2.0, 1)
    pace.count(4.0, 2)
    assert pace.seconds_per_step == pytest.approx(4.0)  # the first step only warms up
    pace.count(3.0, 3)
    assert pace.seconds_per_step == pytest.approx(3.5)
    for step in range(4, 60):
        pace.count(3.5, step)
        assert step < TOLD_FROM or pace.seconds_left(step) == pytest.approx((70 - step) * 3.5)
    pace.count(5.5, 60)
    assert pace.seconds_per_step == pytest.approx(3.6)  # 0.95 × 3.5 + 0.05 × 5.5
    assert pace.seconds_left(60) == pytest.approx(10 * 3.6)


def test_the_time_left_is_not_told_before_some_steps_of_the_sitting() -> None:
    first = Pace(100, clock=Clock())
    later = Pace(100, clock=Clock())
    later.load({"steps": 100, "seconds": 90.0, "used": 90.0})
    for pace, start in ((first, 0), (later, 40)):
        assert pace.seconds_left(start) is None
        for step in range(start + 1, start + TOLD_FROM):
            pace.count(0.5, step)
            assert pace.seconds_left(step) is None
        step = start + TOLD_FROM
        pace.count(0.5, step)
        assert pace.seconds_left(step) == pytest.approx((100 - step) * 0.5)
