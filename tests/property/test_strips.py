"""Wherever a text is cut, and whatever the tokenizer: its strips give the tokens of the whole."""

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from nextword.data.corpus import Piece
from nextword.data.dialogue import Text
from nextword.data.prompting import Prompting
from nextword.data.shards import strip_encoding
from nextword.data.shards.shard_writer import ShardWriter, write_pieces
from nextword.data.shards.strip_encoding import Strip, StripCutter, StripJoiner
from nextword.tokenizer.loading import Specials
from nextword.tokenizer.tokenizer import Tokenizer, UnknownTokenWarning
from nextword.tokenizer.training import KINDS, learn_backend

WORDS = ["The", "cat", "the", "sat", "Ärger", "漢字", "é", "e\u0301", "it's", "42", "x"]
GAPS = [" ", " ", " ", "  ", "\n", "\n\n", ", ", ".\n", " \n ", "", "\t"]
LEARNED = " ".join(f"{word}{gap}" for word in WORDS for gap in GAPS) * 3


def trained(backend: Backend, trainer: trainers.Trainer) -> Backend:
    backend.train_from_iterator([LEARNED], trainer)
    return backend


def metaspace() -> Backend:
    """As Llama 2: no word boundaries before merging, a space before every text."""
    backend = Backend(models.BPE(byte_fallback=False, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=90, special_tokens=["<unk>"], show_progress=False, max_token_length=6
    )
    return trained(backend, trainer)


def always_prepending() -> Backend:
    """As T5: words by Metaspace, a space before the first one, too."""
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=80, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    return trained(backend, trainer)


def wordpiece() -> Backend:
    """As BERT: small letters without accents, an unknown token for a long word."""
    backend = Backend(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=80, special_tokens=["[UNK]"], show_progress=False
    )
    return trained(backend, trainer)


def by_another_pattern() -> Backend:
    """As Llama 3: byte-level BPE with a pattern of its own."""
    backend = Backend(models.BPE())
    pattern = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    return trained(backend, trainer)


MAKERS: dict[str, Callable[[], Backend]] = {
    **{
        kind: functools.partial(learn_backend, [LEARNED], kind=kind, vocab_size=None)
        for kind in KINDS
    },
    "metaspace": metaspace,
    "unigram": always_prepending,
    "wordpiece": wordpiece,
    "pattern": by_another_pattern,
}


@functools.cache
def tokenizer_of(name: str) -> Tokenizer:
    backend = MAKERS[name]()
    backend.add_special_tokens(["<|end|>", "<|pad|>"])
    end, pad = backend.token_to_id("<|end|>"), backend.token_to_id("<|pad|>")
    assert end is not None and pad is not None
    return Tokenizer(backend, Specials(end, pad, None, frozenset({end})))


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strip_encoding, "STRIP", 90)
    monkeypatch.setattr(strip_encoding, "MARGIN", 60)
    monkeypatch.setattr(strip_encoding, "SURE", 8)


def cut(tokenizer: Tokenizer, text: str, pieces: list[int]) -> list[Strip]:
    """The strips of a text that comes in pieces."""
    cutter = StripCutter(at_line_breaks=tokenizer.begins_anew_at_lines)
    places = [0, *sorted(min(place, len(text)) for place in pieces), len(text)]
    last = len(places) - 2
    return [
        strip
        for number, (start, stop) in enumerate(itertools.pairwise(places))
        for strip in cutter.push(text[start:stop], ends=number == last, read=stop)
    ]


def joined(tokenizer: Tokenizer, parts: list[Strip]) -> list[int]:
    joiner = StripJoiner(tokenizer)
    encodings = tokenizer.encode_with_places([strip.text for strip in parts])
    return [
        id
        for strip, encoding in zip(parts, encodings, strict=True)
        for stretch in joiner.push(strip, encoding)
        for id in stretch.ids
    ]


texts = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), min_size=1, max_size=300
).map(lambda pairs: "".join(word + gap for word, gap in pairs))


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("name", MAKERS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=texts, pieces=st.lists(st.integers(0, 900), max_size=4))
def test_strips_give_the_tokens_of_the_whole(name: str, text: str, pieces: list[int]) -> None:
    tokenizer = tokenizer_of(name)
    parts = cut(tokenizer, text, pieces)
    assert "".join(s.text[s.left : len(s.text) - s.right] for s in parts) == text
    assert joined(tokenizer, parts) == tokenizer.encode(text)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("name", MAKERS)
def test_a_long_text_without_a_good_place_gives_the_tokens_of_the_whole(name: str) -> None:
    tokenizer = tokenizer_of(name)
    for text in ("The cat sat. " * 70, "Thecatsat" * 90, "cat\n\n" * 150, " " * 700 + "x"):
        parts = cut(tokenizer, text, [])
        assert len(parts) > 3
        assert joined(tokenizer, parts) == tokenizer.encode(text)


@pytest.mark.parametrize("name", MAKERS)
def test_a_corpus_is_written_as_the_tokens_of_the_whole(name: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(name)
    text = "".join(
        f"The cat {number}, sat." + ("\n" if number % 7 else " ") for number in range(9000)
    )
    assert len(text) > 2 * strip_encoding.STRIP

    def pieces() -> Iterator[Piece]:
        yield Piece(Text(text[:100_000]), False, 0)
        yield Piece(Text(text[100_000:]), True, 0)
        yield Piece(Text("x"), True, 0)

    lengths = tokenizer.byte_lengths
    with ShardWriter(
        tmp_path, np.dtype("<u4"), 1 << 26, with_replies=False, byte_lengths=lengths
    ) as writer:
        list(write_pieces(pieces(), Prompting(tokenizer), writer))
        writer.finish()
    found = np.fromfile(tmp_path / "tokens-00000.bin", "<u4").tolist()
    end = tokenizer.end_id
    assert found == [*tokenizer.encode(text), end, *tokenizer.encode("x"), end]
    assert writer.n_bytes == len(text.encode()) + 1


def test_unknown_words_are_named_and_nothing_that_a_margin_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strip_encoding, "STRIP", 400)
    monkeypatch.setattr(strip_encoding, "MARGIN", 120)
    line = "The cat sat here\n"
    tokenizer = Tokenizer.learn([line * 2], kind="words")
    text = line * 60 + "unheard words " + line * 60
    parts = cut(tokenizer, text, [])
    with pytest.warns(UnknownTokenWarning) as warned:
        ids = joined(tokenizer, parts)
    assert [str(each.message).split(";")[0] for each in warned] == [
        "not in the vocabulary: 'unheard', 'words'"
    ]
    assert ids.count(tokenizer.unknown_id or -1) == 2
