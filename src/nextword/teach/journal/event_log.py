"""The journal of a model's lessons, training/lessons.jsonl: one event a line.

Each line ends with a checksum: the SHA-256 of all lines before it and of its own content. So a
line that was damaged, taken out or put in between is found out by every line from there on. Lines
of version 0.1 have no checksum; the first line written since covers them. What only the weights
can tell, whether the last lines are missing, is checked in records.py.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import nextword
from nextword.common.files import append_line, disk_error, flush, sync_folder
from nextword.common.lesson_files_layout import TRAINING
from nextword.errors import LessonError
from nextword.teach.lesson import Lesson

EVENTS, LESSONS = "lessons.jsonl", "lessons"
FORMAT = 2  # of a line
FORMAT_0_1 = 1  # of version 0.1: without a checksum
CHECKSUM = re.compile(rb', "sha256": "([0-9a-f]{64})"}\n\Z')  # how a line ends
DTYPES = frozenset({"float32", "float16", "bfloat16", "float64"})
Sums = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line: a lesson that was kept, or lessons that were undone.

    Attributes:
        number: of the lesson; None for an undo, which has `numbers`.
        time: when, ISO 8601 with the zone.
        before, after: the sums of the weights' files.
        version_before, version_after: of the weights.
        dtypes: what the weights were kept in while it was taught: by name, "" for all others.
        change: its file in `lessons` and that file's SHA-256.
        original: of the first lesson of a chain: the sums of the files kept in `lessons/original`
            besides the weights, which `before` has. None in version 0.1.
        lesson: its report, `Lesson.as_json`.
        no_longer: what an undo took along.
    """

    event: Literal["kept", "undone"]
    number: int | None = None
    numbers: tuple[int, ...] = ()
    time: str
    before: Sums
    after: Sums
    version_before: str
    version_after: str
    dtypes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    change: Mapping[str, str] | None = None
    original: Sums | None = None
    lesson: Mapping[str, Any] | None = None
    no_longer: tuple[Mapping[str, Any], ...] | None = None

    def append_to(self, folder: Path) -> None:
        """Write it to a model's folder, through to the disk.

        Raises:
            RunError: the disk is full or may not be written; no half line is left.
        """
        path = events_file(folder)
        values = {"format": FORMAT, **dataclasses.asdict(self), "nextword": nextword.__version__}
        content = json.dumps(values, ensure_ascii=False).encode("utf-8")
        try:
            earlier = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise disk_error(path, error) from error
        digest = hashlib.sha256(earlier + content).hexdigest()
        append_line(path, content[:-1] + f', "sha256": "{digest}"}}\n'.encode())
        flush(path)
        if not earlier:
            sync_folder(path.parent)


@dataclass(frozen=True)
class Journal:
    """The lines of a journal, verified.

    Attributes:
        events: one of each line.
        lines: the same as bytes.
        torn: what stands after the last whole line: a line whose writing broke off, or was cut.
    """

    events: tuple[Event, ...]
    lines: tuple[bytes, ...]
    torn: bytes


def events_file(folder: Path) -> Path:
    """Return the journal of a model's folder."""
    return folder / TRAINING / EVENTS


def change_name(number: int) -> str:
    """Return the name of the file with the change of a lesson."""
    return f"{number:05d}.safetensors"


def read_journal(folder: Path) -> Journal:
    """Read and verify a journal; one that is not there is empty.

    Raises:
        LessonError: a line is damaged or missing; or the file cannot be read.
    """
    path = events_file(folder)
    try:
        *whole, torn = path.read_bytes().split(b"\n") if path.exists() else [b""]
    except OSError as error:
        raise LessonError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = tuple(line + b"\n" for line in whole)
    return Journal(tuple(_events(folder, lines)), lines, torn)


def damaged_journal(folder: Path, why: str) -> LessonError:
    """Return the error for a journal that cannot be followed, with what to do."""
    return LessonError(
        f"{events_file(folder)}{why}. Nothing was changed. Put the file back from a copy; or move "
        f"it and the folder {LESSONS} beside it away: then the weights stay as they are, and "
        "nothing can be undone"
    )


def _events(folder: Path, lines: tuple[bytes, ...]) -> Iterator[Event]:
    """Yield the event of each line, after comparing its checksum."""
    digest, checked = hashlib.sha256(), False
    for number, line in enumerate(lines, start=1):
        try:
            form = _check(line, digest, checked=checked)
            yield _event(json.loads(line), form)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            why = f", line {number} is no event of this Nextword's lessons ({error})"
            raise damaged_journal(folder, why) from error
        checked = checked or form == FORMAT
        digest.update(line)


def _check(line: bytes, earlier: "hashlib._Hash", *, checked: bool) -> int:
    """Return the format of a line whose checksum is right, or that is too old to have one.

    Args:
        line: with its end.
        earlier: the SHA-256 of all lines before it.
        checked: whether one of them has a checksum; then it must have one, too.

    Raises:
        ValueError: its checksum is not right, or its format is another.
    """
    values = json.loads(line)
    form = values["format"]
    if form == FORMAT_0_1 and type(form) is int and not checked and "sha256" not in values:
        return FORMAT_0_1
    if form != FORMAT or type(form) is not int:
        raise ValueError("its format is another")
    found = CHECKSUM.search(line)
    digest = earlier.copy()
    digest.update(line[: found.start()] + b"}" if found else b"")
    if found is None or digest.hexdigest() != found[1].decode():
        raise ValueError("its checksum does not fit it and the lines before it")
    return FORMAT


def _event(values: dict[str, Any], form: int) -> Event:
    """Return the event of a line.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is none.
    """
    for name in ("format", "nextword"):
        del values[name]
    values.pop("sha256", None)
    values["numbers"] = tuple(values["numbers"])
    if values["no_longer"] is not None:
        values["no_longer"] = tuple(values["no_longer"])
    event = Event(**values)
    if event.event not in ("kept", "undone"):
        raise ValueError(f"the event is {event.event!r}")
    if not all(type(number) is int for number in event.numbers):
        raise TypeError("the number of a lesson is none")
    datetime.fromisoformat(event.time)
    _check_sums(event)
    if event.event == "kept":
        _check_kept(event)
    elif event.number is not None or not event.numbers:
        raise ValueError("it undoes no lesson")
    if form == FORMAT_0_1 and event.lesson is not None:
        Lesson.from_json(event.lesson)  # without a checksum, its form at least
    return event


def _check_sums(event: Event) -> None:
    for sums in (event.before, event.after, event.original or {}):
        if not all(isinstance(digest, str) for digest in sums.values()):
            raise TypeError("a checksum is no text")


def _check_kept(event: Event) -> None:
    """Check that a lesson, its number and its file belong together.

    Raises:
        TypeError, KeyError, ValueError: they do not.
    """
    assert event.event == "kept"
    if type(event.number) is not int or event.number < 1 or event.numbers:
        raise ValueError(f"the number of its lesson is {event.number!r}")
    if event.change is None or event.change["file"] != change_name(event.number):
        raise ValueError(f"its change is not that of lesson {event.number}")
    if not isinstance(event.change["sha256"], str):
        raise TypeError("the checksum of its change is no text")
    if event.lesson is None or event.lesson["number"] != event.number:
        raise ValueError(f"its report is not that of lesson {event.number}")
    if not set(event.dtypes.values()) <= DTYPES or (event.dtypes and "" not in event.dtypes):
        raise ValueError("it names weights of an unknown type")
