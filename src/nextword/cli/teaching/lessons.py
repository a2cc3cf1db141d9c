"""`nextword lessons`: what a model was taught since it was trained, and how to take it back."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nextword.cli.shared import drawing
from nextword.cli.shared.command import (
    command,
    console,
    echo_json,
    folder_argument,
    json_option,
    plain,
)
from nextword.cli.shared.numbers import Real, Whole
from nextword.cli.teaching.lesson_rows import Row, Rows, longest_of
from nextword.common.text_format import share
from nextword.errors import ConfigError, FolderError, TeachBusyError
from nextword.teach import lesson_text

if TYPE_CHECKING:
    from rich.console import Console

    from nextword.teach.journal.lesson_records import Kept
    from nextword.teach.journal.undo import Listing, NoLonger, Undone

wait_option = click.option(
    "--wait",
    type=Real(least=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long while another process teaches or trains this model.",
)


@command(
    "lessons",
    example="""
    nextword lessons models/mine
    nextword lessons models/mine --undo 7
    nextword lessons models/mine --undo-all
    """,
)
@folder_argument
@click.option(
    "--undo", "numbers", type=Whole(1), multiple=True, metavar="N", help="Undo this lesson."
)
@click.option("--undo-all", is_flag=True, help="Undo all: the weights from before the first.")
@wait_option
@json_option
def lessons(
    folder: Path, numbers: tuple[int, ...], undo_all: bool, wait: float, as_json: bool
) -> None:
    """List what the model in FOLDER was taught, and take it back.

    Undoing the last lesson gives back the very weights from before it. Undoing an earlier one
    applies the later ones again without it, and says which of their words are no longer right.
    --undo may be repeated.
    """
    if numbers and undo_all:
        raise ConfigError("--undo-all undoes every lesson; leave --undo out")
    from nextword.teach.journal.undo import list_lessons

    check_model(folder)
    undone = _undo(folder, numbers, wait=wait) if numbers or undo_all else None
    found = list_lessons(folder)
    if as_json:
        echo_json(as_mapping(folder, found, undone))
        return
    screen = console()
    if undone is None:
        show_listing(screen, folder, found)
    else:
        show_undone(screen, folder, undone)


def _undo(folder: Path, numbers: tuple[int, ...], *, wait: float) -> "Undone":
    from nextword.teach.journal.undo import undo

    with held(folder, wait=wait):
        return undo(folder, numbers or None, held=True)


@contextlib.contextmanager
def held(folder: Path, *, wait: float) -> Iterator[None]:
    """Hold a model's folder, so that nobody else teaches or trains it; says so if it must wait.

    Raises:
        FolderError: there is no model.
        TeachBusyError: somebody else holds it to the end of the wait.
    """
    from nextword.common.folder_lock import hold

    check_model(folder)  # beside what is none, not even a lock is written
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(folder, what="teaching"))
        except TeachBusyError as error:
            if wait <= 0:
                raise
            click.echo(f"note: {error}. Waiting for {wait:g} s at most …", err=True)
            stack.enter_context(hold(folder, what="teaching", wait=wait))
        yield


def check_model(folder: Path) -> None:
    """Refuse what is not the folder of a model, before anything is written there.

    Raises:
        FolderError: it is none.
    """
    from nextword.common.atomic_dir import settled

    if not (settled(folder) / "config.json").is_file():
        raise FolderError(f"{folder} is not the folder of a model: it has no config.json")


def as_mapping(folder: Path, found: "Listing", undone: "Undone | None") -> dict[str, Any]:
    """The lessons for programs, and what an undo did."""
    items = [{"status": status} | plain(kept) for status, kept in _all(found)]
    mapping = {
        "model": folder,
        "state": found.state,
        "original_version": found.original_version,
        "present_version": found.present_version,
        "lessons": items,
    }
    return mapping if undone is None else mapping | {"undone": plain(undone)}


def _all(found: "Listing") -> list[tuple[str, "Kept"]]:
    """Every lesson with its state, by number."""
    states = (("kept", found.active), ("absorbed", found.absorbed), ("undone", found.undone))
    pairs = [(state, kept) for state, lessons in states for kept in lessons]
    return sorted(pairs, key=lambda pair: pair[1].number)


def show_listing(screen: "Console", folder: Path, found: "Listing") -> None:
    """Print a row for each lesson, and what can be done."""
    from nextword.teach.lesson import Lesson

    made = [(state, kept, Lesson.from_json(kept.lesson)) for state, kept in _all(found)]
    if not made:
        drawing.tell(screen, f"No lesson is kept in {folder}. Teach it one with: nextword teach")
        return
    titles = [f"{_when(kept.time)}  {lesson_text.lesson_title(lesson)}" for _, kept, lesson in made]
    rows = Rows(longest=longest_of(titles), width=drawing.width_of(screen))
    for line in rows.heading():
        drawing.tell(screen, line, "bold")
    for (state, kept, lesson), title in zip(made, titles, strict=True):
        row = Row(number=kept.number, state=state, title=title, lesson=lesson)
        for line in rows.lines(row):
            drawing.tell(screen, line, "" if state == "kept" else "dim")
    for line in _remarks(folder, found):
        drawing.tell(screen, line)


def _when(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}"


def _remarks(folder: Path, found: "Listing") -> Iterator[str]:
    """What a person can do with the list."""
    yield ""
    if found.absorbed:
        yield (
            "Absorbed: the weights were trained or replaced after these lessons, so they are part "
            "of them now and cannot be undone."
        )
    if found.active:
        last = found.active[-1].number
        yield f"Undo one with: nextword lessons {folder} --undo {last}"


def show_undone(screen: "Console", folder: Path, undone: "Undone") -> None:
    """Print what is gone, which weights those are now, and what holds no longer."""
    noun = "lesson" if len(undone.numbers) == 1 else "lessons"
    gone = ", ".join(map(str, undone.numbers))
    left = lesson_text.number(undone.remaining, "lesson") if undone.remaining else "none"
    drawing.tell(screen, f"Undone: {noun} {gone}; {left} left in {folder}.", "bold")
    versions = f"version {undone.version_after}, before it {undone.version_before}"
    first = "" if undone.remaining else ", as before the first lesson"
    drawing.tell(screen, f"Weights: {versions}{first}.")
    for name, digest in sorted(undone.sums.items()):
        drawing.tell(screen, f"SHA-256 of {name}: {digest}")
    if undone.no_longer:
        words = lesson_text.number(len(undone.no_longer), "word")
        drawing.tell(screen, f"No longer right, {words} of the lessons that stay:", "yellow")
    for item in undone.no_longer:
        drawing.tell(screen, f"  {no_longer_told(item)}")


def no_longer_told(item: "NoLonger") -> str:
    """A word that an undo took along: `lesson 3, who ran? → a dog: “dog” 62 % → 31 % …`."""
    title = lesson_text.titled(item.prompt, item.reply)
    was, now = share(item.was), share(item.now)
    return (
        f"lesson {item.number}, {title}: {lesson_text.named(item.token)} at position "
        f"{item.position} "
        f"{was} → {now}, now says {lesson_text.named(item.now_predicted)}"
    )
