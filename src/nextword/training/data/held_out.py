"""Settle what is held out of a run's data, by the rule that the run began with, and say so."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nextword.config import Aim
from nextword.data.samples.document_hashes import ContentKeys, content_keys
from nextword.data.samples.split_by_content import (
    Overlap,
    count_duplicates,
    overlap,
    split_by_content,
    split_phrasings_by_content,
)
from nextword.data.samples.splits import ENOUGH_DOCUMENTS, Part, split, split_phrasings, whole
from nextword.data.shards.token_shards import Shards
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.request import TrainRequest

HELD_OUT_SHARE = 0.1  # unless asked otherwise
SPLIT_RULE = 3
"""How data are divided and cut; a run keeps the rule that it began with.

1: version 0.1; by the documents' numbers.
2: the aim "answers" holds out other phrasings alone.
3: by content, and dialogues longer than the context are cut at turns.
"""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How a run's data are divided.

    Attributes:
        train, held_out: the documents to train on and those held out; None: nothing.
        overlap: how many of those held out stand in training too; None where nothing is held out.
        duplicates: documents that equal one before them.
    """

    train: Part
    held_out: Part | None
    overlap: Overlap | None
    duplicates: int


def hold_out(
    request: TrainRequest,
    shards: Shards,
    tokenizer: Tokenizer,
    *,
    aim: Aim,
    context: int,
    rule: int,
    share: float,
) -> HeldOut:
    """Divide the data by the run's rule, see SPLIT_RULE.

    Args:
        request: what was asked for.
        shards, tokenizer: the data.
        aim: of the run.
        context: tokens of a sequence, which each part must be able to fill.
        rule: one of SPLIT_RULE.
        share: of the documents to hold out.
    """
    seed = int(request.training.get("seed", 0))
    keys = content_keys(shards, whole(shards), tokenizer)
    if rule >= 3 and aim == "answers":
        train, held = split_phrasings_by_content(shards, keys, share=share, seed=seed)
    elif rule >= 3:
        train, held = split_by_content(shards, keys, share=share, seed=seed, context_length=context)
    elif aim == "answers":
        train, held = split_phrasings(
            shards, share=share, seed=seed, prompt_key=_letters_and_digits(tokenizer)
        )
    else:
        train, held = split(shards, share=share, seed=seed, context_length=context)
    return HeldOut(
        train=train,
        held_out=held,
        overlap=None if held is None else _overlap(shards, keys, held),
        duplicates=count_duplicates(keys),
    )


def hold_out_other(shards: Shards, other: Shards, tokenizer: Tokenizer) -> HeldOut:
    """Train on everything, and evaluate on other data."""
    keys = content_keys(shards, whole(shards), tokenizer)
    held = whole(other)
    return HeldOut(
        train=whole(shards),
        held_out=held,
        overlap=overlap(keys, content_keys(other, held, tokenizer)),
        duplicates=count_duplicates(keys),
    )


def share_to_hold_out(request: TrainRequest, shards: Shards, *, aim: Aim) -> float:
    """Return the share that was asked for, or a tenth, or nothing of a handful of dialogues."""
    if request.held_out is not None:
        assert not isinstance(request.held_out, str)
        return float(request.held_out)
    enough = shards.n_documents >= ENOUGH_DOCUMENTS
    return HELD_OUT_SHARE if enough or aim == "answers" or not shards.is_dialogue else 0.0


def tell_held_out(
    held: HeldOut,
    request: TrainRequest,
    shards: Shards,
    *,
    aim: Aim,
    share: float | None,
    warn: Callable[[str], None],
) -> None:
    """Say where the scores will mean less than they seem to, or nothing can be measured.

    Args:
        held: what was held out.
        request: what was asked for.
        shards: the data.
        aim: of the run.
        share: that was to be held out; None: other data are given for it.
        warn: is told.
    """
    if held.held_out is not None:
        _tell_overlap(held, shards, aim=aim, warn=warn)
    elif share and aim == "generalize":
        what = "prompts or replies" if shards.is_dialogue else "texts"
        warn(
            f"nothing can be held out: the {shards.n_documents:,} documents have too few different "
            f"{what}. All are learned, and nothing can be measured on data that were not; give "
            "more different ones, or other data with --held-out FILE"
        )
    elif request.held_out is None and aim == "generalize":
        warn(
            f"{shards.n_documents} dialogues are too few to hold any out ({ENOUGH_DOCUMENTS} would "
            "do), so all are learned and none is left to judge by"
        )


def _tell_overlap(held: HeldOut, shards: Shards, *, aim: Aim, warn: Callable[[str], None]) -> None:
    found = held.overlap
    assert found is not None
    names = "dialogues" if shards.is_dialogue else "texts"
    if found.documents:
        warn(
            f"{found.documents:,} of {found.n_documents:,} held-out {names} also stand in "
            "training; their scores measure what was memorized"
        )
    if shards.is_dialogue and found.prompts > found.documents:
        warn(
            f"{found.prompts - found.documents:,} of {found.n_documents:,} held-out {names} have "
            "prompts that stand in training with other replies"
        )
    if aim == "generalize" and shards.is_dialogue and found.replies > found.documents:
        warn(
            f"{found.replies - found.documents:,} of {found.n_documents:,} held-out {names} have "
            "replies that stand in training after other prompts; their scores measure whether "
            "other phrasings are recognized, not whether new replies are found"
        )


def _overlap(shards: Shards, keys: ContentKeys, held: Part) -> Overlap:
    """Count what both parts have; a document that is divided itself counts as held out."""
    in_held = np.isin(whole(shards).spans[:, 1], held.spans[:, 1])
    return overlap(keys.only(~in_held), keys.only(in_held))


def _letters_and_digits(tokenizer: Tokenizer) -> Callable[[list[int]], str]:
    """Return what rule 2 calls equal prompts: case, punctuation and spaces do not count."""

    def key(ids: list[int]) -> str:
        return "".join(filter(str.isalnum, tokenizer.decode(ids).casefold()))

    return key
