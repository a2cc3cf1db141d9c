"""New weights for a model's folder whose other files stay: whole or not at all.

Everything that the folder is read from is gathered under second names, so that it is whole at any
moment (whole.py), and no file is ever written in place: other names of it keep the old content.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nextword.common.atomic_dir import finish, put, settled, whole_folder
from nextword.common.files import read_json, sha256_file, write_json, write_whole
from nextword.common.folder_layout import CARD, CONFIG, INDEX, SUMS
from nextword.formats.huggingface.checksums import (
    lists_small_files,
    make_sums,
    read_sums,
    write_sums,
)
from nextword.formats.huggingface.save_load import SHARD_BYTES, may_go, turn
from nextword.formats.huggingface.weights import weight_files, write_weights
from nextword.model.decoder import Decoder

Told = Callable[[dict[str, str]], None]
DTYPE_KEYS = ("dtype", "torch_dtype")  # of config.json


def sums_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file with weights: what SHA256SUMS says, or else worked out.

    Raises:
        FolderError: its index is damaged, or a file is missing.
    """
    root = settled(folder)
    known = read_sums(root)
    return {
        path.name: known.get(path.name) or sha256_file(path)
        for path in weight_files(root)
        if path.exists()
    }


def weights_and_config(folder: Path) -> list[Path]:
    """The files that a rewriting changes, where there are any: with them it can be taken back."""
    root = settled(folder)
    others = (root / name for name in (INDEX, SUMS, CONFIG))
    return [*weight_files(root), *(path for path in others if path.is_file())]


def finish_rewriting(folder: Path) -> None:
    """Put in place what a crash left between whole and in place."""
    finish(folder, replaces=may_go, order=turn)


def save_weights(
    folder: Path,
    decoder: Decoder,
    *,
    card: str | None,
    before_rename: Told | None = None,
    shard_bytes: int | None = None,
) -> dict[str, str]:
    """Put other weights in a model's folder; all its other files stay as they are.

    Args:
        folder: a model's.
        decoder: the weights, written in the dtype that it keeps; config.json names that one.
        card: the new text of README.md; None: as it is.
        before_rename: called with the sums when all is on the disk and does not count yet.
        shard_bytes: the most bytes of weights in one file; None: SHARD_BYTES.

    Returns:
        The SHA-256 of each file with weights, by name.

    Raises:
        RunError: the disk is full or cannot be written; the old weights are untouched.
    """
    sums: dict[str, str] = {}
    with _rewritten(folder, card, before_rename, sums) as staging:
        sums |= write_weights(staging, decoder, dtype=None, shard_bytes=shard_bytes or SHARD_BYTES)
        linked = _link_config(staging, folder, decoder)
        write_sums(
            staging, sums, known=_known(folder, changed={INDEX} if linked else {INDEX, CONFIG})
        )
    return sums


def restore_files(
    folder: Path, source: Path, *, card: str | None, before_rename: Told | None = None
) -> dict[str, str]:
    """Put back the files with weights, SHA256SUMS and config.json that `source` holds.

    Where its SHA256SUMS lists more than weights, it is written anew for the files that stay.

    Args and Raises as `save_weights`.
    """
    sums: dict[str, str] = {}
    with _rewritten(folder, card, before_rename, sums) as staging:
        _link(weights_and_config(source), staging)
        sums |= sums_of(source)
        listed = read_sums(source)
        if lists_small_files(listed):
            known = _known(folder, changed={INDEX, CONFIG})
            known |= {name: listed[name] for name in (INDEX, CONFIG) if name in listed}
            if make_sums(staging, sums, known=known) != listed:
                write_sums(staging, sums, known=known)
    return sums


def _known(folder: Path, *, changed: Collection[str]) -> dict[str, str]:
    """Return what SHA256SUMS says of the files that a rewriting does not change."""
    known = read_sums(settled(folder))
    return {name: digest for name, digest in known.items() if name not in changed}


@contextmanager
def _rewritten(
    folder: Path, card: str | None, before_rename: Told | None, sums: Mapping[str, str]
) -> Iterator[Path]:
    """A staging folder for weights and config.json; the folder's other files are in it already."""

    def whole() -> None:
        if before_rename is not None:
            before_rename(dict(sums))

    finish_rewriting(folder)
    changing = {path.name for path in weights_and_config(folder)} | ({CARD} if card else set())
    with whole_folder(folder, replaces=may_go, order=turn, before_rename=whole) as staging:
        _link((path for path in _model_files(folder) if path.name not in changing), staging)
        if card is not None:
            write_whole(staging / CARD, card)
        yield staging


def _model_files(folder: Path) -> list[Path]:
    """The visible files of a folder, but for those with weights that its model does not read."""
    read = {path.name for path in weights_and_config(folder)}
    return [
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and (path.name in read or not path.name.endswith(".safetensors"))
    ]


def _link(files: Iterable[Path], target: Path) -> None:
    for path in files:
        put(path, target / path.name)


def _link_config(staging: Path, folder: Path, decoder: Decoder) -> bool:
    """Put config.json in byte for byte, unless it names another dtype than the weights now have.

    Returns:
        Whether it is unchanged.
    """
    values: Any = read_json(folder / CONFIG)
    name = str(decoder.token_embedding.weight.dtype).removeprefix("torch.")
    stale = {key: name for key in DTYPE_KEYS if values.get(key, name) != name}
    if stale:
        write_json(staging / CONFIG, values | stale)
    else:
        _link([folder / CONFIG], staging)
    return not stale
