"""Lessons taken back: the original weights, and on them the changes of those that remain."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nextword.errors import FolderError, LessonError
from nextword.formats.huggingface.replace_weights import restore_files, save_weights
from nextword.formats.huggingface.safetensors_io import read_tensors
from nextword.formats.huggingface.save_load import load_model
from nextword.model.decoder import Decoder
from nextword.model.fingerprint import version_of
from nextword.teach.edit.weight_delta import Change
from nextword.teach.journal.event_log import Event, Sums
from nextword.teach.journal.lesson_records import (
    ORIGINAL,
    Kept,
    Records,
    State,
    lessons_folder,
    tidy,
)
from nextword.teach.journal.original_weights import check_original, original_decoder
from nextword.teach.journal.persist import card_with, holding, now
from nextword.teach.journal.reevaluate import NoLonger, judged, no_longer

__all__ = ["Listing", "NoLonger", "Undone", "list_lessons", "undo"]


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What an undo did.

    Attributes:
        numbers: of the lessons that are gone.
        sums: the SHA-256 of the weights' files, by name.
        no_longer: what holds no longer of the lessons that were taught after the first undone.
        remaining: how many lessons are left.
    """

    numbers: tuple[int, ...]
    version_before: str
    version_after: str
    sums: dict[str, str]
    no_longer: tuple[NoLonger, ...]
    remaining: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The lessons of a folder; see `Records`.

    Attributes:
        active, absorbed, undone: the lessons themselves.
        original_version: of the weights that an undo of all gives back; None without a lesson.
        present_version: None where only reading the weights would tell.
    """

    state: State
    active: tuple[Kept, ...]
    absorbed: tuple[Kept, ...]
    undone: tuple[Kept, ...]
    original_version: str | None
    present_version: str | None


def list_lessons(folder: Path) -> Listing:
    """The lessons of a model's folder; it takes no lock.

    Raises:
        LessonError, FolderError: the events are damaged, or the folder is no model.
    """
    records = Records.read(folder)
    return Listing(
        state=records.state,
        active=records.active,
        absorbed=records.absorbed,
        undone=records.gone,
        original_version=records.original_version,
        present_version=records.present_version,
    )


def undo(
    folder: Path, numbers: Sequence[int] | None, *, wait: float = 0.0, held: bool = False
) -> Undone:
    """Take lessons out of a model's folder, bit for bit as if they had never been taught.

    Args:
        folder: the model's.
        numbers: of the lessons; None for all that can be undone.
        wait: seconds to wait for somebody who teaches or trains there.
        held: the caller holds the folder already.

    Raises:
        LessonError: there is no such lesson, it is absorbed, or a file that is needed is damaged;
            nothing was changed.
        TeachBusyError: somebody else holds the folder.
        RunError: the disk is full or may not be written; the folder is as it was.
    """
    with holding(folder, wait=wait, held=held):
        records = tidy(folder)
        chosen = _chosen(folder, records, numbers)
        undone = _Undoing(folder, records, chosen).work()
        for kept in records.active:
            if kept.number in chosen:
                (lessons_folder(folder) / kept.change["file"]).unlink(missing_ok=True)
    return undone


def _chosen(folder: Path, records: Records, numbers: Sequence[int] | None) -> tuple[int, ...]:
    """The lessons to undo, in their order."""
    active = [kept.number for kept in records.active]
    absorbed = {kept.number for kept in records.absorbed}
    wanted = set(active if numbers is None else numbers)
    for number in sorted(wanted - set(active)):
        if number in absorbed:
            raise LessonError(
                f"lesson {number} cannot be undone: the weights in {folder} were trained or "
                "replaced after it, so it is part of them now"
            )
        if active:
            known = ", ".join(map(str, active))
            raise LessonError(f"there is no lesson {number} to undo in {folder}; there are {known}")
    if not wanted or not active:
        raise LessonError(f"no lesson is kept in {folder}")
    return tuple(number for number in active if number in wanted)


@dataclass
class _Undoing:
    """One undo: the steps in order."""

    folder: Path
    records: Records
    chosen: tuple[int, ...]
    version: str = ""  # of the weights after it
    no_longer: tuple[NoLonger, ...] = ()

    def work(self) -> Undone:
        """Rebuild, judge, write."""
        remaining = [kept for kept in self.records.active if kept.number not in self.chosen]
        check_original(self.folder, self.records.chain[0])
        card = card_with(self.folder, len(remaining))
        if not remaining:
            self.version = self.records.versions[()]
            original = lessons_folder(self.folder) / ORIGINAL
            sums = restore_files(self.folder, original, card=card, before_rename=self._undone)
        else:
            later = [kept for kept in remaining if kept.number > self.chosen[0]]
            present = load_model(self.folder)
            was = judged(present.decoder, later)
            name = present.tokenizer.token
            del present  # one model in memory at a time
            decoder = self._rebuilt(remaining)
            self.no_longer = no_longer(was, judged(decoder, later), name)
            sums = save_weights(self.folder, decoder, card=card, before_rename=self._undone)
        return Undone(
            numbers=self.chosen,
            version_before=self.records.chain[-1].version_after,
            version_after=self.version,
            sums=sums,
            no_longer=self.no_longer,
            remaining=len(remaining),
        )

    def _rebuilt(self, remaining: Sequence[Kept]) -> Decoder:
        """The original with the changes of the lessons that remain, in their order."""
        changes = [_read_change(self.folder, kept) for kept in remaining]
        decoder = original_decoder(self.folder, self.records.chain[0])
        for kept, change in zip(remaining, changes, strict=True):
            _keep_in(decoder, kept.dtypes)
            _write(decoder, change.apply(dict(decoder.named_parameters())))
        self.version = version_of(decoder)
        known = self.records.versions.get(tuple(kept.number for kept in remaining))
        if known not in (None, self.version):
            raise LessonError(
                f"undoing would lead to other weights ({self.version}) than there were ({known}); "
                "this machine does not compute as the one that taught, so nothing was changed. "
                "Undo on that one, or undo all lessons"
            )
        return decoder

    def _undone(self, after: Sums) -> None:
        Event(
            event="undone",
            numbers=self.chosen,
            time=now(),
            before=self.records.present,
            after=after,
            version_before=self.records.chain[-1].version_after,
            version_after=self.version,
            no_longer=tuple(dataclasses.asdict(item) for item in self.no_longer),
        ).append_to(self.folder)


def _read_change(folder: Path, kept: Kept) -> Change:
    """What a lesson did to the weights, verified."""
    path = lessons_folder(folder) / kept.change["file"]
    try:
        return Change.from_tensors(dict(read_tensors(path, sha256=kept.change["sha256"])))
    except FolderError as error:
        raise LessonError(
            f"{path}, the change of lesson {kept.number}, is damaged or missing; nothing was "
            f"changed. Put it back from a copy, or undo lesson {kept.number} as well: that does "
            "not need it"
        ) from error


def _keep_in(decoder: Decoder, dtypes: Mapping[str, str]) -> None:
    """Keep the weights as they were kept when a lesson was taught: a GPU keeps float16, a CPU not.

    Exact, as no weight has more digits than the narrower one holds.
    """
    for name, weight in decoder.named_parameters():
        dtype = getattr(torch, dtypes.get(name, dtypes[""]))
        if weight.dtype != dtype:
            weight.data = weight.data.to(dtype)
    decoder.compute_dtype = decoder.token_embedding.weight.dtype


@torch.no_grad()
def _write(decoder: Decoder, weights: Mapping[str, Tensor]) -> None:
    for name, weight in decoder.named_parameters():
        weight.copy_(weights[name])
