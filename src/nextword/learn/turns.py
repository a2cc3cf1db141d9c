"""How many models there is time for, of how many generations, and how long each is to learn."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from nextword.learn.data import Prepared
from nextword.learn.generations import sure
from nextword.learn.plan import LAST_LONGER, Plan
from nextword.learn.speed import speed_of

GENERATIONS = 2  # unasked, where there is time; a third was no better: lab log
MOST_SIBLINGS = 16  # unasked
LEAST_SHARE = 0.85  # of the steps, for each model, where there is no time for all; 0.7: worse


class Costs(NamedTuple):
    """Seconds of a step."""

    first: float  # of a model that learns the text
    later: float  # of another, without its teachers
    teacher: float  # of each of those

    def of_each(self, generations: int, siblings: int) -> list[float]:
        """A step of each model, in their order."""
        second = self.later + siblings * self.teacher
        third = self.later + self.teacher
        others = [second, *[third] * (generations - 2)] if generations > 1 else []
        return [self.first] * (siblings if others else 1) + others


def in_turn(
    plan: Plan,
    data: Prepared,
    *,
    asked: Mapping[str, int],
    speed: float,
    left: float,
    learned_before: bool = False,
) -> Plan:
    """The plan with as many models as were asked for, or as there is time for.

    Each of them gets the steps that the only one would have, or LEAST_SHARE of them if that makes
    room for more models. The last one has what is left, up to LAST_LONGER times as many.

    Args:
        plan: of a single model, in a limited time.
        data: what is learned.
        asked: the generations and the siblings that were asked for, as far as they were.
        speed: of a model that learns the text, in tokens per second.
        left: seconds for the steps of all.
        learned_before: as in `Decoder`.
    """
    if asked.get("generations") == 1:
        return plan
    training = plan.training
    costs = measure(plan, data, speed=speed, learned_before=learned_before)
    fits = left / training.steps  # seconds of a step of all models together
    generations, siblings = choose(costs, asked, fits=fits)
    if generations == 1:
        return plan
    each = costs.of_each(generations, siblings)
    steps = min(training.steps, max(int(left / sum(each)), 1))
    earlier = [steps * cost for cost in each[:-1]]
    last = min(max(int((left - sum(earlier)) / each[-1]), 1), LAST_LONGER * steps)
    return dataclasses.replace(
        plan,
        training=dataclasses.replace(
            training, steps=last, generations=generations, siblings=siblings
        ),
        most_steps=steps,
        seconds=(*earlier, last * each[-1]),
    )


def choose(costs: Costs, asked: Mapping[str, int], *, fits: float) -> tuple[int, int]:
    """How many generations, and of how many siblings the first.

    A second generation costs little and brings most; more siblings bring less for their time.

    Args:
        costs: of a step.
        asked: see `in_turn`.
        fits: seconds that a step of every model may take in all.
    """

    def fit(generations: int, siblings: int) -> bool:
        return LEAST_SHARE * sum(costs.of_each(generations, siblings)) <= fits

    generations = asked.get("generations", GENERATIONS if fit(GENERATIONS, 1) else 1)
    if generations == 1:
        return 1, 1
    fitting = (n for n in range(MOST_SIBLINGS, 1, -1) if fit(generations, n))
    return generations, asked.get("siblings", next(fitting, 1))


def measure(plan: Plan, data: Prepared, *, speed: float, learned_before: bool) -> Costs:
    """What a step costs on this machine."""
    training, seconds = plan.training, plan.deadline or 0.0
    tokens = training.batch_size * data.context
    taught = partial(
        speed_of,
        plan.model,
        data,
        sure(training),
        seconds=seconds,
        learned_before=learned_before,
    )
    one, three = (tokens / taught(n_teachers=number) for number in (1, 3))
    teacher = max(three - one, 0.0) / 2
    return Costs(tokens / speed, max(one - teacher, 0.0), teacher)
