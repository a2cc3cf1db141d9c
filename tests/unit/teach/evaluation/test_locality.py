"""What else became another, against cases worked out by hand and a plain computation."""

import math
from typing import Any

import pytest
import torch
from tests.unit.teach.edit.test_rehearsal import log_shares, noisy, packed, pupil

from nextword.data.samples.datasets import Batch
from nextword.teach.evaluation import locality
from nextword.teach.evaluation.locality import Known, compare, known, newly_wrong
from nextword.teach.lesson import Locality

WORDS = "a b c d e f g"
TAUGHT = pupil(WORDS)
OTHER = noisy(TAUGHT.config, seed=6)
DOCUMENTS = [(3, 5, 2), (4, 6, 3), (6, 3, 4, 5, 2, 3), (5, 4), (2, 3, 6, 4)]
BATCH = packed([DOCUMENTS[0], DOCUMENTS[1]], [DOCUMENTS[2]], [DOCUMENTS[3], DOCUMENTS[4]])


def handmade(top1: list[int], right: list[int], probability: list[float], kl: float = 0.0) -> Known:
    return Known(
        TAUGHT.decoder,
        torch.tensor(top1),
        torch.tensor(right, dtype=torch.bool),
        torch.tensor(probability),
        kl=kl,
    )


def test_predictions_equal_those_of_each_document_alone() -> None:
    found = known(TAUGHT.decoder, BATCH, most=1000)
    said = [log_shares(TAUGHT.decoder, list(ids[:-1])) for ids in DOCUMENTS]
    wanted = [torch.tensor(ids[1:]) for ids in DOCUMENTS]
    assert found.top1.tolist() == torch.cat([part.argmax(1) for part in said]).tolist()
    assert found.right.tolist() == (found.top1 == torch.cat(wanted)).tolist()
    shares = [
        math.exp(part[place, token])
        for part, tokens in zip(said, wanted, strict=True)
        for place, token in enumerate(tokens.tolist())
    ]
    assert found.probability.tolist() == pytest.approx(shares, rel=1e-5)
    assert len(found.top1) == 13  # 18 tokens of 5 documents


@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
@pytest.mark.parametrize("part_bytes", [0, 1 << 20])
def test_the_distance_equals_a_plain_computation(
    kept_bytes: int, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locality, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(locality, "PART_BYTES", part_bytes)  # 0: one sequence at a time
    before = known(TAUGHT.decoder, BATCH, most=1000)
    assert (before.log_probabilities is None) == (kept_bytes == 0)
    moved = 0.0
    for ids in DOCUMENTS:
        old, new = (log_shares(it, list(ids[:-1])) for it in (TAUGHT.decoder, OTHER))
        moved += float((old.exp() * (old - new)).sum())
    assert known(TAUGHT.decoder, BATCH, most=1000, before=before).kl == 0.0
    after = known(OTHER, BATCH, most=1000, before=before)
    assert after.log_probabilities is None  # only the first of them is compared with
    assert compare(before, after).kl == after.kl == pytest.approx(moved / 13, rel=1e-5)


@pytest.mark.parametrize(("most", "n"), [(1, 4), (4, 4), (8, 4), (9, 9), (12, 9), (13, 13)])
def test_whole_sequences_up_to_the_bound_but_at_least_one(most: int, n: int) -> None:
    assert len(known(TAUGHT.decoder, BATCH, most=most).top1) == n  # rows of 4, 5 and 4 targets


def test_positions_without_a_target_are_not_looked_at() -> None:
    tokens, targets, documents = BATCH
    fewer = targets.copy()
    fewer[1] = -1
    batch: Batch = tokens, fewer, documents
    everything = known(TAUGHT.decoder, BATCH, most=99)
    found = known(TAUGHT.decoder, batch, most=99)
    assert found.top1.tolist() == everything.top1[[0, 1, 2, 3, 9, 10, 11, 12]].tolist()
    nothing = known(TAUGHT.decoder, (tokens, targets * 0 - 1, documents), most=99)
    again = known(OTHER, (tokens, targets * 0 - 1, documents), most=99, before=nothing)
    none = Locality(n=0, kept=0, kl=0.0, was_right=0, newly_wrong=0, newly_right=0)
    assert compare(nothing, again) == none
    assert none.share == 1.0


def test_what_stayed_is_counted() -> None:
    before = handmade([3, 4, 5, 6, 2], [1, 1, 0, 0, 1], [0.9, 0.8, 0.1, 0.2, 0.7])
    after = handmade([3, 6, 6, 6, 2], [1, 0, 1, 0, 1], [0.9, 0.3, 0.6, 0.2, 0.7], kl=0.25)
    found = compare(before, after)
    assert found == Locality(n=5, kept=3, kl=0.25, was_right=3, newly_wrong=1, newly_right=1)
    assert found.share == 0.6


def named(batch: Batch, before: Known, after: Known, **settings: Any) -> list[list[object]]:
    found = newly_wrong(before, after, batch, TAUGHT.tokenizer, which="held_out", **settings)
    assert {item.set for item in found} <= {"held_out"}
    return [
        [item.context, item.was, item.now, item.actual, item.probability_was, item.probability_now]
        for item in found
    ]


def test_words_newly_wrong_with_what_came_before_them() -> None:
    ids = [TAUGHT.tokenizer.encode(letter)[0] for letter in "abcdefg"]
    a, b, c, d, e, *_ = ids
    batch = packed([(a, b, c), (d, e, a)], [(b, d)])  # targets b c · e a · d
    before = handmade([b, c, e, a, a], [1, 1, 1, 1, 0], [0.5, 0.75, 1.0, 0.75, 0.0])
    after = handmade([b, a, b, c, d], [1, 0, 0, 0, 1], [0.5, 0.25, 0.0, 0.125, 1.0])
    assert named(batch, before, after, most=9) == [
        ["d", " e", " b", " e", 1.0, 0.0],
        ["a b", " c", " a", " c", 0.75, 0.25],  # equally certain: in the order of the text
        ["d e", " a", " c", " a", 0.75, 0.125],  # nothing of the document before it
    ]
    assert [row[0] for row in named(batch, before, after, most=2)] == ["d", "a b"]


def test_twelve_words_of_context() -> None:
    ids = [TAUGHT.tokenizer.encode(letter)[0] for letter in "abcdefgabcdefg"]
    batch = packed([tuple(ids)])
    before = handmade(ids[1:], [1] * 13, [1.0] * 13)
    after = handmade([*ids[1:13], ids[0]], [1] * 12 + [0], [1.0] * 12 + [0.25])
    assert named(batch, before, after, most=9) == [
        ["b c d e f g a b c d e f", " g", " a", " g", 1.0, 0.25]
    ]
