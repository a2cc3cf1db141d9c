"""What was taught to a model's folder, and which of it its weights still hold.

    training/lessons.jsonl             one event a line: a lesson kept, or some undone (journal.py)
    training/lessons/00007.safetensors the change of lesson 7
    training/lessons/original/         the weights from before the first lesson of the chain

Write-ahead log: an event names the sums (SHA-256) of the weights before and after it, and is
appended before the new weights are renamed into place. If the weights on disk still match the last
event's `before` sums, that event never happened; the same holds for a torn last line, as long as
the weights are those from before it. A chain is a run of events each of which begins with the
weights that the one before it left; what trained or replaced the weights ends it, and from then on
its lessons are *absorbed*: part of the weights, and no longer to be undone.

Weights that no event left can also mean that the journal lost its last lines. consistency.py tells
the two apart; where it cannot, nothing is read, and so nothing is deleted.
"""

import dataclasses
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from nextword.common.files import sweep, write_whole
from nextword.common.lesson_files_layout import TRAINING
from nextword.formats.huggingface.replace_weights import finish_rewriting, sums_of
from nextword.teach.journal.consistency import (
    ORIGINAL,
    check_lost_lines,
    check_neighbours,
    unknown_changes,
)
from nextword.teach.journal.event_log import (
    LESSONS,
    Event,
    Sums,
    change_name,
    damaged_journal,
    events_file,
    read_journal,
)

__all__ = [
    "ORIGINAL",
    "Event",
    "Kept",
    "Records",
    "Sums",
    "events_file",
    "lessons_folder",
    "sums_of",
    "tidy",
]

State = Literal["none", "whole", "absorbed"]
PARTIAL = re.compile(rf"\.(?:{ORIGINAL}|\d+\.safetensors)\.partial")


@dataclass(frozen=True)
class Kept:
    """A lesson that was kept.

    Attributes:
        change: its file and SHA-256.
        lesson: its report, as plain JSON.
        dtypes: see `Event`.
    """

    number: int
    time: str
    change: Mapping[str, str]
    lesson: Mapping[str, Any]
    dtypes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Records:
    """The events of a folder, and what follows from them.

    Attributes:
        events: all that happened, the earliest first.
        present: the sums of the weights that are there.
        state: "whole" where the weights are those that the last event left; "absorbed" where
            they were trained or replaced since.
        active, absorbed, gone: the lessons in the weights that can be undone, those that cannot,
            and those that were undone.
        chain: the events since the original weights.
        versions: of the weights with just these lessons of the chain, by their numbers.
        pending: an event that never happened, still in the file.
    """

    events: tuple[Event, ...]
    present: Sums
    state: State
    active: tuple[Kept, ...]
    absorbed: tuple[Kept, ...]
    gone: tuple[Kept, ...]
    chain: tuple[Event, ...]
    versions: Mapping[tuple[int, ...], str]
    pending: Event | None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what was taught to a model's folder. Nothing is changed, and no lock is needed.

        Raises:
            LessonError: the journal is damaged, or has lost lines; a last line that a killed
                process left torn is no damage.
            FolderError: the folder's weights are not whole.
        """
        present = sums_of(folder)  # before the journal, which is written before the weights
        journal = read_journal(folder)
        events, pending = list(journal.events), None
        check_neighbours(folder, events, present)
        last = events[-1] if events else None
        if last and not journal.torn and last.after != present and last.before == present:
            pending = events.pop()
        chain = _Chain(folder)
        for line, event in enumerate(events, start=1):
            chain.add(event, line)
        check_lost_lines(
            folder,
            chain.events,
            present,
            torn=bool(journal.torn),
            active=chain.active,
            known=[event.number for event in journal.events if event.number is not None],
        )
        state: State = "none" if not events else "whole"
        if chain.events and chain.events[-1].after != present:
            chain.end()
            state = "absorbed"
        return cls(
            events=tuple(events),
            present=present,
            state=state,
            active=tuple(chain.active.values()),
            absorbed=tuple(chain.absorbed),
            gone=tuple(chain.gone),
            chain=tuple(chain.events),
            versions=chain.versions,
            pending=pending,
        )

    @property
    def undone(self) -> tuple[int, ...]:
        """The numbers of the lessons that were undone."""
        return tuple(kept.number for kept in self.gone)

    @property
    def next_number(self) -> int:
        """One that no lesson has had."""
        numbers = [event.number or 0 for event in (*self.events, self.pending) if event]
        return max(numbers, default=0) + 1

    @property
    def original_version(self) -> str | None:
        """Of the weights before the first lesson of the chain."""
        return self.chain[0].version_before if self.chain else None

    @property
    def present_version(self) -> str | None:
        """Of the weights that are there; None where only reading them would tell."""
        return self.events[-1].version_after if self.state == "whole" else None


class _Chain:
    """The chain as it is after the events that were added, and what was before it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.events: list[Event] = []
        self.active: dict[int, Kept] = {}
        self.absorbed: list[Kept] = []
        self.gone: list[Kept] = []
        self.versions: dict[tuple[int, ...], str] = {}

    def add(self, event: Event, line: int) -> None:
        """Follow one more event; LessonError where it cannot have come after those before it."""
        if not self.events or event.before != self.events[-1].after:
            self.end()
            self.versions = {(): event.version_before}
        self.events.append(event)
        if event.number is not None:
            if event.number <= self._last_number:
                raise damaged_journal(self._folder, f", line {line} has a number that was before")
            self.active[event.number] = _kept(event)
        for number in event.numbers:
            if number not in self.active:
                raise damaged_journal(
                    self._folder, f", line {line} undoes lesson {number}, which was not there"
                )
            self.gone.append(self.active.pop(number))
        self.versions[tuple(self.active)] = event.version_after

    def end(self) -> None:
        """End the chain: its lessons are part of the weights."""
        self.absorbed += self.active.values()
        self.events, self.active, self.versions = [], {}, {}

    @property
    def _last_number(self) -> int:
        kept = (*self.active.values(), *self.absorbed, *self.gone)
        return max((item.number for item in kept), default=0)


def _kept(event: Event) -> Kept:
    assert event.number is not None and event.change is not None and event.lesson is not None
    return Kept(event.number, event.time, event.change, event.lesson, event.dtypes)


def lessons_folder(folder: Path) -> Path:
    """Return the folder with the changes of a model's lessons."""
    return folder / TRAINING / LESSONS


def tidy(folder: Path) -> Records:
    """Finish or remove what a killed process left half done; only for who holds the folder.

    Removed is only what a verified journal shows to be left over: see `_leftovers`.

    Raises:
        LessonError, FolderError: see `Records.read`.
        RunError: the folder may not be written.
    """
    finish_rewriting(folder)
    sweep(folder / TRAINING)
    records = Records.read(folder)
    path, lines = events_file(folder), read_journal(folder).lines
    content = b"".join(lines[: len(records.events)])
    if path.exists() and path.read_bytes() != content:
        write_whole(path, content)
    for left in list(_leftovers(folder, records)):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    return dataclasses.replace(records, pending=None)


def _leftovers(folder: Path, records: Records) -> Iterator[Path]:
    """Find what no undo can need.

    What was only half written; the change of a lesson that was never kept; and the changes of the
    lessons that the very last event undid, if those that remain are there.
    """
    place = lessons_folder(folder)
    for found in place.iterdir() if place.is_dir() else ():
        if PARTIAL.fullmatch(found.name):
            yield found
    known = {event.number for event in records.events if event.number is not None}
    yield from unknown_changes(folder, known)
    undone = records.events[-1].numbers if records.events else ()
    if all((place / kept.change["file"]).is_file() for kept in records.active):
        files = (place / change_name(number) for number in undone)
        yield from (path for path in files if path.is_file())
