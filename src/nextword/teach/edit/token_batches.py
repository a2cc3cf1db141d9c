"""Batches of sequences: from token ids, picked, cut, and without what a lesson is about."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.datasets import NO_TARGET, PADDING, Batch
from nextword.teach.edit.correction import Correction


def side_by_side(sequences: Sequence[Sequence[int]], *, pad_id: int) -> Batch:
    """Sequences of at least 2 tokens as a batch, one a row, padded on the right."""
    shape = len(sequences), max(map(len, sequences)) - 1
    tokens = np.full(shape, pad_id, np.int64)  # [B, T]
    targets = np.full(shape, NO_TARGET, np.int64)
    documents = np.full(shape, PADDING, np.int32)
    for row, ids in enumerate(sequences):
        tokens[row, : len(ids) - 1] = ids[:-1]
        targets[row, : len(ids) - 1] = ids[1:]
        documents[row, : len(ids) - 1] = 0
    return tokens, targets, documents


def rows_of(batch: Batch, first: int, stop: int) -> Batch:
    """The sequences first … stop - 1."""
    return picked(batch, np.arange(first, min(stop, len(batch[0]))))


def picked(batch: Batch, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
    """Some sequences, without the columns that are padding in all of them."""
    tokens, targets = batch[0][rows], batch[1][rows]
    if batch[2] is None:
        return tokens, targets, None
    documents = batch[2][rows]
    used = (documents != PADDING).any(axis=0).nonzero()[0]
    width = int(used[-1]) + 1 if len(used) else 1
    return tokens[:, :width], targets[:, :width], documents[:, :width]


def cut(batch: Batch, context: int) -> Batch:
    """The beginnings of the sequences, as far as the context reaches."""
    tokens, targets, documents = batch
    return (
        tokens[:, :context],
        targets[:, :context],
        None if documents is None else documents[:, :context],
    )


def n_documents(batch: Batch) -> int:
    """How many documents the sequences hold; each one of a text counts as one."""
    return sum(1 for _ in documents_of(batch[0], batch[2]))


def apart_from(batch: Batch, corrections: Sequence[Correction]) -> tuple[Batch, int]:
    """A batch without the targets that a lesson is about.

    Where a document so far is as a correction is, the lesson says what comes next. To hold the
    model to what it said before would be to work against the lesson, and to count the difference
    would be to blame the lesson for it. Where a reply goes on otherwise, so would the rest of it; a
    prompt that does is another prompt, and only the one word after which it parts is left out.

    Returns:
        The batch, and how many of the targets left out stood where a document goes on otherwise.
    """
    tokens, targets, documents = batch[0], batch[1].copy(), batch[2]
    right = _right_tokens(corrections)
    replies = {item.ids[: end + 1] for item in corrections for end in _reply_places(item)}
    contradicted = 0
    for row, first, stop in documents_of(tokens, documents):
        for place in range(first, stop):
            beginning = tuple(tokens[row, first : place + 1].tolist())
            wanted = right.get(beginning)
            if wanted is None:
                break
            target = int(targets[row, place])
            if not wanted or target == NO_TARGET:
                continue
            otherwise = target not in wanted and beginning in replies
            gone = targets[row, place : stop if otherwise else place + 1]
            contradicted += int((gone != NO_TARGET).sum()) if otherwise else 0
            gone[:] = NO_TARGET
    return (tokens, targets, documents), contradicted


def _right_tokens(corrections: Sequence[Correction]) -> dict[tuple[int, ...], set[int]]:
    """For every beginning of a correction the tokens to be learned after it, often none."""
    right: dict[tuple[int, ...], set[int]] = {}
    for correction in corrections:
        for length in range(1, len(correction.ids)):
            right.setdefault(correction.ids[:length], set())
        for place in correction.learned:
            right[correction.ids[: place + 1]].add(correction.ids[place + 1])
    return right


def _reply_places(correction: Correction) -> range:
    """The positions of a correction that its reply's tokens follow."""
    return range(len(correction.given) - 1, len(correction.ids) - 1)


def documents_of(
    tokens: NDArray[np.int64], documents: NDArray[np.int32] | None
) -> Iterator[tuple[int, int, int]]:
    """Every document of a batch: its row, its first column, and the one after its last."""
    if documents is None:
        yield from ((row, 0, tokens.shape[1]) for row in range(len(tokens)))
        return
    for row, numbers in enumerate(documents):
        inner = np.flatnonzero(np.diff(numbers)) + 1
        bounds = [0, *inner.tolist(), len(numbers)]
        for first, stop in itertools.pairwise(bounds):
            if numbers[first] != PADDING:
                yield row, first, stop
