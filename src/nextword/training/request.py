"""What a person asks for when they train: data, folder, model, budget."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from nextword.config import Aim, ModelConfig, TrainingConfig, config_from
from nextword.data.records.record_keys import check_columns
from nextword.errors import ConfigError, unknown
from nextword.presets import preset

DEFAULT_MINUTES = 5.0
BUDGETS = ("steps", "tokens", "minutes")
RESERVED = {"vocab_size": "the tokenizer's", "context_length": "--context"}
RETIRED = ("generations", "siblings")  # settings of version 0.1
STARTED = {  # what a model that goes on learning has already: setting, and what a person calls it
    "preset": "--preset",
    "depth": "--depth",
    "context": "--context",
    "model": "a size of the model",
    "tokenizer": "--tokenizer",
    "vocab_size": "--vocab-size",
}


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One training, from data to a model's folder.

    Attributes:
        data: files, folders, `-`, or names of bundled data.
        out: the model's folder.
        start: the folder of a model that goes on learning; None: a new one learns from nothing.
        preset, depth, context: the model; None leaves the choice to the plan.
        model: settings of ModelConfig in place of the preset's.
        training: settings of TrainingConfig in place of the defaults.
        steps, tokens, minutes: the budget; one of them, or DEFAULT_MINUTES.
        tokenizer: "bpe", "words", "characters", or a folder that has one.
        vocab_size: of a tokenizer to be learned; None: by the amount of text.
        held_out: the share of the data to judge by, or a file or folder with other data for it;
            None: a tenth, or nothing of fewer than 20 dialogues.
        aim: "answers": every reply that was given is learned, and within that other phrasings are
            answered best; "generalize": the held-out loss is lowest, and what is held out is never
            learned. None: "answers" for dialogues, "generalize" for plain text.
        skip_bad: pass over broken lines, and over files of a folder that cannot be read.
        columns: known name of a key → the key or column that stands for it in the data.
    """

    data: tuple[str, ...]
    out: Path
    preset: str = "qwen3"
    depth: int | None = None
    context: int | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    tokens: int | None = None
    minutes: float | None = None
    tokenizer: str = "bpe"
    vocab_size: int | None = None
    held_out: float | str | None = None
    skip_bad: bool = False
    start: str | None = None
    aim: Aim | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} are given; a run has one budget of the three")
        for name in given:
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be above 0, and finite"
                )
        if isinstance(self.held_out, float | int) and not 0 <= self.held_out < 1:
            raise ConfigError(
                f"the share held out is {self.held_out}; it must be at least 0 and below 1"
            )
        if self.aim is not None and self.aim not in get_args(Aim):
            raise ConfigError(unknown("aim", str(self.aim), get_args(Aim)))
        if self.start is not None:
            self._check_start(self.start)
        _check_keys(self.model, ModelConfig, skip=RESERVED)
        _check_keys(self.training, TrainingConfig, skip={"steps": "--steps"})
        self._check_values()

    def _check_start(self, start: str) -> None:
        """Refuse what the model that goes on learning settles."""
        fields = {item.name: item for item in dataclasses.fields(self)}
        others = {name for name in STARTED if getattr(self, name) != _default(fields[name])}
        refuse_beside_start(others)
        if self.out.resolve() == Path(start).resolve():
            raise ConfigError(
                f"{self.out} is the model that goes on learning; give another --out: undo needs "
                "the weights that the lessons stand on"
            )

    def _check_values(self) -> None:
        """Refuse what is impossible with any data, before anything is read or made."""
        check_columns(self.columns)
        context = 1 if self.context is None else self.context
        preset(self.preset, vocab_size=1, context_length=context, depth=self.depth, **self.model)
        batch = {"batch_size": self.training.get("accumulate", 1)}  # one that suits any data
        config_from(TrainingConfig, {"steps": 1} | batch | dict(self.training))

    @property
    def timed_minutes(self) -> float | None:
        """The minutes to train for; None when steps or tokens are the budget."""
        if self.steps is None and self.tokens is None:
            return DEFAULT_MINUTES if self.minutes is None else self.minutes
        return None

    def settings(self) -> dict[str, Any]:
        """What another start must agree with to go on with the same run: all but the places."""
        values = dataclasses.asdict(self)
        del values["out"], values["data"]
        for name in ("start", "aim", "columns"):  # runs were begun before there were such settings
            if values[name] in (None, {}):
                del values[name]
        return values


def refuse_beside_start(given: Collection[str]) -> None:
    """Refuse settings beside the folder of a model that goes on learning, which has its own.

    Args:
        given: names of settings of TrainRequest.

    Raises:
        ConfigError: one of them is the model's.
    """
    for name, option in STARTED.items():
        if name in given:
            raise ConfigError(
                f"{option} is given beside --from; the model that goes on learning has its own. "
                "Leave it out, or leave out --from"
            )


def _default(item: "dataclasses.Field[Any]") -> Any:
    made = item.default_factory
    return item.default if made is dataclasses.MISSING else made()


def _check_keys(values: Mapping[str, Any], cls: type, *, skip: Mapping[str, str]) -> None:
    """Refuse unknown settings, and those that have a place of their own."""
    allowed = [item.name for item in dataclasses.fields(cls) if item.name not in skip]
    for key in values:
        if key in skip:
            raise ConfigError(f"{key} cannot be set here; it follows from {skip[key]}")
        if key in RETIRED:
            raise ConfigError(
                f"training.{key} is no longer a setting: an ensemble that is distilled into one "
                "model was measured to reply worse than one model (docs/lab-log.md). Leave it out; "
                "a run that was begun with it is finished by the version that began it, or started "
                "over with --fresh"
            )
        if key not in allowed:
            raise ConfigError(unknown(f"setting in {cls.__name__}", key, allowed))
