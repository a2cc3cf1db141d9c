"""What must stay known while a lesson is taught: sequences to rehearse and to be judged by.

They come from the sample of its training data that a model's folder keeps, from a file, or are
what the model itself says.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from nextword.data.corpus import open_corpus
from nextword.data.prepared import make_samples
from nextword.data.replay_sample import MOST_SEQUENCES, MOST_TOKENS, Reservoir, read_reservoir
from nextword.data.samples.datasets import Batch
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import prepare
from nextword.errors import DataError
from nextword.generate.sampling import check_best, seeded
from nextword.model.kv_cache import KeyValueCache
from nextword.teach.edit.correction import Correction
from nextword.teach.edit.token_batches import apart_from, cut, rows_of, side_by_side
from nextword.teach.lesson import Student
from nextword.training.data.context_length import default_context

SPOKEN = 64  # sequences that the model says where nothing else is there
SPOKEN_TOKENS = 128  # of each, at most
HELD_OUT_PART = 4  # of a file, or of what the model says, one sequence in so many is not rehearsed

Source = Literal["training", "file", "model"]


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What must stay known.

    Attributes:
        source: the folder's sample of its training data, a file, or the model's own text.
        known: sequences that are rehearsed.
        held_out: sequences that are not, to judge by; None where there are none.
        name: of the file.
    """

    source: Source
    known: Batch
    held_out: Batch | None
    name: str = ""

    @property
    def n_known(self) -> int:
        """How many sequences are rehearsed."""
        return len(self.known[0])

    @property
    def n_held_out(self) -> int:
        """How many sequences are only for judging."""
        return 0 if self.held_out is None else len(self.held_out[0])

    def told(self) -> str:
        """What it is, in words."""
        if self.source == "model":
            return (
                f"{self.n_known + self.n_held_out} sequences that the model itself said, as its "
                "folder keeps none of its training data; give some with --rehearse FILE"
            )
        origin = "of its training data" if self.source == "training" else f"from {self.name}"
        noun = "sequence" if self.n_known == 1 else "sequences"
        return f"{self.n_known} {noun} {origin}, {self.n_held_out or 'none'} held out"

    def apart_from(self, corrections: Sequence[Correction]) -> tuple["Rehearsal", int]:
        """The same without what a lesson is about; see `sequences.apart_from`.

        Args:
            corrections: what is taught, and its other phrasings.

        Returns:
            It, and how many positions were left out because they say otherwise.
        """
        known, contradicted = apart_from(self.known, corrections)
        if self.held_out is None:
            return replace(self, known=known), contradicted
        held_out, more = apart_from(self.held_out, corrections)
        return replace(self, known=known, held_out=held_out), contradicted + more


def find_rehearsal(student: Student, *, file: Path | None = None, seed: int = 0) -> Rehearsal:
    """Sequences to rehearse: of the file, else of the folder's reservoir, else the model's own.

    Args:
        student: the model that is taught.
        file: text or dialogues, in any shape that training reads.
        seed: of the order of a file's sequences, and of the draws of what the model says.

    Raises:
        DataError: the file cannot be read, or holds too little to predict anything.
        LossError: the model's logits are not finite.
    """
    if file is not None:
        found = _parted("file", _of_file(student, file, seed), name=str(file))
    elif (kept := _of_folder(student)) is not None:
        found = Rehearsal("training", kept.known, kept.held_out)
    else:
        found = _parted("model", _spoken(student, seed))
    context = student.decoder.config.context_length
    held_out = None if found.held_out is None else cut(found.held_out, context)
    return replace(found, known=cut(found.known, context), held_out=held_out)


def _of_folder(student: Student) -> Reservoir | None:
    """The sample that the model's folder keeps of its training data."""
    if student.folder is None:
        return None
    return read_reservoir(student.folder, fingerprint=student.tokenizer.fingerprint)


def _parted(source: Source, batch: Batch, *, name: str = "") -> Rehearsal:
    """The last quarter is held out, but never all; of a single sequence nothing is."""
    n = len(batch[0])
    n_held_out = max(n // HELD_OUT_PART, 1) if n > 1 else 0
    held_out = rows_of(batch, n - n_held_out, n) if n_held_out else None
    return Rehearsal(source, rows_of(batch, 0, n - n_held_out), held_out, name=name)


def _of_file(student: Student, file: Path, seed: int) -> Batch:
    """A uniform draw of a file's sequences."""
    with tempfile.TemporaryDirectory(prefix="nextword-", ignore_cleanup_errors=True) as place:
        shards = prepare(
            open_corpus([file]),
            student.tokenizer,
            Path(place) / "data",
            template=student.prompting.template,
        )
        if shards.n_tokens < 2:
            raise DataError(
                f"{file} has {shards.n_tokens} token, and rehearsing needs at least 2; give more"
            )
        context = default_context(shards, shards.n_tokens)
        context = min(context, student.decoder.config.context_length)
        if not shards.is_dialogue:
            context = min(context, shards.n_tokens - 1)
        samples = make_samples(shards, whole(shards), context=context, seed=seed)
        most = min(MOST_SEQUENCES, max(MOST_TOKENS // context, 1))
        return samples.batch(0, min(most, samples.n_samples(0)))


@torch.no_grad()
def _spoken(student: Student, seed: int) -> Batch:
    """What the model says at the start of a text, drawn by its own probabilities, side by side.

    `generate_many` would say the same SPOKEN times, as each of its rows draws by the same seed.
    """
    decoder, tokenizer = student.decoder, student.tokenizer
    longest = min(SPOKEN_TOKENS, decoder.config.context_length)
    cache = KeyValueCache(
        decoder.config,
        batch_size=SPOKEN,
        capacity=longest,
        dtype=decoder.compute_dtype,
        device=decoder.device,
    )
    draws, end_ids = seeded(seed), torch.tensor(sorted(tokenizer.end_ids))
    ids = torch.tensor([student.prompting.start_ids] * SPOKEN)  # [B, T], on the CPU
    new = ids.to(decoder.device)
    ended = torch.zeros(SPOKEN, dtype=torch.bool)
    while not ended.all() and ids.shape[1] <= longest:
        logits = decoder(new, cache=cache, last_only=True)[:, -1].float().cpu()  # [B, V]
        check_best(float(logits.max()))
        ids = torch.cat([ids, logits.softmax(dim=-1).multinomial(1, generator=draws)], dim=1)
        new = ids[:, -1:].to(decoder.device)
        ended |= torch.isin(ids[:, -1], end_ids)
    rows = [_until_end(row, tokenizer.end_ids) for row in ids.tolist()]
    return side_by_side(rows, pad_id=tokenizer.pad_id)


def _until_end(ids: list[int], end_ids: frozenset[int]) -> list[int]:
    """Up to and with the first end token after the one that it begins with."""
    ends = (place for place in range(1, len(ids)) if ids[place] in end_ids)
    return ids[: next(ends, len(ids)) + 1]
