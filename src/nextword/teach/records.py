"""What was taught to a model's folder, event by event; and which of it its weights still hold.

    training/lessons.jsonl             one event a line: a lesson kept, or some undone
    training/lessons/00007.safetensors the change of lesson 7
    training/lessons/original/         the weights from before the first lesson of the chain

An event names the sums (SHA-256) of the weights before and after it. It is written before the
weights are put in place, and counts from the moment that they are: the last event, if the weights
are still those from before it, never happened. A chain is a run of events each of which begins
with the weights that the one before it left; what trained or replaced the weights ends it, and
from then on its lessons are *absorbed*: part of the weights, and no longer to be undone.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import nextword
from nextword.errors import LessonError
from nextword.files import append_line, flush, sweep, write_whole
from nextword.folder.rewrite import finish_rewriting, sums_of
from nextword.folder.taught import TRAINING

__all__ = ["Event", "Kept", "Records", "sums_of", "tidy"]

FORMAT = 1  # of an event
EVENTS, LESSONS, ORIGINAL = "lessons.jsonl", "lessons", "original"
State = Literal["none", "whole", "absorbed"]
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
    lesson: Mapping[str, Any] | None = None
    no_longer: tuple[Mapping[str, Any], ...] | None = None

    def append_to(self, folder: Path) -> None:
        """Write it to a model's folder, through to the disk.

        Raises:
            RunError: the disk is full or may not be written; no half line is left.
        """
        values = {"format": FORMAT, **dataclasses.asdict(self), "nextword": nextword.__version__}
        line = json.dumps(values, ensure_ascii=False) + "\n"
        path = events_file(folder)
        append_line(path, line.encode("utf-8"))
        flush(path)


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
        """What was taught to a model's folder. Nothing is changed, and no lock is needed.

        Raises:
            LessonError: a line of the events is damaged; a torn last one is none.
            FolderError: the folder's weights are not whole.
        """
        events, present = list(_events(folder)), sums_of(folder)
        pending = None
        if events and events[-1].after != present and events[-1].before == present:
            pending = events.pop()
        return cls(**_follow(events, present), pending=pending)

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


def events_file(folder: Path) -> Path:
    """Where the events of a model's folder are."""
    return folder / TRAINING / EVENTS


def lessons_folder(folder: Path) -> Path:
    """Where the changes of a model's lessons are."""
    return folder / TRAINING / LESSONS


def tidy(folder: Path) -> Records:
    """Finish or remove what a killed process left half done; only for who holds the folder.

    Raises:
        LessonError, FolderError: see `Records.read`.
        RunError: the folder may not be written.
    """
    finish_rewriting(folder)
    sweep(folder / TRAINING)
    records = Records.read(folder)
    whole = _whole_lines(folder)
    lines = whole[:-1] if records.pending is not None else whole
    path = events_file(folder)
    if path.exists() and path.read_bytes() != b"".join(lines):
        write_whole(path, b"".join(lines))
    wanted = {kept.change["file"] for kept in (*records.active, *records.absorbed)}
    place = lessons_folder(folder)
    for found in list(place.iterdir()) if place.is_dir() else ():
        if found.is_dir() and found.name.startswith("."):
            shutil.rmtree(found)
        elif found.is_file() and found.name not in wanted:
            found.unlink()
    return dataclasses.replace(records, pending=None)


def _whole_lines(folder: Path) -> list[bytes]:
    path = events_file(folder)
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith(b"\n")]


def _events(folder: Path) -> Iterator[Event]:
    for number, line in enumerate(_whole_lines(folder), start=1):
        try:
            yield _event(json.loads(line))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LessonError(
                f"{events_file(folder)}, line {number} is no event of this Nextword's lessons "
                f"({error}). Put the file back as it was; or move it and the folder {LESSONS} "
                "beside it away: then the weights stay as they are, and nothing can be undone"
            ) from error


def _event(values: dict[str, Any]) -> Event:
    if values.pop("format") != FORMAT:
        raise ValueError("its format is another")
    del values["nextword"]
    values["numbers"] = tuple(values["numbers"])
    if values["no_longer"] is not None:
        values["no_longer"] = tuple(values["no_longer"])
    return Event(**values)


def _follow(events: list[Event], present: Sums) -> dict[str, Any]:
    """Replay the events: what is active, absorbed and gone."""
    active: dict[int, Kept] = {}
    absorbed: list[Kept] = []
    gone: list[Kept] = []
    chain: list[Event] = []
    versions: dict[tuple[int, ...], str] = {}
    for event in events:
        if not chain or event.before != chain[-1].after:
            absorbed += active.values()
            active, chain, versions = {}, [], {(): event.version_before}
        chain.append(event)
        if event.number is not None:
            active[event.number] = _kept(event)
        gone += [active.pop(number) for number in event.numbers]
        versions[tuple(active)] = event.version_after
    state: State = "none" if not events else "whole"
    if chain and chain[-1].after != present:
        absorbed += active.values()
        active, chain, versions, state = {}, [], {}, "absorbed"
    return {
        "events": tuple(events),
        "present": present,
        "state": state,
        "active": tuple(active.values()),
        "absorbed": tuple(absorbed),
        "gone": tuple(gone),
        "chain": tuple(chain),
        "versions": versions,
    }


def _kept(event: Event) -> Kept:
    assert event.number is not None and event.change is not None and event.lesson is not None
    return Kept(event.number, event.time, event.change, event.lesson, event.dtypes)
