"""Tokenizers: what they learn, that they give text back, and that others read them."""

import itertools
import json
import warnings
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend

from nextword.errors import RunError, TokenizerError
from nextword.tokenizer.tokenizer import END, PAD, UNKNOWN, Tokenizer, UnknownTokenWarning
from nextword.tokenizer.training import KINDS, TokenizerKind, default_vocab_size, thin

CATS = "the cat saw the dog, the dog saw\nthe Cat’s hat"
ODD = "Ärger e\u0301 🏳️‍🌈 \u2028\x00\t  <|end|><|pad|> 漢字\n\n"


class TestWords:
    def test_ids_follow_frequency_then_first_appearance(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words")
        pieces = [tokenizer.token(id) for id in range(tokenizer.vocab_size)]
        expected = [" the", " saw", " dog", " cat", ",", "\n", "the", " Cat’s", " hat"]
        assert pieces == [*expected, UNKNOWN, END, PAD]

    def test_ids_of_a_sentence_by_hand(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words")
        assert tokenizer.encode("the dog, the hat") == [0, 2, 4, 0, 8]
        assert tokenizer.decode([0, 2, 4, 0, 8]) == "the dog, the hat"
        assert (tokenizer.unknown_id, tokenizer.end_id, tokenizer.pad_id) == (9, 10, 11)

    def test_vocab_size_keeps_the_most_frequent(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words", vocab_size=7)
        assert [tokenizer.token(id) for id in range(4)] == [" the", " saw", " dog", " cat"]
        assert tokenizer.vocab_size == 7

    def test_known_spaces_and_line_breaks_come_back(self) -> None:
        text = "\n\n one  two\n three\t"
        tokenizer = Tokenizer.learn([text], kind="words")
        assert tokenizer.decode(tokenizer.encode(text)) == text

    def test_empty_text(self) -> None:
        tokenizer = Tokenizer.learn(["", CATS], kind="words")
        assert tokenizer.encode("") == []
        assert tokenizer.decode([]) == ""


class TestUnknown:
    @pytest.mark.parametrize("kind", ["words", "characters"])
    def test_literal_specials_are_plain_text(self, kind: TokenizerKind) -> None:
        tokenizer = Tokenizer.learn([CATS], kind=kind)
        with pytest.warns(UnknownTokenWarning):
            ids = tokenizer.encode(END + PAD + UNKNOWN)
        assert not {tokenizer.end_id, tokenizer.pad_id} & set(ids)
        assert len(ids) == (15 if kind == "words" else len(END + PAD + UNKNOWN))

    def test_each_word_is_named_once(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words")
        with pytest.warns(UnknownTokenWarning, match="'zebra', 'yak';") as caught:
            assert tokenizer.encode("the zebra saw the yak zebra") == [0, 9, 1, 0, 9, 9]
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tokenizer.encode("the yak")

    def test_many_unknown_words_share_one_warning(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words")
        with pytest.warns(UnknownTokenWarning, match="'w9' and 3 more;"):
            tokenizer.encode_many([f"w{number}" for number in range(13)])

    def test_bpe_knows_everything(self) -> None:
        tokenizer = Tokenizer.learn([CATS])
        assert tokenizer.unknown_id is None
        assert tokenizer.decode(tokenizer.encode(ODD)) == ODD
        assert tokenizer.encode_many([ODD, "", "a"])[1:] == [[], [tokenizer.encode("a")[0]]]

    def test_half_a_character_is_replaced(self) -> None:
        tokenizer = Tokenizer.learn([CATS])
        assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


class TestLearning:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_texts_give_the_same_tokenizer(self, kind: TokenizerKind) -> None:
        first, second = (Tokenizer.learn(iter([CATS, ODD]), kind=kind) for _ in range(2))
        assert first.fingerprint == second.fingerprint
        assert first.fingerprint != Tokenizer.learn([CATS], kind=kind, vocab_size=259).fingerprint

    def test_end_and_pad_have_the_last_ids(self) -> None:
        for kind in KINDS:
            tokenizer = Tokenizer.learn([CATS], kind=kind)
            last = tokenizer.vocab_size - 1
            assert (tokenizer.end_id, tokenizer.pad_id) == (last - 1, last)
            assert (tokenizer.token(last - 1), tokenizer.token(last)) == (END, PAD)
            assert tokenizer.kind == kind

    def test_bpe_merges_the_most_frequent_pairs(self) -> None:
        tokenizer = Tokenizer.learn(["ababab ab"], vocab_size=259)
        assert tokenizer.vocab_size == 259
        assert tokenizer.token(256) == "ab"

    @pytest.mark.parametrize(
        ("n_bytes", "expected"),
        [(0, 512), (1 << 14, 512), (1_000_000, 4096), (1 << 24, 16384), (1 << 40, 32768)],
    )
    def test_default_vocab_size(self, n_bytes: int, expected: int) -> None:
        assert default_vocab_size(n_bytes) == expected

    def test_a_single_string_is_one_text(self) -> None:
        assert Tokenizer.learn(CATS).fingerprint == Tokenizer.learn([CATS]).fingerprint

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_text(self, kind: TokenizerKind) -> None:
        with pytest.raises(TokenizerError, match="no text to learn"):
            Tokenizer.learn(["", ""], kind=kind)

    def test_impossible_sizes_and_kinds(self) -> None:
        with pytest.raises(TokenizerError, match=r"257.*at least 258"):
            Tokenizer.learn([CATS], vocab_size=257)
        with pytest.raises(TokenizerError, match=r"3.*at least 4"):
            Tokenizer.learn([CATS], kind="words", vocab_size=3)
        with pytest.raises(TokenizerError, match="Did you mean 'words'"):
            Tokenizer.learn([CATS], kind="word")  # type: ignore[arg-type]

    def test_thinning_is_even_bounded_and_repeatable(self) -> None:
        block = 64 << 10
        text = "".join(f"{number:07d} " for number in range(37 * block // 8))
        sample, seen = thin([text, "tail"], limit=11 * block)
        assert seen >= len(text)
        assert sum(map(len, sample)) <= 11 * block
        starts = [int(part.split()[0]) for part in sample]
        gaps = {later - sooner for sooner, later in itertools.pairwise(starts)}
        assert max(gaps) - min(gaps) <= 8
        assert thin(iter([text, "tail"]), limit=11 * block) == (sample, seen)

    def test_short_texts_stay_apart(self) -> None:
        assert thin(["ab", "cd"]) == ([b"ab\0cd"], 5)
        merged = Tokenizer.learn(["a", "b"] * 50, vocab_size=300)
        assert merged.vocab_size == 258  # "ab" never stood in one text

    def test_a_long_unbroken_run(self) -> None:
        text = "ACGT" * 50_000
        tokenizer = Tokenizer.learn([text], vocab_size=270)
        assert tokenizer.decode(tokenizer.encode(text)) == text


class TestFolder:
    @pytest.mark.parametrize("kind", KINDS)
    def test_written_and_read_again(self, kind: TokenizerKind, tmp_path: Path) -> None:
        tokenizer = Tokenizer.learn([CATS], kind=kind)
        tokenizer.write(tmp_path / "new")
        again = Tokenizer.read(tmp_path / "new")
        for name in ("kind", "vocab_size", "end_id", "pad_id", "unknown_id", "fingerprint"):
            assert getattr(again, name) == getattr(tokenizer, name)
        assert again.encode(CATS) == tokenizer.encode(CATS)
        library = Backend.from_file(str(tmp_path / "new" / "tokenizer.json"))
        assert library.encode(CATS).ids == tokenizer.encode(CATS)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("model_type", [None, "llama", "qwen3", "gpt2"])
    def test_transformers_reads_the_same_ids(
        self, kind: TokenizerKind, model_type: str | None, tmp_path: Path
    ) -> None:
        transformers = pytest.importorskip("transformers", reason="the oracle is not installed")
        tokenizer = Tokenizer.learn([CATS], kind=kind)
        tokenizer.write(tmp_path)
        if model_type:
            (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        text = "the dog, saw\nthe hat"
        assert theirs(text).input_ids == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text
        assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.end_id, tokenizer.pad_id)
        assert theirs.unk_token_id == tokenizer.unknown_id
        assert len(theirs) == tokenizer.vocab_size

    def test_the_folder_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(RunError, match="could not be written"):
            Tokenizer.learn([CATS]).write(tmp_path / "file")

    def test_chat_template_beside_it(self, tmp_path: Path) -> None:
        Tokenizer.learn([CATS]).write(tmp_path, chat_template="{{ messages }}")
        assert (tmp_path / "chat_template.jinja").read_text() == "{{ messages }}"


class TestShown:
    def test_tokens_for_people(self) -> None:
        tokenizer = Tokenizer.learn(["a cat a cat a cat"])
        cat, *_ = tokenizer.encode(" cat")
        assert tokenizer.token(cat) == " cat"
        shown = [tokenizer.token(id) for id in tokenizer.encode("漢")]
        assert shown == ["\\xe6", "\\xbc", "\\xa2"]

    def test_a_negative_id_has_no_token(self) -> None:
        with pytest.raises(TokenizerError, match="-1; ids start at 0"):
            Tokenizer.learn([CATS]).token(-1)

    def test_special_tokens_are_left_out_unless_asked_for(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words")
        ids = [*tokenizer.encode("the dog"), tokenizer.end_id]
        assert tokenizer.decode(ids) == "the dog"
        assert tokenizer.decode(ids, keep_special=True) == f"the dog{END}"

    def test_a_stream_waits_for_whole_characters(self) -> None:
        tokenizer = Tokenizer.learn(["a"], vocab_size=258)
        stream = tokenizer.stream()
        assert [stream.push(id) for id in tokenizer.encode("aé漢")] == ["a", "", "é", "", "", "漢"]
        assert stream.finish() == ""
        stream.push(tokenizer.encode("漢")[0])
        assert stream.finish() == "\ufffd"

    def test_a_stream_of_words_drops_only_the_first_space(self) -> None:
        tokenizer = Tokenizer.learn([CATS], kind="words")
        stream = tokenizer.stream()
        ids = [tokenizer.end_id, *tokenizer.encode("the dog"), *tokenizer.encode("the")]
        assert [stream.push(id) for id in ids] == ["", "the", " dog", " the"]


def test_a_real_text_comes_back_whole(shared_data: Path) -> None:
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")[:300_000]
    tokenizer = Tokenizer.learn([text])
    ids = tokenizer.encode(text)
    assert tokenizer.vocab_size == 2048  # 4 × √300,000 = 2191
    assert tokenizer.decode(ids) == text
    assert len(text) / len(ids) > 2.7
