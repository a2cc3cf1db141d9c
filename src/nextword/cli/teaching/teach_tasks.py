"""The lessons that `nextword teach` is to give, from its command line or from a file."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextword.errors import ConfigError, ContextError, DataError
from nextword.teach import lesson_text

if TYPE_CHECKING:
    from nextword.language_model import LanguageModel
    from nextword.teach.edit.correction import Correction, Prompt
    from nextword.teach.lesson_files import Given


@dataclass(frozen=True, kw_only=True)
class Task:
    """One lesson to be given.

    Attributes:
        corrections: what is to be learned together.
        phrasings: as `LanguageModel.teaching` takes them.
        title: what it teaches, in one line.
        where: file and line; empty from the command line.
    """

    corrections: "Sequence[Correction]"
    phrasings: "Sequence[Prompt] | Sequence[Sequence[Prompt]]"
    title: str
    where: str = ""


def check_given(
    texts: Sequence[str],
    *,
    phrasings: Sequence[str],
    at: int | None,
    file: str | None,
    together: bool,
) -> None:
    """Refuse what cannot be meant together.

    Raises:
        ConfigError: says what.
    """
    if file is not None and (texts or phrasings or at is not None):
        raise ConfigError(
            "--file holds the prompts, replies and phrasings; leave those of the command line out"
        )
    if together and file is None:
        raise ConfigError("--together is for the lessons of a --file")
    if file is None and len(texts) != 2:
        raise ConfigError(
            f"a lesson is one PROMPT and one REPLY, each in quotes, and {len(texts)} texts are "
            "given; put dialogues of several turns into a --file"
        )
    if at is not None and phrasings:
        raise ConfigError("--phrasing is for a prompt and its reply; --at corrects a single word")


def task_of(
    model: "LanguageModel", prompt: str, reply: str, *, phrasings: Sequence[str], at: int | None
) -> Task:
    """The lesson of the command line."""
    if at is None:
        correction = _paired(model, (prompt,), reply)
        return Task(
            corrections=[correction], phrasings=phrasings, title=lesson_text.titled([prompt], reply)
        )
    correction = word_at(model, prompt, at, reply)
    return Task(corrections=[correction], phrasings=(), title=lesson_text.titled([prompt], reply))


def _paired(model: "LanguageModel", turns: Sequence[str], reply: str) -> "Correction":
    from nextword.teach.edit.correction import from_pair

    return from_pair(
        (turns, reply),
        model.prompting,
        kind=model.kind,
        context_length=model.config.context_length,
    )


def word_at(model: "LanguageModel", text: str, at: int, word: str) -> "Correction":
    """The correction of the word that follows a position of a text.

    A space before the word need not be given: of the two spellings the likelier is meant.

    Args:
        text: read as it is, without an end token.
        at: the position, from 0, or from the end when below 0.
        word: the right one.

    Raises:
        ConfigError: there is no such position.
        DataError: the word is not in the vocabulary.
    """
    ids = model.ids(text, dialogue=False)
    if not -len(ids) <= at < len(ids):
        raise ConfigError(
            f"--at {at}: the text has {len(ids)} tokens, at positions 0 to {len(ids) - 1}; see "
            "them with: nextword look FOLDER TEXT --continue"
        )
    before = ids[: at % len(ids) + 1]
    made = [model.correction(before, word)]
    if not word[0].isspace():
        with contextlib.suppress(DataError):  # whole words are known without their spaces
            made.append(model.correction(before, f" {word}"))
    logits = model.trace_ids(before).logits([len(before) - 1])[0]
    return max(made, key=lambda item: float(logits[item.targets[0]]))


def tasks_of(model: "LanguageModel", given: "Sequence[Given]", *, together: bool) -> list[Task]:
    """The lessons of a file, all of them checked before the first is given.

    Raises:
        DataError, ContextError: one cannot be taught (names file and line), or two contradict
            each other.
    """
    from nextword.teach.edit.correction import check_agreement

    tasks = []
    for item in given:
        with _placed(item.where):
            correction = _paired(model, item.turns, item.reply)
            for prompt in item.other_prompts:
                _paired(model, prompt, item.reply)
        title = lesson_text.titled(item.turns, item.reply)
        tasks.append(
            Task(
                corrections=[correction],
                phrasings=item.other_prompts,
                title=title,
                where=item.where,
            )
        )
    corrections = [task.corrections[0] for task in tasks]
    check_agreement(corrections)
    if not together or len(tasks) == 1:
        return tasks
    phrasings = [list(item.other_prompts) for item in given]
    title = f"{len(tasks)} lessons together"
    return [Task(corrections=corrections, phrasings=phrasings, title=title)]


@contextlib.contextmanager
def _placed(where: str) -> Iterator[None]:
    """An error in a lesson of a file says where it stands."""
    try:
        yield
    except (ContextError, DataError) as error:
        raise type(error)(f"{where}: {error}") from error
