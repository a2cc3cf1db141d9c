"""Checks that the journal of lessons and the files beside it agree; else nothing is touched.

Weights that the last event did not leave were trained or replaced since; or else the journal lost
lines. The files beside it tell: a keep or an undo that was killed leaves the weights from before
it, and a kept lesson its change.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from nextword.common.atomic_dir import settled
from nextword.common.files import sha256_file
from nextword.common.lesson_files_layout import TRAINING
from nextword.errors import LessonError
from nextword.formats.huggingface.weights import weight_files
from nextword.teach.journal.event_log import LESSONS, Event, Sums, change_name, damaged_journal

ORIGINAL = "original"
ALIKE = 8  # sums that differ in at most one of so many digits were one


def check_neighbours(folder: Path, events: Sequence[Event], present: Sums) -> None:
    """Compare the sums in which each event should meet the one before it, and the weights.

    Where weights were replaced, sums have nothing in common. Where they are nearly the same, a
    digit was changed; lines without a checksum show it only so.

    Args:
        folder: the model's.
        events: all lines.
        present: the sums of the weights that are there.

    Raises:
        LessonError: names the line.
    """
    for line, event in enumerate(events, start=1):
        after = events[line].before if line < len(events) else present
        alike = any(_alike(event.after[name], after[name]) for name in event.after.keys() & after)
        renamed = event.after != after and sorted(event.after.values()) == sorted(after.values())
        if line < len(events) and event.after == after:
            alike = _alike(event.version_after, events[line].version_before)
        if alike or renamed:
            check_weights(folder, present)
            raise damaged_journal(
                folder,
                f", line {line} or what follows it is damaged: the weights after it should be "
                "those that come next, and differ in a few digits",
            )


def check_lost_lines(
    folder: Path,
    chain: Sequence[Event],
    present: Sums,
    *,
    torn: bool,
    active: Iterable[int],
    known: Collection[int],
) -> None:
    """Make sure that no line is missing at the end of a journal.

    Args:
        folder: the model's.
        chain: the events since the original weights.
        present: the sums of the weights that are there.
        torn: whether a torn line follows the events.
        active: the numbers of the lessons of the chain that were not undone.
        known: the numbers of all lessons that have a line.

    Raises:
        LessonError: a line is missing, or that cannot be told.
    """
    unknown = [int(path.stem) for path in unknown_changes(folder, known)]
    if chain and chain[-1].after == present:  # what is torn or unknown was never in the weights
        if any(number < max(known) for number in unknown):
            raise damaged_journal(folder, f" has lost the line of lesson {min(unknown)}")
        return
    begun = _sums_in(folder / TRAINING / LESSONS / ORIGINAL, present) == present
    if torn and not begun:
        raise damaged_journal(
            folder, " was cut: its last line is torn, and the weights are not those from before it"
        )
    if unknown and not begun:
        raise damaged_journal(
            folder, f" has lost lines: that of lesson {min(unknown)}, whose change is there"
        )
    if not chain:
        return
    place = folder / TRAINING / LESSONS
    for number in active:
        if not (place / change_name(number)).is_file():
            raise damaged_journal(
                folder,
                " does not fit the weights, and the change of lesson "
                f"{number} is gone: it lost the line of an undo, or {place} was changed",
            )
    check_weights(folder, present)


def unknown_changes(folder: Path, known: Collection[int]) -> list[Path]:
    """Return the changes of lessons that have no line, by number."""
    place = folder / TRAINING / LESSONS
    found = [path for path in place.glob("*.safetensors") if path.stem.isdecimal()]
    return sorted(
        path
        for path in found
        if path.name == change_name(int(path.stem)) and int(path.stem) not in known
    )


def check_weights(folder: Path, present: Sums) -> None:
    """Compare weights that no lesson left with the sums that SHA256SUMS has of them.

    Args:
        folder: the model's.
        present: what `sums_of` says of them.

    Raises:
        LessonError: names the file.
    """
    for path in weight_files(settled(folder)):
        if not path.is_file():
            raise LessonError(f"{path} is missing; put it back from a copy")
        if present.get(path.name) != _sum_of(path):
            raise LessonError(
                f"{path} is neither what the last lesson left nor what SHA256SUMS says, so one of "
                "the two files is damaged. Nothing was changed. Put them back from a copy; if the "
                f"weights were replaced on purpose, run nextword doctor {folder} --accept-changes"
            )


def _sums_in(place: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the sums of the files with these names that are in a folder."""
    return {name: _sum_of(place / name) for name in names if (place / name).is_file()}


def _sum_of(path: Path) -> str:
    """Return the SHA-256 of a file; read again only when it was changed."""
    found = path.stat()
    return _known_sum(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=64)
def _known_sum(path: Path, size: int, changed: int, inode: int) -> str:
    return sha256_file(path)


def _alike(one: str, other: str) -> bool:
    """Return whether two checksums are one of which a few digits were changed."""
    if len(one) != len(other):
        return False
    differing = sum(a != b for a, b in zip(one, other, strict=True))
    return 0 < differing <= len(one) // ALIKE
