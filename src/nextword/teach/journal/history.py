"""What a model was taught before, so that a new lesson leaves it standing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from nextword.errors import LessonError, NextwordError
from nextword.model.decoder import Decoder
from nextword.teach.config import ADAPTER_ABOVE
from nextword.teach.edit.correction import Correction
from nextword.teach.edit.weight_delta import copy_with
from nextword.teach.journal.event_log import Event
from nextword.teach.journal.lesson_records import Records
from nextword.teach.journal.original_weights import original_decoder
from nextword.teach.lesson import Student


@dataclass(frozen=True)
class History:
    """The lessons that a model's weights hold.

    Attributes:
        version: of the weights that it is true of.
        lessons: what was taught.
        anchor: parameters as they were before the first lesson, those that a lesson changed.
    """

    version: str
    lessons: tuple[Correction, ...] = ()
    anchor: Mapping[str, Tensor] = field(default_factory=dict)

    def anchor_of(self, decoder: Decoder) -> Decoder | None:
        """The decoder from before the first lesson; None: it is the one given."""
        return copy_with(decoder, self.anchor) if self.anchor else None

    def apart_from(self, corrections: Sequence[Correction]) -> list[Correction]:
        """Return the lessons that do not want another word where the corrections want one.

        Of a lesson whose reply agrees, only those words of the prompt that do not are left out.
        """
        wanted = dict(pair for item in corrections for pair in _wants(item).items())
        kept = (_agreeing(lesson, wanted) for lesson in self.lessons)
        return [lesson for lesson in kept if lesson is not None]

    def after(
        self, corrections: Sequence[Correction], before: Mapping[str, Tensor], version: str
    ) -> "History":
        """The history once these corrections are learned.

        Args:
            before: what they changed, as it was.
            version: of the weights since.
        """
        lessons = (*self.apart_from(corrections), *corrections)
        return History(version, lessons, {**before, **self.anchor})


def history_of(student: Student) -> History:
    """What a model was taught since its first lesson: in memory, or else as its folder tells.

    Of a folder that is no longer a model's, nothing is known, as of one that was never taught.

    Raises:
        LessonError: the journal or the original weights are damaged.
    """
    version = student.version
    if student.history is not None and student.history.version == version:
        return student.history
    if student.folder is None:
        return History(version)
    try:
        records = Records.read(student.folder)
        if not records.active or records.present_version != version:
            return History(version)
        lessons = [item for kept in records.active for item in _taught(kept.lesson)]
        return History(version, tuple(lessons), _original(student, records.chain[0]))
    except LessonError:
        raise
    except NextwordError:
        return History(version)


def _original(student: Student, first: Event) -> dict[str, Tensor]:
    """The weights from before the first lesson; none of a model so large that they would crowd."""
    if student.folder is None or student.decoder.n_parameters > ADAPTER_ABOVE:
        return {}
    named = original_decoder(student.folder, first).named_parameters()
    return {name: weight.detach().to(student.decoder.device) for name, weight in named}


def _taught(lesson: Mapping[str, Any]) -> list[Correction]:
    """The corrections of a kept lesson, from its report."""
    return [
        Correction(
            ids=tuple(sentence["ids"]),
            learned=tuple(place["position"] for place in sentence["positions"]),
            prompt=tuple(sentence["prompt"]),
            reply=sentence["reply"],
            kind="pair" if sentence["prompt"] else "word",
            reply_from=sentence.get("reply_from", 0),  # older records have none
        )
        for sentence in lesson["sentences"]
        if sentence["role"] == "taught"
    ]


def _agreeing(lesson: Correction, wanted: Mapping[tuple[int, ...], int]) -> Correction | None:
    """A lesson without the words of its prompt that are wanted otherwise; None: its reply is."""
    wants = _wants(lesson)
    otherwise = {
        place
        for place, (before, word) in zip(lesson.learned, wants.items(), strict=True)
        if wanted.get(before, word) != word
    }
    if not otherwise:
        return lesson
    if max(otherwise) >= len(lesson.given) - 1:
        return None
    learned = tuple(place for place in lesson.learned if place not in otherwise)
    return replace(lesson, learned=learned, reply_from=len(lesson.given))


def _wants(correction: Correction) -> dict[tuple[int, ...], int]:
    """Which word a correction wants after which words."""
    pairs = zip(correction.learned, correction.targets, strict=True)
    return {correction.ids[: place + 1]: word for place, word in pairs}
