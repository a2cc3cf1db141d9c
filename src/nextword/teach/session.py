"""One lesson from beginning to end: judge, teach a copy, judge again, and only then write."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nextword.errors import ConfigError, LessonError
from nextword.hardware import memory_bytes
from nextword.model.fingerprint import version_of
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.correction import Correction, check_agreement
from nextword.teach.edit.edit_loop import Teacher
from nextword.teach.edit.rehearsal import find_rehearsal
from nextword.teach.edit.weight_delta import (
    check_memory,
    copy_with,
    memory_needed,
    n_taught,
    resolve,
)
from nextword.teach.evaluation.before_after import (
    account,
    changes,
    mean_losses,
    share_exact,
    share_right,
)
from nextword.teach.evaluation.lesson_evaluation import Measures, curve, why
from nextword.teach.journal import persist
from nextword.teach.journal.history import history_of
from nextword.teach.journal.undo import undo
from nextword.teach.lesson import (
    SUCCESS,
    JudgedSentence,
    Lesson,
    Link,
    Outcome,
    Student,
    TeachingStep,
)


class Teaching:
    """A lesson under way: iterate over `steps`, then `judge`, then `settle`.

    Attributes:
        version: of the weights that it begins with.
        scope: which weights it may change, `n_taught` how many numbers.
        memory_bytes: about what it takes, besides the model.
        rehearsal: what must stay.
        before: the sentences as the model says them now; `after` is the same.
    """

    def __init__(
        self,
        student: Student,
        corrections: Sequence[Correction],
        phrasings: Sequence[Correction] = (),
        *,
        config: TeachingConfig,
        rehearse: Path | None = None,
    ) -> None:
        """Look at everything as it is; nothing is changed.

        Args:
            student: the model.
            corrections: what is to be learned, one or several.
            phrasings: other ways to ask, judged only.
            config: see there.
            rehearse: a file of what must stay; None: see `find_rehearsal`.

        Raises:
            ConfigError: no correction.
            DataError: two that contradict each other, or a file that cannot be read.
            RunError: there is not enough memory.
            LossError: the model's logits are not finite.
        """
        if not corrections:
            raise ConfigError("there is nothing to teach; give at least one prompt and its reply")
        check_agreement(corrections)
        began = time.perf_counter()
        self._student, self._config = student, config
        self._corrections = tuple(corrections)
        self._check_memory()
        self.version = student.version
        found = find_rehearsal(student, file=rehearse, seed=config.seed)
        self.rehearsal, self._n_contradicted = found.apart_from((*corrections, *phrasings))
        self._measures = Measures(
            student, corrections, phrasings, self.rehearsal, whole=found, config=config
        )
        self.before: tuple[JudgedSentence, ...] = self._measures.before
        self._history = history_of(student)
        self._teacher = self._make_teacher()
        self._steps: list[TeachingStep] = []
        self._after: dict[str, Tensor] = {}
        self._lesson: Lesson | None = None
        self._judging = time.perf_counter() - began

    def stop(self) -> None:
        """End before the next step; the lesson is then not learned."""
        self._teacher.stop()

    def steps(self) -> Iterator[TeachingStep]:
        """Every step as it was reached; step 0 is before any change."""
        for step in self._teacher.steps():
            self._steps.append(step)
            yield step

    @torch.inference_mode(False)
    @torch.no_grad()
    def judge(self) -> Lesson:
        """What was learned, and what else became another; after the last step.

        Raises:
            ConfigError: the steps are not over.
            LossError: the logits are not finite.
        """
        if self._lesson is None:
            outcome = self._teacher.outcome
            if outcome is None:
                raise ConfigError("the lesson is not over; take all of its steps before judging it")
            self._lesson = self._judged(outcome)
        return self._lesson

    def settle(self) -> None:
        """Write the new weights into the model; nothing where nothing was learned.

        Raises:
            ConfigError: its weights are no longer those that the lesson began with.
        """
        lesson = self.judge()
        if not lesson.learned:
            return
        if self._student.version != self.version:
            raise ConfigError(
                "the model's weights are no longer those that this lesson began with; teach again"
            )
        _write(self._student, self._after)
        self._student.history = self._history.after(
            self._corrections, self._before, lesson.version_after
        )

    def _check_memory(self) -> None:
        decoder, config = self._student.decoder, self._config
        self.scope = resolve(config, decoder)
        self.n_taught = n_taught(decoder, self.scope, config)
        longest = max(len(item.ids) for item in self._corrections)
        self.memory_bytes = memory_needed(
            decoder, self.scope, config, longest=longest, rows=len(self._corrections)
        )
        available = memory_bytes()
        if available is not None:
            weights = decoder.parameters()
            available -= sum(weight.numel() * weight.element_size() for weight in weights)
        check_memory(self.memory_bytes, available=available)

    def _make_teacher(self) -> Teacher:
        decoder = self._student.decoder
        earlier = self._history.apart_from(self._corrections)
        return Teacher(
            decoder,
            self._corrections,
            self.rehearsal.apart_from(earlier)[0],
            self._config,
            stayed=self._measures.stayed,
            changed=self._measures.changed,
            anchor=self._history.anchor_of(decoder),
            earlier=earlier,
        )

    def _judged(self, outcome: Outcome) -> Lesson:
        began = time.perf_counter()
        student, change = self._student, self._teacher.change
        learned, last = outcome in SUCCESS, self._steps[-1]
        named = dict(student.decoder.named_parameters())
        before = {name: named[name].detach().clone() for name in change.names}
        after = {name: new.to(named[name].device) for name, new in change.apply(before).items()}
        reached = copy_with(student.decoder, after)
        judged = self._measures.sentences(reached)
        word = account(judged, student.decoder, reached, student.tokenizer)
        if not learned:
            reached, before, after = student.decoder, {}, {}
        self._before, self._after = before, after
        elsewhere = self._measures.elsewhere(reached)
        losses = mean_losses(judged)
        return Lesson(
            learned=learned,
            outcome=outcome,
            why=why(outcome, last, self._config),
            sentences=judged,
            reliability=share_right(judged, "taught") or 0.0,
            generality=share_right(judged, "phrasing"),
            reply_reliability=share_exact(judged, "taught"),
            reply_generality=share_exact(judged, "phrasing"),
            known_replies=elsewhere.known_replies,
            held_out_replies=elsewhere.held_out_replies,
            changed_replies=elsewhere.changed_replies,
            n_changed_replies=elsewhere.n_changed,
            known=elsewhere.known,
            held_out=elsewhere.held_out,
            newly_wrong=elsewhere.wrong,
            n_newly_wrong=elsewhere.n_wrong,
            n_contradicted=self._n_contradicted,
            rehearsal=self.rehearsal.told(),
            loss_before=losses[0],
            loss_after=losses[1],
            steps=last.step,
            seconds=last.seconds,
            curve=curve(self._steps),
            changes=changes(before, after),
            account=word,
            scope=self.scope,
            n_taught=self.n_taught,
            memory_bytes=self.memory_bytes,
            config=self._config,
            version_before=self.version,
            version_after=version_of(reached),
            judging_seconds=self._judging + time.perf_counter() - began,
            _link=Link(student, change, before, self._history, _keep, _undo),
        )


def _keep(lesson: Lesson, wait: float, held: bool) -> int:
    """Write the lesson to the model's folder; see `Lesson.keep`."""
    link = lesson._link
    assert link is not None
    student = link.student
    if student.folder is None:
        raise ConfigError(
            "this model is only in memory; save it to a folder, and its lessons with it"
        )
    if link.number is not None:
        raise LessonError(f"this lesson is kept already, as number {link.number}")
    link.number = persist.keep(
        student.folder, lesson, link.change, student.decoder, wait=wait, held=held
    )
    return link.number


def _undo(lesson: Lesson, wait: float, held: bool) -> None:
    """Put the weights back, in the folder first; see `Lesson.undo`."""
    link = lesson._link
    assert link is not None
    student = link.student
    if not lesson.learned:
        raise ConfigError("this lesson was not learned, so there is nothing to undo")
    if student.version == lesson.version_before:
        raise ConfigError("this lesson is undone already")
    if student.version != lesson.version_after:
        raise ConfigError(
            "a later lesson stands on this one: undo that first, or use nextword lessons "
            "FOLDER --undo N"
        )
    if link.number is not None and student.folder is not None:
        undo(student.folder, [link.number], wait=wait, held=held)
        link.number = None
    _write(student, link.before)
    student.history = link.history


def _write(student: Student, weights: Mapping[str, Tensor]) -> None:
    """Write weights in place: so the model's version, and whoever looks at it, knows."""
    with torch.inference_mode(False), torch.no_grad():
        named = dict(student.decoder.named_parameters())
        for name, weight in weights.items():
            named[name].copy_(weight)
