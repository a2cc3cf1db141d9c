"""A lesson and its report: what was taught, whether it holds, and what else became another."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from nextword.config import ModelConfig
from nextword.data.prompting import Prompting
from nextword.errors import ConfigError
from nextword.formats.huggingface.save_load import Kind
from nextword.model.decoder import Decoder
from nextword.teach.config import Scope, TeachingConfig
from nextword.teach.evaluation.metrics import (
    SUCCESS,
    ChangedReply,
    CurvePoint,
    JudgedPosition,
    JudgedSentence,
    Locality,
    MatrixChange,
    NewlyWrong,
    Outcome,
    ReplyLocality,
    Side,
    TeachingStep,
    WordAccount,
)
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.validation import config_from

if TYPE_CHECKING:
    from nextword.teach.edit.weight_delta import Change
    from nextword.teach.journal.history import History

__all__ = [
    "SUCCESS",
    "ChangedReply",
    "CurvePoint",
    "JudgedPosition",
    "JudgedSentence",
    "Lesson",
    "Link",
    "Locality",
    "MatrixChange",
    "NewlyWrong",
    "Outcome",
    "ReplyLocality",
    "Side",
    "Student",
    "TeachingStep",
    "WordAccount",
]


_WITH_SHARE = ("known", "held_out", "known_replies", "held_out_replies")


class Student(Protocol):
    """What is taught: a language model."""

    @property
    def decoder(self) -> Decoder:
        """Its weights."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Its words."""

    @property
    def prompting(self) -> Prompting:
        """How it wants texts and dialogues as tokens."""

    @property
    def kind(self) -> Kind:
        """Whether it learned to reply, or to go on with a text."""

    @property
    def folder(self) -> Path | None:
        """Where it was read from; None for one that is only in memory."""

    @property
    def config(self) -> ModelConfig:
        """Its decoder's."""

    @property
    def version(self) -> str:
        """Another whenever a weight is."""

    history: "History | None"  # what it was taught since it was opened; teaching writes it


@dataclass
class Link:
    """What binds a lesson to the model in memory that it taught.

    Attributes:
        change: what it did to the weights.
        before: the taught parameters as they were.
        history: what had been taught before.
        keep, undo: write it to the folder, and take it back; given the lesson, how many seconds to
            wait for the folder, and whether the caller holds it already.
        number: once it is kept.
    """

    student: Student
    change: "Change"
    before: Mapping[str, Tensor]
    history: "History"
    keep: "Callable[[Lesson, float, bool], int]"
    undo: "Callable[[Lesson, float, bool], None]"
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One lesson, measured.

    Attributes:
        learned: whether every target is right now; if not, the weights are as they were.
        why: the outcome as a whole sentence.
        sentences: what was taught, then its other phrasings.
        reliability: share of the taught targets that are right after, given the right words
            before each (teacher forcing).
        generality: the same of the phrasings' targets, which were not trained on; None without any.
        reply_reliability: share of the taught prompts whose generated reply is the taught one.
        reply_generality: the same of the phrasings. Both None without any, and in older records.
        known, held_out: which next words stayed, of the rehearsal and of text never rehearsed.
        known_replies, held_out_replies: which generated replies stayed; None without any.
        changed_replies: at most 50 of the `n_changed_replies`.
        newly_wrong: at most 50 of the `n_newly_wrong`.
        n_contradicted: rehearsed positions left out because the lesson says otherwise.
        rehearsal: what was rehearsed, in words.
        loss_before, loss_after: mean of -log p over the taught targets, in nats.
        seconds: of the steps; judging_seconds: of measuring, before and after them.
        curve: at most 100 steps, the first and the last among them.
        changes: of every parameter that moved.
        account: of the first target that was wrong; None where none was.
        n_taught: numbers that the lesson could change.
        memory_bytes: what it needed.
        number: in the folder, once it is kept.
    """

    learned: bool
    outcome: Outcome
    why: str
    sentences: tuple[JudgedSentence, ...]
    reliability: float
    generality: float | None
    known: Locality
    held_out: Locality | None
    newly_wrong: tuple[NewlyWrong, ...]
    n_newly_wrong: int
    n_contradicted: int
    rehearsal: str
    loss_before: float
    loss_after: float
    steps: int
    seconds: float
    judging_seconds: float
    curve: tuple[CurvePoint, ...]
    changes: tuple[MatrixChange, ...]
    account: WordAccount | None
    scope: Scope
    n_taught: int
    memory_bytes: int
    config: TeachingConfig
    version_before: str
    version_after: str
    number: int | None = None
    reply_reliability: float | None = None
    reply_generality: float | None = None
    known_replies: ReplyLocality | None = None
    held_out_replies: ReplyLocality | None = None
    changed_replies: tuple[ChangedReply, ...] = ()
    n_changed_replies: int = 0
    _link: Link | None = field(repr=False, compare=False, default=None)

    def keep(self, *, wait: float = 0.0, held: bool = False) -> "Lesson":
        """Write the model's new weights and the lesson to its folder.

        Args:
            wait: seconds to wait while somebody else teaches or trains there.
            held: the caller holds the folder already.

        Returns:
            The lesson with its number.

        Raises:
            ConfigError: it was read from a file, or the model has no folder.
            LessonError: it was not learned, is kept already, or the folder holds other weights.
            TeachBusyError: somebody else holds the folder.
        """
        number = self._linked().keep(self, wait, held)
        return dataclasses.replace(self, number=number)

    def undo(self, *, wait: float = 0.0, held: bool = False) -> None:
        """Put back the very weights from before, in memory and, if it was kept, in the folder.

        Args:
            wait, held: see `keep`.

        Raises:
            ConfigError: it was read from a file, or a later lesson stands on it.
            LessonError, TeachBusyError: the folder does not allow it; nothing is changed.
        """
        self._linked().undo(self, wait, held)

    def _linked(self) -> Link:
        if self._link is None:
            raise ConfigError("this lesson was read from a file; use nextword lessons")
        return self._link

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file or an answer."""
        values = dataclasses.asdict(dataclasses.replace(self, _link=None))
        del values["_link"]
        for name in _WITH_SHARE:
            found: Locality | ReplyLocality | None = getattr(self, name)
            if found is not None:
                values[name]["share"] = found.share
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Lesson":
        """What `as_json` gave; it can be looked at, not kept or undone.

        Raises:
            ConfigError: something is missing, unknown or of another type.
        """
        given = dict(values)
        for name in _WITH_SHARE:
            if given.get(name) is not None:
                given[name] = {key: item for key, item in given[name].items() if key != "share"}
        return config_from(cls, given)
