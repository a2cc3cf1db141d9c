"""The plan of a run: every setting, resolved before the first step and kept with the run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextword.config import Aim, ModelConfig, TrainingConfig, config_from
from nextword.errors import RunError
from nextword.training.backends.backend import Backend
from nextword.training.loop.step_budget import Pace

RESERVE_SHARE = 0.05  # of the time, kept for the last evaluation and for saving
ANSWER_SHARE = 0.1  # of the time, for letting a model reply to everything that it was given
MARGIN_SECONDS = 1.5
ENSEMBLE = ("generations", "siblings")  # settings of version 0.1


@dataclass(frozen=True)
class Plan:
    """A resolved run.

    Attributes:
        model, training: every setting.
        aim: what the run is for; see `TrainRequest.aim`.
        split_rule: how the held-out part was chosen; see `split`.
        backend: how steps are computed; None: as version 0.1 chose.
        deadline: seconds after the start at which everything should be done; None: no limit.
        most_steps: not to be exceeded though there be time; None: no limit.
        refit_steps: of the steps, those of a second round over everything that was given; 0: none.
        refit_peak: the highest learning rate of that round, as a share of the first one's.
        minutes_needed: about how many would suffice, where the time does not; else None.
        why: what was chosen and on what grounds, for people.
    """

    model: ModelConfig
    training: TrainingConfig
    deadline: float | None
    why: tuple[str, ...]
    most_steps: int | None = None
    aim: Aim = "generalize"
    split_rule: int = 1
    backend: Backend | None = None
    refit_steps: int = 0
    refit_peak: float = 0.5
    minutes_needed: float | None = None

    def pace(self, *, started: float) -> Pace:
        """Return the step budget of the first round of the run.

        Args:
            started: on the clock, when the program began.
        """
        steps = self.training.steps - self.refit_steps
        if self.deadline is None:
            return Pace(steps)
        later = (self.deadline - self.reserve) * self.refit_steps / self.training.steps
        return Pace(
            steps,
            most=steps if self.refit_steps else self.most_steps,
            deadline=started + self.deadline,
            reserve=self.reserve + later,
            began=started,
        )

    @property
    def reserve(self) -> float:
        """Return the seconds to keep free after the last step."""
        if self.deadline is None:
            return 0.0
        share = RESERVE_SHARE + (ANSWER_SHARE if self.aim == "answers" else 0.0)
        return self.deadline * share + MARGIN_SECONDS

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON, to be kept with the run."""
        return {
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "deadline": self.deadline,
            "why": list(self.why),
            "most_steps": self.most_steps,
            "aim": self.aim,
            "split_rule": self.split_rule,
            "refit_steps": self.refit_steps,
            "refit_peak": self.refit_peak,
            "minutes_needed": self.minutes_needed,
            "backend": None if self.backend is None else self.backend.as_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Plan":
        """Return the plan that `as_json` gave, or that version 0.1 wrote.

        Raises:
            RunError: version 0.1 began to train an ensemble, which is no longer done.
        """
        backend = values.get("backend")
        return cls(
            model=config_from(ModelConfig, values["model"]),
            training=config_from(TrainingConfig, _without_ensemble(values["training"])),
            deadline=values["deadline"],
            why=tuple(values["why"]),
            most_steps=values.get("most_steps"),  # runs were begun before there was such a limit
            aim=values.get("aim", "generalize"),
            split_rule=values.get("split_rule", 1),
            backend=None if backend is None else Backend(**backend),
            refit_steps=values.get("refit_steps", 0),
            refit_peak=values.get("refit_peak", 0.5),
            minutes_needed=values.get("minutes_needed"),
        )


def _without_ensemble(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without those of ensembles, which version 0.1 had."""
    several = [name for name in ENSEMBLE if training.get(name, 1) != 1]
    if several:
        raise RunError(
            f"this run was begun by version 0.1 with training.{several[0]} "
            f"{training[several[0]]}: an ensemble that is distilled into one model. Measured by "
            "replies, that was worse than one model (docs/lab-log.md), and it is no longer done. "
            "Finish the run with the version that began it, or start over with --fresh"
        )
    return {name: value for name, value in training.items() if name not in ENSEMBLE}
