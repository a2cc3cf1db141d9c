"""For any data, seed and length: each sample once per epoch, nothing lost, nothing leaked."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.letters import Letters

from nextword.data.corpus import open_corpus
from nextword.data.records.readers import good_cut
from nextword.data.samples.datasets import NO_TARGET, Windows
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.packing import OPEN_ROWS, assign_rows
from nextword.data.samples.shuffling import permuted
from nextword.data.samples.splits import Part, split, whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.tokenizer.tokenizer import Tokenizer

SEEDS = st.integers(0, 2**64 - 1)
MANY = settings(max_examples=40, deadline=None)


def shards_of(lengths: Sequence[int], folder: str) -> Shards:
    """Documents of so many tokens, in which every token but the end tokens is another one."""
    numbers = iter(range(0x4E00, 0x4E00 + sum(lengths)))
    texts = ["".join(chr(next(numbers)) for _ in range(length - 1)) for length in lengths]
    path = Path(folder) / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return prepare(open_corpus([path]), cast(Tokenizer, Letters()), Path(folder) / "shards")


@given(n=st.integers(1, 3000), seed=SEEDS, epoch=st.integers(0, 2**40))
@MANY
def test_an_epoch_visits_each_sample_exactly_once(n: int, seed: int, epoch: int) -> None:
    order = permuted(np.arange(n), n, seed=seed, epoch=epoch)
    assert np.array_equal(np.sort(order), np.arange(n))
    some = np.arange(0, n, 7)
    assert np.array_equal(permuted(some, n, seed=seed, epoch=epoch), order[some])


@given(
    lengths=st.lists(st.integers(2, 30), min_size=1, max_size=40),
    context=st.integers(1, 40),
    seed=SEEDS,
)
@MANY
def test_rows_hold_every_target_of_every_document_once(
    lengths: list[int], context: int, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shards = shards_of(lengths, folder)
        rows = Rows(shards, context_length=context, seed=seed)
        stream = shards.tokens(0, shards.n_tokens).tolist()
        ends = set((shards.document_starts[1:] - 1).tolist())
        pairs = Counter((stream[i], stream[i + 1]) for i in range(len(stream) - 1) if i not in ends)
        tokens, targets, documents = rows.batch(0, rows.n_samples(0))
    assert documents is not None
    seen = targets != NO_TARGET
    found = zip(tokens[seen].tolist(), targets[seen].tolist(), strict=True)
    assert Counter(found) == pairs  # so no target crosses into another document
    assert (targets[documents < 0] == NO_TARGET).all()
    assert np.isclose(rows.used, (documents >= 0).mean())


@given(
    lengths=st.lists(st.integers(2, 30), min_size=1, max_size=40),
    context=st.integers(1, 12),
    seed=SEEDS,
    epoch=st.integers(0, 5),
    kept=st.integers(0, 2**40),
)
@MANY
def test_windows_of_an_epoch_do_not_overlap(
    lengths: list[int], context: int, seed: int, epoch: int, kept: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shards = shards_of(lengths, folder)
        spans = whole(shards).spans
        chosen = np.array([bool(kept >> number & 1) for number in range(len(spans))])
        part = Part(spans[chosen] if spans[chosen].sum() else spans)
        if part.n_tokens <= context:
            return
        windows = Windows(shards, context_length=context, seed=seed, part=part)
        parts = [shards.tokens(*map(int, span)) for span in part.spans]
        stream = np.concatenate(parts).astype(np.int64)
        n = windows.n_samples(epoch)
        first = sum(windows.n_samples(before) for before in range(epoch))
        tokens, targets, _ = windows.batch(first, n)
        backwards = [windows.sample(epoch, index) for index in reversed(range(n))]
    offset = windows.offset(epoch)
    expected = stream[offset : offset + n * context].reshape(n, context)
    assert sorted(tokens.tolist()) == sorted(expected.tolist())
    assert len(stream) - (offset + n * context) <= context  # nothing but a rest is left out
    following = stream[offset + 1 : offset + 1 + n * context].reshape(n, context)
    assert sorted(targets.tolist()) == sorted(following.tolist())
    assert [sample.tokens.tolist() for sample in backwards] == tokens[::-1].tolist()
    assert [sample.targets.tolist() for sample in backwards] == targets[::-1].tolist()


@given(
    lengths=st.lists(st.integers(6, 30), min_size=2, max_size=40),
    share=st.floats(0.2, 0.8),
    seed=SEEDS,
)
@MANY
def test_parts_share_no_token_and_lose_none(lengths: list[int], share: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shards = shards_of(lengths, folder)
        train, held_out = split(shards, share=share, seed=seed, context_length=1)
    assert held_out is not None
    places = [
        place
        for part in (train, held_out)
        for span in part.spans
        for place in range(*map(int, span))
    ]
    assert sorted(places) == list(range(shards.n_tokens))


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=300))
@MANY
def test_rows_are_never_overfull_and_never_fewer_than_needed(lengths: list[int]) -> None:
    rows = assign_rows(lengths, 50)
    filled = np.bincount(rows, weights=lengths)
    assert filled.max() <= 50
    assert filled.min() > 0
    if len(lengths) <= OPEN_ROWS:  # none is closed, so two rows of less than half cannot be
        assert (filled <= 25).sum() <= 1


@given(text=st.text(alphabet="ab \n\t", max_size=40), limit=st.integers(0, 40))
@MANY
def test_a_good_cut_divides_no_run_of_space(text: str, limit: int) -> None:
    cut = good_cut(text, limit)
    assert 0 <= cut <= limit
    if cut:
        assert text[cut - 1] == "\n"
        assert not text[cut - 2].isspace()
        assert not text[cut].isspace()
