"""A lesson written to its model's folder: the change, the event, the new weights; in this order.

Whenever it breaks off, the folder holds the old weights or the new ones, whole, and the events
agree with them (records.py).
"""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path

from torch import Tensor

from nextword.common.files import disk_error, read_json, sync_folder
from nextword.common.folder_lock import hold
from nextword.common.lesson_files_layout import with_lessons
from nextword.errors import LessonError
from nextword.formats.huggingface.replace_weights import save_weights
from nextword.formats.huggingface.safetensors_io import ToWrite, write_tensors
from nextword.formats.huggingface.save_load import CARD, CONFIG, load_model
from nextword.model.decoder import Decoder
from nextword.model.fingerprint import version_of
from nextword.teach.edit.weight_delta import Change
from nextword.teach.journal.consistency import check_weights
from nextword.teach.journal.event_log import Event, Sums, change_name
from nextword.teach.journal.lesson_records import Records, lessons_folder, tidy
from nextword.teach.journal.original_weights import keep_original
from nextword.teach.lesson import Lesson


def keep(
    folder: Path,
    lesson: Lesson,
    change: Change,
    decoder: Decoder,
    *,
    wait: float = 0.0,
    held: bool = False,
) -> int:
    """Write a lesson and the weights that it led to.

    Args:
        folder: the model's.
        lesson: one that was learned.
        change: what it did to the weights.
        decoder: the weights after it.
        wait: seconds to wait for somebody who teaches or trains there.
        held: the caller holds the folder already.

    Returns:
        The lesson's number.

    Raises:
        LessonError: it was not learned, or began with other weights than the folder's.
        TeachBusyError: somebody else holds the folder.
        RunError: the disk is full or may not be written; the folder is as it was.
    """
    if not lesson.learned or not change.names:
        raise LessonError(f"there is nothing to keep: {lesson.why}")
    with holding(folder, wait=wait, held=held):
        records = tidy(folder)
        _check_versions(folder, records, lesson, decoder)
        if records.state != "whole":  # a new chain, whose events all rest on these sums
            check_weights(folder, records.present)
        number = records.next_number
        try:
            original = keep_original(folder) if records.state != "whole" else None
            file = change_name(number)
            digest = _write_change(lessons_folder(folder) / file, change)
        except OSError as error:
            raise disk_error(folder, error) from error

        def kept(after: Sums) -> None:
            Event(
                event="kept",
                number=number,
                time=now(),
                before=records.present,
                after=after,
                version_before=lesson.version_before,
                version_after=lesson.version_after,
                dtypes=dtypes_of(decoder),
                change={"file": file, "sha256": digest},
                original=original,
                lesson=lesson.as_json() | {"number": number},
            ).append_to(folder)

        card = card_with(folder, len(records.active) + 1)
        save_weights(folder, decoder, card=card, before_rename=kept)
    return number


def holding(folder: Path, *, wait: float, held: bool) -> AbstractContextManager[None]:
    """The lock for teaching, or nothing where the caller has it."""
    return nullcontext() if held else hold(folder, what="teaching", wait=wait)


def now() -> str:
    """The time of an event."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def dtypes_of(decoder: Decoder) -> dict[str, str]:
    """In what the weights are kept, by name; "" stands for all that are not named."""
    most = decoder.token_embedding.weight.dtype
    named = {"": most} | {
        name: weight.dtype for name, weight in decoder.named_parameters() if weight.dtype != most
    }
    return {name: str(dtype).removeprefix("torch.") for name, dtype in named.items()}


def card_with(folder: Path, n: int) -> str | None:
    """The folder's model card with so many lessons; None where it is not of Nextword's writing."""
    path = folder / CARD
    values = read_json(folder / CONFIG)
    ours = isinstance(values, dict) and isinstance(values.get("nextword"), dict)
    return with_lessons(path.read_text(encoding="utf-8"), n) if ours and path.is_file() else None


def _check_versions(folder: Path, records: Records, lesson: Lesson, decoder: Decoder) -> None:
    """The lesson leads from the folder's weights to the decoder's."""
    if version_of(decoder) != lesson.version_after:
        raise LessonError(
            "the model in memory is no longer the one that this lesson led to, so it cannot be "
            "kept; teach again"
        )
    if records.present_version == lesson.version_before:
        return
    found = version_of(load_model(folder, device=decoder.device).decoder)
    if found != lesson.version_before:
        raise LessonError(
            f"the weights in {folder} are not those that this lesson began with (somebody taught, "
            "trained or replaced them since); load the folder again and teach again"
        )


def _write_change(path: Path, change: Change) -> str:
    """Write a change, whole, on the disk; returns the file's SHA-256."""
    unnamed = path.with_name(f".{path.name}.partial")
    tensors = [
        ToWrite(name, tensor.dtype, tuple(tensor.shape), partial(Tensor.detach, tensor))
        for name, tensor in change.tensors().items()
    ]
    digest = write_tensors(unnamed, tensors)
    unnamed.replace(path)
    sync_folder(path.parent)
    return digest
