"""What can go wrong, as one tree.

    NextwordError
    ├── ConfigError           a setting that is impossible, unknown, or at odds with another
    ├── DataError             a text or a file of dialogues that cannot be read or is too small
    │   └── BadLineError      one broken line, with its file and line number
    ├── TokenizerError        a tokenizer that cannot be learned, read or used
    ├── ContextError          more tokens than the model's context window holds
    ├── FolderError           a folder that is no model, is damaged, or is of an unknown family
    ├── RunError              a training run that cannot start, go on or be saved
    │   ├── RunBusyError      another process is training in this folder
    │   │   └── TeachBusyError  another teacher or training holds this folder
    │   ├── RunChangedError   data, tokenizer or configuration differ from the run in the folder
    │   ├── CheckpointError   a checkpoint is damaged or could not be written
    │   └── LessonError       a lesson that cannot be kept or undone
    ├── StoppedError          training was asked to stop, and saved everything
    ├── LossError             the loss is not a finite number
    └── MissingExtraError     an optional package is needed and not installed

Every message says what was given, what is allowed and how to mend it. The command line prints it
in one line; `--debug` shows the traceback.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar

LONGEST_NAME = 80  # characters of a name in a message


class NextwordError(Exception):
    """Something a person can mend; the base of every error that Nextword raises on purpose.

    Attributes:
        exit_code: what the command line leaves with.
    """

    exit_code: ClassVar[int] = 1


class ConfigError(NextwordError, ValueError):
    """A setting that is impossible, unknown, or at odds with another."""


class DataError(NextwordError):
    """A text or a file of dialogues that cannot be read or is too small."""


class BadLineError(DataError):
    """One broken line; `where` is `file:line`."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}. Mend the line, or skip such lines with --skip-bad.")
        self.where = where
        self.problem = problem


class TokenizerError(NextwordError):
    """A tokenizer that cannot be learned, read or used."""


class ContextError(NextwordError):
    """More tokens than the model's context window holds."""


class FolderError(NextwordError):
    """A folder that is no model, is damaged, or is of an unknown family."""


class RunError(NextwordError):
    """A training run that cannot start, go on or be saved."""


class RunBusyError(RunError):
    """Another process is training in this folder."""


class TeachBusyError(RunBusyError):
    """Another teacher or training holds this folder."""


class RunChangedError(RunError):
    """Data, tokenizer or configuration differ from the run in the folder."""


class CheckpointError(RunError):
    """A checkpoint is damaged or could not be written."""


class LessonError(RunError):
    """A lesson that cannot be kept or undone."""


class StoppedError(NextwordError):
    """Training was asked to stop, and saved everything; the same command goes on."""

    exit_code: ClassVar[int] = 75  # EX_TEMPFAIL of sysexits: try again


class LossError(NextwordError):
    """The loss is not a finite number."""


class MissingExtraError(NextwordError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed. "
            f"Install it with: pip install 'nextword[{extra}]'"
        )


def unknown(what: str, given: str, allowed: Iterable[str]) -> str:
    """Return the message for a name that is not one of those allowed, with the nearest match.

    Args:
        what: the kind of thing, e.g. `"preset"`.
        given: the name that was given.
        allowed: the names that are allowed.
    """
    names = list(allowed)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {given!r}; allowed are: {', '.join(names)}.{hint}"


def unsupported(what: str, given: str, supported: Iterable[str]) -> str:
    """Return the message for a property of a model that exists and is not computed here.

    Nothing is suggested: with the nearest name its weights would give other numbers.

    Args:
        what: the property, e.g. `"hidden_act in config.json"`.
        given: the model's.
        supported: what is computed.
    """
    shown = given if len(given) <= LONGEST_NAME else f"{given[:LONGEST_NAME]}…"
    return (
        f"{what} is {shown!r}, which Nextword does not compute; it computes "
        f"{', '.join(supported)}. Leave the name as it is: under another one the weights would "
        "give wrong numbers"
    )
