"""The plan of a run: its settings, and how fast it is to go. It is kept with the run."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from nextword.config import ModelConfig, TrainingConfig, config_from
from nextword.learn.generations import n_models
from nextword.learn.pace import Pace

RESERVE_SHARE = 0.05  # of the time, kept for the last evaluation and for saving
MARGIN_SECONDS = 1.5
LAST_LONGER = 4  # times as many steps for the last of several models, at most


@dataclass(frozen=True)
class Plan:
    """A resolved run.

    Attributes:
        model, training: every setting.
        deadline: seconds after the start at which everything should be done; None: no limit.
        most_steps: not to be exceeded though there be time, of the only model and of each that
            others learn from; None: no limit.
        seconds: how long each model will take where several learn in a limited time.
        why: what was chosen and on what grounds, for people.
    """

    model: ModelConfig
    training: TrainingConfig
    deadline: float | None
    why: tuple[str, ...]
    most_steps: int | None = None
    seconds: tuple[float, ...] = ()

    def steps_of(self, model: int) -> int:
        """The steps of one of the models that learn in turn, from 1."""
        last = model == n_models(self.training)
        return self.training.steps if last or self.most_steps is None else self.most_steps

    def pace(self, model: int, *, started: float, gone: float, began: float) -> Pace:
        """How fast one of the models, from 1, is to learn, which begins now.

        Args:
            started: on the clock, when the program began.
            gone: seconds that earlier sittings spent on models before it.
            began: on the clock, from when on it uses time.
        """
        steps, count = self.steps_of(model), n_models(self.training)
        if self.deadline is None:
            return Pace(steps)
        deadline = started + self.deadline - gone
        reserve = self.deadline * RESERVE_SHARE + MARGIN_SECONDS
        if count == 1:
            most = self.most_steps
            return Pace(steps, most=most, deadline=deadline, reserve=reserve, began=began)
        if model == count:
            most = LAST_LONGER * self.steps_of(1)
            return Pace(steps, most=most, deadline=deadline, reserve=reserve, began=began)
        now, (here, *later) = time.monotonic(), self.seconds[model - 1 :]
        share = here / (here + sum(later))
        ends = now + share * (deadline - reserve - now)
        return Pace(steps, most=steps, deadline=ends, began=began)

    def as_json(self) -> dict[str, Any]:
        """The plan as plain JSON, to be kept with the run."""
        return {
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "deadline": self.deadline,
            "why": list(self.why),
            "most_steps": self.most_steps,
            "seconds": list(self.seconds),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Plan":
        """The plan that `as_json` gave."""
        return cls(
            model=config_from(ModelConfig, values["model"]),
            training=config_from(TrainingConfig, values["training"]),
            deadline=values["deadline"],
            why=tuple(values["why"]),
            most_steps=values.get("most_steps"),  # runs were begun before there was such a limit
            seconds=tuple(values.get("seconds", ())),  # or several models
        )
