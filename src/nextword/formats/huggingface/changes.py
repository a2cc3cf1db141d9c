"""What differs in a folder from its SHA256SUMS, and SHA256SUMS written anew on request."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nextword.common.atomic_dir import settled
from nextword.common.files import read_json, sha256_file
from nextword.common.folder_layout import INDEX, SMALL_FILES
from nextword.common.lesson_files_layout import TRAINING
from nextword.errors import FolderError
from nextword.formats.huggingface.checksums import (
    has_sums,
    read_sums,
    small_files,
    sum_of,
    write_sums,
)
from nextword.formats.huggingface.diagnosis import check_folder
from nextword.formats.huggingface.replace_weights import finish_rewriting
from nextword.formats.huggingface.weights import weight_files

State = Literal["unchanged", "changed", "missing", "not listed"]
COPIES = (Path(TRAINING, "lessons", "original"), Path(TRAINING, "tokenizer"))  # of a folder's files
SHOWN_KEYS = 20
SHOWN = 60  # characters of a value
ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class FileState:
    """One file that a model depends on.

    Attributes:
        name: in the folder.
        state: beside what SHA256SUMS says of it.
        keys: of a changed JSON file, `key: before → after`; None where no copy of the file as it
            was saved is left to compare with.
    """

    name: str
    state: State
    keys: tuple[str, ...] | None = None

    @property
    def listed(self) -> bool:
        """Return whether SHA256SUMS has a line for it."""
        return self.state != "not listed"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A folder beside its SHA256SUMS.

    Attributes:
        files: all that the model depends on.
        damage: why SHA256SUMS cannot be read, where it cannot; None: it can, or is not there.
        listed: whether there is a SHA256SUMS at all.
    """

    files: tuple[FileState, ...]
    damage: str | None
    listed: bool

    @property
    def differing(self) -> tuple[FileState, ...]:
        """Return the files for which the model is refused.

        None where there is no SHA256SUMS; and small files that version 0.1 did not list are none.
        """
        if not self.listed:
            return ()
        all_listed = any(file.name in SMALL_FILES and file.listed for file in self.files)
        return tuple(
            file
            for file in self.files
            if file.state in ("changed", "missing")
            or (file.state == "not listed" and (all_listed or file.name not in SMALL_FILES))
        )

    @property
    def complete(self) -> bool:
        """Return whether SHA256SUMS lists every file as it is."""
        return self.damage is None and all(file.state == "unchanged" for file in self.files)


def compare(folder: Path) -> Comparison:
    """Compare a model's folder with its SHA256SUMS.

    Raises:
        FolderError: it is no model, or a file cannot be read.
    """
    root = settled(folder)
    check_folder(folder, root)
    damage, sums = None, {}
    try:
        sums = read_sums(root)
    except FolderError as error:
        damage = str(error)
    there = small_files(root)
    gone = [name for name in SMALL_FILES if name in sums and name not in there]
    files = [
        *(_state(folder, root, name, sum_of(root / name), sums.get(name)) for name in there),
        *(FileState(name=name, state="missing") for name in gone),
        *(
            _state(folder, root, path.name, sha256_file(path), sums.get(path.name))
            for path in weight_files(root)
        ),
    ]
    return Comparison(files=tuple(files), damage=damage, listed=has_sums(root))


def accept_changes(folder: Path) -> None:
    """Write SHA256SUMS anew for the files as they are; only for who holds the folder.

    Raises:
        FolderError: it is no model, or a file cannot be read.
        RunError: it cannot be written.
    """
    check_folder(folder, settled(folder))
    finish_rewriting(folder)
    write_sums(folder, {path.name: sha256_file(path) for path in weight_files(folder)})


def _state(folder: Path, root: Path, name: str, digest: str, listed: str | None) -> FileState:
    if listed is None:
        return FileState(name=name, state="not listed")
    if digest == listed:
        return FileState(name=name, state="unchanged")
    keys = _changed_keys(folder, root, name, listed) if name.endswith(".json") else None
    return FileState(name=name, state="changed", keys=keys)


def _changed_keys(folder: Path, root: Path, name: str, listed: str) -> tuple[str, ...] | None:
    """Return what differs from a copy of the file as it was saved; None where there is none."""
    for copies in COPIES:
        copy = folder / copies / name
        if name == INDEX or not copy.is_file():
            continue
        with contextlib.suppress(FolderError):
            if sum_of(copy) == listed:
                found = list(_differences("", read_json(copy), read_json(root / name)))
                more = [f"and {len(found) - SHOWN_KEYS} more"] if len(found) > SHOWN_KEYS else []
                return (*found[:SHOWN_KEYS], *more)
    return None


def _differences(key: str, before: Any, after: Any) -> Iterator[str]:
    """Yield `key: before → after` of every value that differs."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            path = f"{key}.{name}" if key else str(name)
            yield from _differences(path, before.get(name, ABSENT), after.get(name, ABSENT))
    elif json.dumps(_plain(before)) != json.dumps(_plain(after)):
        yield f"{key or 'the whole'}: {_told(before)} → {_told(after)}"


def _plain(value: Any) -> Any:
    return ["absent"] if value is ABSENT else {"value": value}


def _told(value: Any) -> str:
    text = "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
