"""`nextword doctor FOLDER`: which files of a model differ from its checksums."""

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nextword.cli.shared.command import echo_json

if TYPE_CHECKING:
    from nextword.formats.huggingface.changes import Comparison


def check_model(folder: Path, *, accept: bool, as_json: bool) -> int:
    """Print what differs in a folder, and with `accept` write its checksums anew.

    Returns:
        The exit code: 1 where a file differs and that was not accepted.
    """
    from nextword.common.atomic_dir import settled
    from nextword.common.folder_lock import hold
    from nextword.formats.huggingface.changes import accept_changes, compare
    from nextword.formats.huggingface.diagnosis import check_folder

    check_folder(folder, settled(folder))  # before anything is written there
    with hold(folder, what="checking") if accept else contextlib.nullcontext():
        found = compare(folder)
        written = accept and not found.complete
        if written:
            accept_changes(folder)
    if as_json:
        echo_json(
            {
                "folder": folder,
                "checksums": found.listed,
                "damage": found.damage,
                "files": found.files,
                "written": written,
            }
        )
    else:
        _show(folder, found, written=written)
    return 1 if (found.differing or found.damage is not None) and not written else 0


def _show(folder: Path, found: "Comparison", *, written: bool) -> None:
    """Print the files, and what to do."""
    click.secho(str(folder), bold=True)
    width = max(len(file.name) for file in found.files)
    for file in found.files:
        click.echo(f"  {file.name:<{width}}  {file.state}")
        for key in file.keys or ():
            click.echo(f"    {key}")
    if found.damage is not None:
        click.echo(found.damage)
    click.echo(_verdict(folder, found, written=written))


def _verdict(folder: Path, found: "Comparison", *, written: bool) -> str:
    files, command = (
        len(found.files),
        f"nextword doctor {shlex.quote(str(folder))} --accept-changes",
    )
    if written:
        return f"SHA256SUMS was written anew: all {files} files count as they are now."
    if found.complete:
        return f"All {files} files are as SHA256SUMS says."
    if not found.listed:
        return f"There is no SHA256SUMS, so nothing was compared. To have one, run: {command}"
    if not found.differing and found.damage is None:
        return f"The weights are as SHA256SUMS says, which lists no others. To add these: {command}"
    count = len(found.differing)
    what = "1 file differs" if count == 1 else f"{count} files differ"
    return f"{what} from SHA256SUMS. If you changed that on purpose, run: {command}"
