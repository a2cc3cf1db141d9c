"""Whatever the text: encoding and decoding gives it back, and a stream says the same."""

import functools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from nextword.tokenizer.tokenizer import END, PAD, UNKNOWN, Tokenizer
from nextword.tokenizer.training import KINDS, TokenizerKind

LEARNED = "the cat’s mat, the Cat saw it's\nmat! Ärger 漢字 🏳️‍🌈 e\u0301 _x 42"
WORDS = ("the", "cat’s", "mat", "Cat", "saw", "it's", "Ärger", "漢字", "e\u0301", "_x", "42")
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

few = settings(max_examples=60, deadline=None)


@functools.cache
def learned(kind: TokenizerKind) -> Tokenizer:
    spaced = " ".join(WORDS)  # every word with a space before it
    return Tokenizer.learn([LEARNED, spaced], kind=kind)


def streamed(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    stream = tokenizer.stream()
    return "".join([*(stream.push(id) for id in ids), stream.finish()])


@few
@given(UNICODE)
def test_bpe_gives_any_text_back(text: str) -> None:
    tokenizer = learned("bpe")
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == streamed(tokenizer, ids) == text


@few
@given(st.text(st.sampled_from(LEARNED), max_size=60))
def test_characters_give_known_characters_back(text: str) -> None:
    tokenizer = learned("characters")
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == streamed(tokenizer, ids) == text


@few
@given(st.lists(st.sampled_from(WORDS), max_size=20))
def test_words_give_single_spaced_text_back(words: list[str]) -> None:
    tokenizer = learned("words")
    text = " ".join(words)
    ids = tokenizer.encode(text)
    assert len(ids) == len(words)
    assert tokenizer.decode(ids) == streamed(tokenizer, ids) == text


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(KINDS))
def test_a_stream_says_what_decode_says(data: st.DataObject, kind: TokenizerKind) -> None:
    tokenizer = learned(kind)
    id = st.integers(0, tokenizer.vocab_size + 2)  # a few that stand for nothing
    ids = data.draw(st.lists(id, max_size=40))
    assert streamed(tokenizer, ids) == tokenizer.decode(ids)


@few
@given(st.binary(max_size=24))
def test_a_stream_of_any_bytes_says_what_decode_says(content: bytes) -> None:
    tokenizer = learned("bpe")
    single = {tokenizer.token(id): id for id in range(256)}
    shown = [bytes([byte]).decode("utf-8", "backslashreplace") for byte in content]
    ids = [single[piece] for piece in shown]
    expected = content.decode("utf-8", "replace")
    assert streamed(tokenizer, ids) == tokenizer.decode(ids) == expected


@few
@given(st.lists(st.one_of(UNICODE, st.sampled_from([END, PAD, UNKNOWN])), max_size=6))
def test_special_tokens_in_a_text_are_plain_text(parts: list[str]) -> None:
    tokenizer = learned("bpe")
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {tokenizer.end_id, tokenizer.pad_id} & set(ids)
