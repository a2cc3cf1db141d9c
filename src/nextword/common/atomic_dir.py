"""A folder's files replaced together: whoever looks, and whenever it breaks off, old or new.

A folder that is not there yet is filled under another name and renamed. In one that is there, the
new files are gathered in `.saving`, which becomes `.saved` in one rename: from then on the new
content counts, and `settled` points at it, until every file is also in its place.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from nextword.common.files import disk_error, sync_folder

SAVING, SAVED = ".saving", ".saved"
Order = Callable[[str], int]


def settled(folder: Path) -> Path:
    """Where the content of `folder` is to be read: in `.saved` while that is being put in place."""
    saved = folder / SAVED
    return saved if saved.is_dir() else folder


@contextlib.contextmanager
def whole_folder(
    folder: Path,
    *,
    replaces: Callable[[str], bool],
    order: Order,
    before_rename: Callable[[], None] | None = None,
) -> Iterator[Path]:
    """An empty folder to fill; when the block ends well, its files are those of `folder`.

    Args:
        folder: it need not be there. Files in it that have other names are left alone.
        replaces: for a file's name, whether it belongs to the content: such a file goes if the
            new content does not have it.
        order: files with smaller numbers are put in place first.
        before_rename: called when the new content is whole on the disk and does not count yet.

    Raises:
        RunError: the disk is full or cannot be written; what was there before is untouched.
    """
    inside = folder.is_dir()
    try:
        if inside:
            finish(folder, replaces=replaces, order=order)
        staging = folder / SAVING if inside else folder.with_name(f".{folder.name}{SAVING}")
        _discard(staging)
        staging.mkdir(parents=True)
        try:
            yield staging
            sync_folder(staging)
            if before_rename is not None:
                before_rename()
        except BaseException:  # an interrupt too: what is half written is rubbish
            with contextlib.suppress(OSError):
                _discard(staging)
            raise
        if inside:
            staging.rename(folder / SAVED)
            finish(folder, replaces=replaces, order=order)
        else:
            staging.rename(folder)
            sync_folder(folder.parent)
    except OSError as error:
        raise disk_error(folder, error) from error


def finish(folder: Path, *, replaces: Callable[[str], bool], order: Order) -> None:
    """Put what `.saved` holds in its place. Done again after a crash, it does the same."""
    saved = folder / SAVED
    if not saved.is_dir():
        return
    sync_folder(folder)
    new = sorted((path.name for path in saved.iterdir()), key=order)
    for name in new:
        put(saved / name, folder / name)
    for path in list(folder.iterdir()):
        if path.name not in new and path.is_file() and replaces(path.name):
            path.unlink()
    sync_folder(folder)
    _discard(folder / SAVING)
    saved.rename(folder / SAVING)  # from here on it is rubbish, and `settled` no longer sees it
    _discard(folder / SAVING)


def put(source: Path, target: Path) -> None:
    """Make `target` the file `source`, which stays: a second name for it, or else a copy."""
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    if target.exists() and target.samefile(source):
        return  # a rename between two names of one file does nothing, and would leave `partial`
    try:
        os.link(source.resolve(), partial)  # of the file itself, where `source` points at one
    except OSError:  # a file system without second names
        shutil.copyfile(source, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    partial.replace(target)


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
