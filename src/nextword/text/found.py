"""From what a person gave (a path, a folder, `-`, a bundled name) to recognised files."""

import difflib
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import IO

from nextword.errors import DataError, unknown
from nextword.files import disk_error
from nextword.text.recognise import BinaryFileError, EmptyFileError, File, recognise

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
    copy: "Copy | None" = None  # of a stream; has to be kept as long as it is read


class Copy:
    """A temporary file that is deleted together with this object, or at exit."""

    def __init__(self, stream: IO[bytes]) -> None:
        descriptor, name = tempfile.mkstemp(prefix="nextword-", suffix=".stream")
        self.path = Path(name)
        weakref.finalize(self, self.path.unlink, missing_ok=True)
        try:
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
        except OSError as error:
            raise disk_error(self.path, error) from error


def find_files(given: str | Path, *, leave_out: Path | None = None) -> Found:
    """The recognised files under one given path.

    Args:
        given: a file, a folder, `-` for standard input, or the name of bundled data.
        leave_out: a folder whose files are no data, and are left out of a folder that holds it.

    Raises:
        DataError: nothing is there (with the nearest name), or it holds no text.
    """
    name = str(given)
    if name == "-":
        return _from_stream(sys.stdin.buffer, name="standard input")
    if name.startswith("nextword:"):
        return _bundled(name)
    path = Path(given)
    if path.is_dir():
        return _folder(path, leave_out)
    if path.is_file():
        return Found(path.name, [recognise(path, name=path.name)])
    if path.exists():  # a pipe, e.g. a shell's <(…), whose number means nothing
        with path.open("rb") as stream:
            return _from_stream(stream, name="stream")
    raise DataError(f"{path} does not exist; give a file or a folder.{_nearest(path)}")


def _bundled(name: str) -> Found:
    if name not in BUNDLED_FILES:
        raise DataError(unknown("bundled data", name, BUNDLED_FILES))
    path = Path(str(resources.files("nextword") / "data" / BUNDLED_FILES[name]))
    return Found(name, [recognise(path, name=name)])


def _folder(folder: Path, leave_out: Path | None) -> Found:
    """The files of a folder that hold text, sorted by their path within it."""
    title = folder.resolve().name or str(folder)
    found = Found(f"{title}/", [])
    models: list[Path] = []
    files = list(_visible(folder, leave_out, models))
    found.models.extend(sorted(f"{title}/{_within(folder, path)}/" for path in models))
    for path in sorted(files, key=lambda path: _within(folder, path)):
        name = f"{title}/{_within(folder, path)}"
        try:
            found.files.append(recognise(path, name=name))
        except (BinaryFileError, EmptyFileError):
            found.left_out.append(name)
    if not found.files:
        n_out = len(found.left_out)
        what = f"holds {n_out} files but no text" if n_out else "is an empty folder"
        raise DataError(f"{folder} {what}; give one with text, JSON Lines, CSV or Parquet files")
    return found


def _within(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _visible(folder: Path, leave_out: Path | None, models: list[Path]) -> Iterator[Path]:
    """All regular files below a folder, without the hidden ones; links to folders are not taken.

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
            if not name.startswith(".") and path.is_file():
                yield path


def _holds_a_model(folder: Path, names: list[str], folders: list[str]) -> bool:
    """Whether a folder is a model's, or that of a run that will leave one."""
    weights = any(name.endswith(".safetensors") for name in names)
    begun = "training" in folders and (folder / "training" / "settings.json").is_file()
    return begun or (weights and "config.json" in names)


def _from_stream(stream: IO[bytes], *, name: str) -> Found:
    """Copy a stream to a temporary file, so that it can be read twice, and recognise it."""
    copy = Copy(stream)
    return Found(name, [recognise(copy.path, name=name)], copy=copy)


def _nearest(path: Path) -> str:
    """A hint with the name beside `path` that is most like it."""
    folder = path.parent
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {str(folder / near[0])!r}?" if near else ""
