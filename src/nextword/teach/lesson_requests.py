"""From what a person gives, prompts and replies, to a lesson that was taught."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from nextword.common.folder_lock import hold
from nextword.common.signals import StopSignals
from nextword.errors import ConfigError
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.correction import (
    Correction,
    Pair,
    Prompt,
    from_pair,
    phrasing_of,
    phrasings_by_pair,
    with_prompts,
)
from nextword.teach.lesson import Lesson, Student, TeachingStep
from nextword.teach.session import Teaching
from nextword.training.backends.thread_limit import limited_threads
from nextword.validation import config_from


def corrections_of(
    student: Student,
    pairs: Sequence[Pair | Correction],
    phrasings: Sequence[Prompt] | Sequence[Sequence[Prompt]],
) -> tuple[list[Correction], list[Correction]]:
    """What is to be taught, and what is only to be judged, as tokens.

    Args:
        student: the model.
        pairs: prompts with replies, or corrections.
        phrasings: of one pair, its prompts; of several, one list of prompts for each.

    Raises:
        ConfigError, DataError, ContextError: see `correction`.
    """
    prompting, context = student.prompting, student.config.context_length
    taught = [
        pair
        if isinstance(pair, Correction)
        else from_pair(pair, prompting, kind=student.kind, context_length=context)
        for pair in pairs
    ]
    asked = [
        phrasing_of(prompt, item, prompting, kind=student.kind, context_length=context)
        for item, prompts in zip(taught, phrasings_by_pair(phrasings, len(taught)), strict=True)
        for prompt in prompts
    ]
    return taught, asked


def begin(
    student: Student,
    pairs: Sequence[Pair | Correction],
    phrasings: Sequence[Prompt] | Sequence[Sequence[Prompt]] = (),
    *,
    config: TeachingConfig | None = None,
    rehearse: str | Path | None = None,
    also_prompt: bool = False,
    **settings: Any,
) -> Teaching:
    """A lesson to be taken step by step.

    Args:
        student: the model.
        pairs, phrasings: see `corrections_of`.
        config: how; or its fields, as `settings`.
        rehearse: a file of what must stay; None: what the folder keeps of the training data.
        also_prompt: teach every word of the prompts, too.

    Raises:
        ConfigError: config and settings both, or a wrong one.
        NextwordError: see `corrections_of` and `Teaching`.
    """
    if config is not None and settings:
        raise ConfigError(f"both config and {next(iter(settings))} are given; give one of them")
    chosen = config or config_from(TeachingConfig, settings)
    taught, asked = corrections_of(student, pairs, phrasings)
    if also_prompt:
        taught = with_prompts(taught, unknown_id=student.tokenizer.unknown_id)
    file = None if rehearse is None else Path(rehearse)
    return Teaching(student, taught, asked, config=chosen, rehearse=file)


def teach(
    student: Student,
    begin: Callable[[], Teaching],
    *,
    on_step: Callable[[TeachingStep], None] | None,
    keep: bool,
) -> Lesson:
    """Take a lesson from its first step to its last, and write what was learned into the model.

    Args:
        student: the model.
        begin: makes the lesson.
        on_step: is told every step.
        keep: hold the folder from before the lesson begins, and keep what was learned; if that
            fails, the model has its old weights.

    Raises:
        ConfigError: keep, and the model has no folder.
        NextwordError: see `Teaching` and `Lesson.keep`.
    """
    if keep and student.folder is None:
        raise ConfigError("this model is only in memory, so a lesson cannot be kept; save it first")
    holding = hold(student.folder, what="teaching") if keep and student.folder else nullcontext()
    with holding, limited_threads(), StopSignals() as signals:
        teaching = begin()
        for step in teaching.steps():
            if on_step is not None:
                on_step(step)
            if signals.asked:
                teaching.stop()
        lesson = teaching.judge()
        teaching.settle()
        if keep and lesson.learned and lesson.outcome != "already":
            try:
                lesson = lesson.keep(held=True)
            except BaseException:
                lesson.undo(held=True)  # the model is what its folder holds
                raise
    return lesson
