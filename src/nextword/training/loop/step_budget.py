"""How fast a run goes, and how many steps it will take: fixed, or as many as its time allows."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

REVIEWS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9)  # shares of the time at which steps are re-planned
MEMORY = 0.95  # of the running mean of seconds per step
TOLD_FROM = 5  # steps of a sitting from which on the time left is told; the first one warms up


class Pace:
    """Counts steps and seconds, and keeps a run within its time.

    With a deadline, the number of steps is corrected at a few points of the run, from the speed
    so far; each correction is part of the next checkpoint. Without one, it never changes. What an
    earlier sitting took of the time, up to the checkpoint that it left, is gone: `load` brings the
    deadline forward by as much.

    Args:
        steps: how many steps are planned.
        most: of them, though there be time for more; None: no limit.
        deadline: on the clock, when all should end; None: the steps are fixed.
        reserve: seconds to keep free before the deadline, for the final evaluation and saving.
        clock: seconds, never going back.
        began: on the clock, from when on time is used; None: now.
    """

    def __init__(
        self,
        steps: int,
        *,
        most: int | None = None,
        deadline: float | None = None,
        reserve: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        began: float | None = None,
    ) -> None:
        self.steps = steps
        self._most = math.inf if most is None else most
        self.seconds = 0.0  # spent in steps, earlier sittings included
        self.seconds_per_step = 0.0
        self._counted = 0  # steps of this sitting
        self._clock = clock
        self._sat_down = clock() if began is None else began
        self._began = clock()  # to learn
        self.used = 0.0  # seconds of the time, by earlier sittings
        self._reserve = reserve
        self._deadline = None if deadline is None else deadline - reserve
        self._first_step: int | None = None
        self._reviewed = 0

    @property
    def timed(self) -> bool:
        """Whether time is the budget."""
        return self._deadline is not None

    def count(self, seconds: float, step: int) -> None:
        """Note that a step took `seconds` and that `step` of them are done."""
        self.seconds += seconds
        share = max(1 - MEMORY, 1 / max(self._counted, 1))  # the first step warms up: not kept
        self.seconds_per_step += (seconds - self.seconds_per_step) * share
        self._counted += 1
        if self._first_step is None:
            self._first_step = step
            self._began_counting = self._clock()
        elif self._deadline is not None:
            self._review(step, self._deadline)

    @property
    def ends(self) -> float | None:
        """On the clock, when all should be done; None: the steps are fixed."""
        return None if self._deadline is None else self._deadline + self._reserve

    def seconds_left(self, step: int) -> float | None:
        """Return how long the steps that are left will take; None after too few to tell."""
        if self._counted < TOLD_FROM:
            return None
        return (self.steps - step) * self.seconds_per_step

    @property
    def seconds_to_spare(self) -> float:
        """Return the time that is left for steps; infinite where the steps are fixed."""
        return math.inf if self._deadline is None else self._deadline - self._clock()

    @property
    def seconds_to_end(self) -> float:
        """Return the time that is left for everything; infinite where the steps are fixed."""
        return math.inf if self.ends is None else self.ends - self._clock()

    def begin_round(self, steps: int, *, reserve: float) -> None:
        """Plan as many steps in all, at most, with `reserve` seconds to keep free in the end."""
        self.steps, self._most = steps, steps
        if self._deadline is not None:
            self._deadline += self._reserve - reserve
            self._reserve = reserve
        self._began, self._reviewed, self._first_step = self._clock(), 0, None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        used = self.used + self._clock() - self._sat_down
        return {"steps": self.steps, "seconds": self.seconds, "used": used}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.steps, self.seconds = int(state["steps"]), float(state["seconds"])
        self.used = float(state["used"])
        if self._deadline is not None:
            self._deadline -= self.used

    def _review(self, step: int, deadline: float) -> None:
        """At the review points, plan as many steps as the time left allows."""
        now, first = self._clock(), self._first_step
        assert first is not None
        if now < deadline:
            share = (now - self._began) / (deadline - self._began)
            passed = sum(share >= review for review in REVIEWS)
            if passed == self._reviewed:
                return
            self._reviewed = passed
        # seconds of everything, evaluations and checkpoints included, per step of this sitting
        each = (now - self._began_counting) / max(step - first, 1)
        left = int(max(deadline - now, 0.0) / each) if each else 0
        self.steps = int(min(step + left, max(self._most, step)))
