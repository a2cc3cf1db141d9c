"""The weights from before the first lesson, training/lessons/original: kept, verified, read."""

import shutil
from pathlib import Path
from typing import Any

import torch

from nextword.common.atomic_dir import put
from nextword.common.files import flush, read_json, sha256_file, sync_folder
from nextword.common.folder_layout import SUMS
from nextword.errors import FolderError, LessonError
from nextword.formats.huggingface.families import config_from_json
from nextword.formats.huggingface.replace_weights import DTYPE_KEYS, sums_of, weights_and_config
from nextword.formats.huggingface.save_load import CONFIG
from nextword.formats.huggingface.weights import read_decoder, weight_files
from nextword.model.decoder import Decoder
from nextword.teach.journal.event_log import DTYPES, Event
from nextword.teach.journal.lesson_records import ORIGINAL, lessons_folder


def keep_original(folder: Path) -> dict[str, str]:
    """Keep the weights as they are now, under second names; those of an earlier chain go.

    Returns:
        The SHA-256 of each file besides the weights, by name.
    """
    original = lessons_folder(folder) / ORIGINAL
    partial = original.with_name(f".{ORIGINAL}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    for path in weights_and_config(folder):
        put(path, partial / path.name)
        flush(partial / path.name)  # an imported file may never have been pushed to the disk
    sync_folder(partial)
    if original.exists():
        shutil.rmtree(original)
    partial.rename(original)
    sync_folder(original.parent)
    weights = {path.name for path in weight_files(original)}
    others = (path for path in original.iterdir() if path.name not in weights)
    return {path.name: sha256_file(path) for path in sorted(others)}


def check_original(folder: Path, first: Event, *, weights: bool = True) -> None:
    """Make sure that the original files are what they were when they were kept.

    Args:
        folder: the model's.
        first: the first event of the chain.
        weights: whether to read the weights, too; else only the small files beside them.

    Raises:
        LessonError: names the file that is damaged or missing.
    """
    sums = dict(first.original or {}) | (dict(first.before) if weights else {})
    for name, digest in sums.items():
        path = lessons_folder(folder) / ORIGINAL / name
        if not path.is_file() or sha256_file(path) != digest:
            raise _damaged(path)
    if first.original is None:
        _check_without_sums(folder, first)


def original_decoder(folder: Path, first: Event) -> Decoder:
    """Read the weights from before the first lesson of the chain, verified, on the CPU.

    Args and Raises as `check_original`.
    """
    check_original(folder, first, weights=False)
    original = lessons_folder(folder) / ORIGINAL
    try:
        family, config = config_from_json(read_json(original / CONFIG))
        files, cpu = weight_files(original), torch.device("cpu")
        decoder = read_decoder(config, family, files, sums=first.before, dtype=None, device=cpu)
    except FolderError as error:
        raise _damaged(original) from error
    return decoder.eval()


def _check_without_sums(folder: Path, first: Event) -> None:
    """Compare the small files of a chain that version 0.1 began with what they must agree with.

    config.json is that of the folder, as a lesson changes only the names of the weights' types in
    it. SHA256SUMS names the weights, whose sums the journal has, too; a folder that Nextword wrote
    has one.
    """
    original = lessons_folder(folder) / ORIGINAL
    try:
        if sums_of(original) != first.before:
            raise _damaged(original / SUMS)
        values = [read_json(place / CONFIG) for place in (original, folder)]
        names = [_without_types(item) for item in values]
    except FolderError as error:
        raise _damaged(original) from error
    if names[0] is None or names[0] != names[1]:
        raise _damaged(original / CONFIG)
    if "nextword" in names[0] and not (original / SUMS).is_file():
        raise _damaged(original / SUMS)


def _without_types(config: Any) -> dict[str, Any] | None:
    """Return a configuration without the names of the weights' types; None for none."""
    if not isinstance(config, dict):
        return None
    if not {config.get(key) for key in DTYPE_KEYS} <= DTYPES | {None}:
        return None
    return {key: value for key, value in config.items() if key not in DTYPE_KEYS}


def _damaged(path: Path) -> LessonError:
    return LessonError(
        f"{path} is damaged or missing, so no lesson can be undone; nothing was changed. "
        "Put it back from a copy: it is from before the first lesson"
    )
