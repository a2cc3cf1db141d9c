"""From what a person gave (a path, a folder, `-`, a bundled name) to recognised files."""

import difflib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import IO

from nextword.data.records.file_format import BinaryFileError, EmptyFileError, File, recognise
from nextword.data.records.stdin_copy import Copy, open_pipe
from nextword.errors import DataError, unknown

BUNDLED_FILES = {
    "nextword:dialogues": "dialogues.jsonl",
    "nextword:phrasings": "phrasings.jsonl",
}


@dataclass(frozen=True)
class Found:
    """The files under one given path, at least one."""

    name: str
    files: list[File]
    left_out: list[str] = field(default_factory=list)  # names of files without text
    models: list[str] = field(default_factory=list)  # folders of models, left out whole
    refused: list[str] = field(default_factory=list)  # why a file that is text is left out
    copy: Copy | None = None  # of a stream; has to be kept as long as it is read


def find_files(
    given: str | Path,
    *,
    leave_out: Path | None = None,
    skip_bad: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Found:
    """The recognised files under one given path.

    Args:
        given: a file, a folder, `-` for standard input, or the name of bundled data.
        leave_out: a folder whose files are no data, and are left out of a folder that holds it.
        skip_bad: leave out of a folder what cannot be read, and say why.
        columns: known name → the column that stands for it.

    Raises:
        DataError: nothing is there (with the nearest name), or it holds no text.
    """
    name = str(given)
    if name == "-":
        return _from_stream(sys.stdin.buffer, name="standard input", columns=columns)
    if name.startswith("nextword:"):
        return _bundled(name)
    path = Path(given)
    shown = printable(path)
    try:
        if path.is_dir():
            return _folder(path, leave_out, skip_bad=skip_bad, columns=columns)
        if path.is_file():
            return Found(
                printable(path.name), [recognise(path, name=printable(path.name), columns=columns)]
            )
        if path.is_fifo():  # a shell's <(…), say, whose number means nothing
            with open_pipe(path, name=shown) as stream:
                return _from_stream(stream, name="stream", columns=columns)
        if path.exists():
            raise DataError(
                f"{shown} is a device or a socket; give a file, a folder, or - for standard input"
            )
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{shown} cannot be read: {error}") from error
    if path.is_symlink():
        raise DataError(f"{shown} is a link to {_target(path)}, which is not there; mend the link")
    raise DataError(f"{shown} does not exist; give a file or a folder.{_nearest(path)}")


def printable(path: str | Path) -> str:
    """Return a path as text that can be printed and stored, whatever bytes its name has."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _target(link: Path) -> str:
    try:
        return printable(link.readlink())
    except OSError:
        return "something unknown"


def _bundled(name: str) -> Found:
    if name not in BUNDLED_FILES:
        raise DataError(unknown("bundled data", name, BUNDLED_FILES))
    path = Path(str(resources.files("nextword") / "data" / "bundled" / BUNDLED_FILES[name]))
    return Found(name, [recognise(path, name=name)])


def _folder(
    folder: Path,
    leave_out: Path | None,
    *,
    skip_bad: bool,
    columns: Mapping[str, str] | None,
) -> Found:
    """The files of a folder that hold text, sorted by their path within it."""
    title = printable(folder.resolve().name or folder)
    found = Found(f"{title}/", [])
    models: list[Path] = []
    files = list(_visible(folder, leave_out, models))
    found.models.extend(sorted(f"{title}/{_within(folder, path)}/" for path in models))
    for path in sorted(files, key=lambda path: _within(folder, path)):
        name = f"{title}/{_within(folder, path)}"
        if _dangles(path):
            found.refused.append(
                f"{name} is a link to {_target(path)}, which is not there; mend or remove the link"
            )
            continue
        try:
            found.files.append(recognise(path, name=name, columns=columns))
        except (BinaryFileError, EmptyFileError):
            found.left_out.append(name)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error}. --skip-bad leaves it out") from error
            found.refused.append(str(error))
    if not found.files:
        raise DataError(_no_files(folder, found))
    return found


def _no_files(folder: Path, found: Found) -> str:
    n_out = len(found.left_out) + len(found.refused)
    what = f"holds {n_out} files but no text" if n_out else "is an empty folder"
    why = f" ({found.refused[0]})" if found.refused else ""
    return f"{printable(folder)} {what}{why}; give one with text, JSON Lines, CSV or Parquet files"


def _within(folder: Path, path: Path) -> str:
    return printable(path.relative_to(folder).as_posix())


def _visible(folder: Path, leave_out: Path | None, models: list[Path]) -> Iterator[Path]:
    """All files and dangling links below a folder, without the hidden ones and links to folders.

    Args:
        folder: the folder.
        leave_out: a folder below it that is passed over.
        models: gets the folders below it that are passed over, this one and those of models.
    """
    passed = None if leave_out is None else leave_out.resolve()
    for place, folders, names in os.walk(folder):
        here = Path(place)
        if here != folder and (here.resolve() == passed or _holds_a_model(here, names, folders)):
            models.append(here)
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = here / name
            if not name.startswith(".") and (path.is_file() or _dangles(path)):
                yield path


def _dangles(path: Path) -> bool:
    """Whether a path is a link to nothing; pipes, sockets and devices are passed over."""
    return path.is_symlink() and not path.exists()


def _holds_a_model(folder: Path, names: list[str], folders: list[str]) -> bool:
    """Whether a folder is a model's, or that of a run that will leave one."""
    weights = any(name.endswith(".safetensors") for name in names)
    begun = "training" in folders and (folder / "training" / "settings.json").is_file()
    return begun or (weights and "config.json" in names)


def _from_stream(
    stream: IO[bytes], *, name: str, columns: Mapping[str, str] | None = None
) -> Found:
    """Copy a stream to a temporary file, so that it can be read twice, and recognise it."""
    copy = Copy(stream, name=name)
    return Found(name, [recognise(copy.path, name=name, columns=columns)], copy=copy)


def _nearest(path: Path) -> str:
    """A hint with the name beside `path` that is most like it."""
    folder = path.parent
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {printable(folder / near[0])!r}?" if near else ""
