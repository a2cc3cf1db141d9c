"""Pieces found word for word, against a plain search, at the edges of chunks, files and parts."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nextword.data.corpus import open_corpus
from nextword.data.samples.splits import Part, whole
from nextword.data.shards import ngram_match
from nextword.data.shards import token_shards as shards_module
from nextword.data.shards.ngram_match import Found, find_verbatim
from nextword.data.shards.token_shards import Shards
from nextword.tokenizer.tokenizer import Tokenizer

DIGITS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]  # the tokens of most tests


class Held(Shards):
    """Shards that are an array in memory."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: NDArray[np.uint16] = np.array(ids, dtype=np.uint16)
        self.n_tokens = len(ids)

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        self._check(start, stop)
        return self.ids[start:stop]

    def take(self, at: NDArray[np.int64]) -> NDArray[np.unsignedinteger[Any]]:
        return np.take(self.ids, at)


def part(*spans: tuple[int, int]) -> Part:
    return Part(np.array(spans, dtype=np.int64))


def found(pieces: list[list[int]], *spans: tuple[int, int], most: int = 10**6) -> Found:
    return find_verbatim(pieces, Held(DIGITS), part(*(spans or ((0, 15),))), most=most)


def test_pieces_by_hand() -> None:
    pieces = [[1, 4, 1], [1, 4, 2], [3], [0], DIGITS, [*DIGITS, 3], [7, 9], [9, 7], [5, 3, 5, 8]]
    expected = [True, False, True, False, True, False, True, True, True]
    assert found(pieces) == Found(expected, 1.0)


def test_equal_pieces_are_both_found() -> None:
    assert found([[9, 2], [9, 2], [2, 9], [2, 9]]).stands == [True, True, False, False]


def test_a_piece_must_lie_in_one_unbroken_stretch_of_the_part() -> None:
    #  3 1 4 1 5 | 9 2 | 6 5 3 5 | 8 9 7 9, of which the first and the third are the part
    pieces = [[4, 1, 5], [1, 5, 9], [9, 2], [5, 6], [6, 5, 3, 5], [5, 8], [7, 9]]
    expected = [True, False, False, False, True, False, False]
    assert found(pieces, (0, 5), (7, 11)).stands == expected
    # spans that follow each other are one stretch
    assert found([[1, 5, 9, 2, 6], [3, 1]], (1, 5), (5, 7), (7, 8)).stands == [True, False]


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 7])
def test_pieces_across_the_edges_of_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_match, "CHUNK", chunk)
    pieces = [DIGITS[a:b] for a in range(15) for b in range(a + 1, 16)]
    assert found(pieces) == Found([True] * len(pieces), 1.0)
    assert found([[1, 4, 1, 5, 8], [9, 9]]).stands == [False, False]


def test_of_many_places_with_the_hash_one_that_is_right_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every hash the same, only comparing the tokens tells; three places at a time."""
    monkeypatch.setattr(
        ngram_match, "_hashes", lambda ids, length: np.zeros(len(ids) - length + 1, np.uint64)
    )
    monkeypatch.setattr(ngram_match, "COMPARED", 3)
    assert found([[8, 9, 7], [8, 9, 8], [3, 1, 4], [9, 7, 9]]).stands == [True, False, True, True]


def test_a_large_text_is_searched_in_part_and_the_share_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ngram_match, "CHUNK", 5)
    missing = [0, 0]
    assert found([missing], most=10) == Found([False], 10 / 15)
    assert found([missing], most=1) == Found([False], 5 / 15)  # at least a chunk
    assert found([missing, [0, 0, 0]], most=10) == Found([False, False], 5 / 15)  # two lengths
    # what was found needs no more search
    assert found([[5]], most=1).stands == [True]
    late = find_verbatim([missing], Held(DIGITS), part((0, 15)), until=time.monotonic() - 1)
    assert late == Found([False], 5 / 15)


@given(
    ids=st.lists(st.integers(0, 3), min_size=1, max_size=120),
    pieces=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), max_size=12),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_it_finds_what_a_plain_search_finds(
    ids: list[int], pieces: list[list[int]], cuts: list[int]
) -> None:
    edges = sorted({0, len(ids), *(cut for cut in cuts if cut < len(ids))})
    spans = list(itertools.pairwise(edges))[::2]  # every other stretch
    texts = [bytes(ids[a:b]) for a, b in spans]
    expected = [any(bytes(piece) in text for text in texts) for piece in pieces]
    assert find_verbatim(pieces, Held(ids), part(*spans)).stands == expected


def test_prepared_shards_of_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "FILE_TOKENS", 8)
    (tmp_path / "a.txt").write_text("abcabdabeabfabg")
    tokenizer = Tokenizer.learn(["abcdefg"], kind="characters")
    prepared = shards_module.prepare(open_corpus([tmp_path / "a.txt"]), tokenizer, tmp_path / "s")
    pieces = [tokenizer.encode(text) for text in ("dabea", "fabg", "gabf", "abcabdab")]
    assert find_verbatim(pieces, prepared, whole(prepared)).stands == [True, True, False, True]
