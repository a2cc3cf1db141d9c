"""Tokenizers that other projects made: which ones are opened, and which are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from nextword.errors import TokenizerError
from nextword.tokenizer.tokenizer import END, UNKNOWN, Tokenizer

CATS = "the cat saw the dog, the dog saw\nthe Cat’s hat"
ODD = "Ärger e\u0301 🏳️‍🌈 \u2028\x00\t  <|end|><|pad|> 漢字\n\n"


def bytes_only(added: list[AddedToken]) -> Backend:
    """A byte-level tokenizer of 256 bytes plus `added`, as GPT-2's is put together."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(vocab={piece: i for i, piece in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(added)
    return backend


def special(name: str) -> AddedToken:
    return AddedToken(name, special=True, normalized=False)


def written(folder: Path, backend: Backend, **files: Any) -> Path:
    """A folder with `backend` and JSON files: `generation_config={…}`."""
    (folder / "tokenizer.json").write_text(backend.to_str(), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def edited(folder: Path, change: dict[str, Any]) -> Path:
    """The folder of a small tokenizer with parts of its tokenizer.json replaced."""
    Tokenizer.learn([CATS], kind="words").write(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    return folder


class TestForeign:
    def test_gpt2(self, tmp_path: Path) -> None:
        backend = bytes_only([special("<|endoftext|>")])
        written(tmp_path, backend, tokenizer_config={"model_max_length": 1024})
        tokenizer = Tokenizer.read(tmp_path)
        assert (tokenizer.kind, tokenizer.vocab_size) == ("bpe", 257)
        assert tokenizer.end_id == tokenizer.pad_id == 256  # there is no other special token
        assert tokenizer.end_id not in tokenizer.encode("<|endoftext|>")
        assert tokenizer.decode(tokenizer.encode(ODD)) == ODD
        tokenizer.write(tmp_path / "again")
        assert Tokenizer.read(tmp_path / "again").fingerprint == tokenizer.fingerprint

    def test_llama3_adds_no_start_token_and_ends_at_several(self, tmp_path: Path) -> None:
        names = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"]
        backend = bytes_only([special(name) for name in names])
        backend.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 256)]
        )
        config = {"eos_token": "<|eot_id|>", "bos_token": "<|begin_of_text|>"}
        generation = {"eos_token_id": [257, 258, 2**32]}
        written(tmp_path, backend, tokenizer_config=config, generation_config=generation)
        tokenizer = Tokenizer.read(tmp_path)
        assert len(tokenizer.encode("ab")) == 2
        assert (tokenizer.end_id, tokenizer.end_ids) == (258, frozenset({257, 258}))
        assert tokenizer.token(tokenizer.pad_id) == "<|finetune_right_pad_id|>"

    def test_qwen_with_objects_and_ordinary_added_tokens(self, tmp_path: Path) -> None:
        added = [special("<|endoftext|>"), special("<|im_start|>"), special("<|im_end|>")]
        backend = bytes_only([*added, AddedToken("<think>", special=False, normalized=False)])
        end = {"content": "<|im_end|>", "special": True}
        pad = {"content": "<|endoftext|>", "special": True}
        written(tmp_path, backend, tokenizer_config={"eos_token": end, "pad_token": pad})
        tokenizer = Tokenizer.read(tmp_path)
        assert (tokenizer.end_id, tokenizer.pad_id) == (258, 256)
        assert tokenizer.encode("<think>") == [259]
        stream = tokenizer.stream()
        ids = [259, *tokenizer.encode("é"), 258]
        assert [stream.push(id) for id in ids] == ["<think>", "", "é", ""]
        assert tokenizer.token(400) == "<|nothing 400|>"

    def test_pad_equal_to_end_is_replaced_by_another_special(self, tmp_path: Path) -> None:
        backend = bytes_only([special("</s>"), special("<s>")])
        config = {"eos_token": "</s>", "pad_token": "</s>"}
        tokenizer = Tokenizer.read(written(tmp_path, backend, tokenizer_config=config))
        assert (tokenizer.end_id, tokenizer.pad_id) == (256, 257)

    def test_end_token_only_in_generation_config(self, tmp_path: Path) -> None:
        backend = bytes_only([special("<a>"), special("<b>")])
        written(tmp_path, backend, generation_config={"eos_token_id": 257})
        assert Tokenizer.read(tmp_path).end_id == 257

    def test_end_token_that_is_not_marked_special(self, tmp_path: Path) -> None:
        backend = bytes_only([AddedToken("<stop>", special=False, normalized=False)])
        written(tmp_path, backend, tokenizer_config={"eos_token": "<stop>"})
        tokenizer = Tokenizer.read(tmp_path)
        assert tokenizer.end_id == 256
        assert 256 not in tokenizer.encode("a<stop>b")

    def test_sentencepiece_style_streams_and_shows_bytes(self, tmp_path: Path) -> None:
        pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a"]
        vocab = {piece: id for id, piece in enumerate([*pieces, "b", "▁a"])}
        backend = Backend(
            models.BPE(vocab=vocab, merges=[("▁", "a")], unk_token="<unk>", byte_fallback=True)
        )
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", split=False)
        backend.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        backend.add_special_tokens([special("<unk>"), special("<s>"), special("</s>")])
        written(tmp_path, backend, tokenizer_config={"eos_token": "</s>", "pad_token": "<unk>"})
        tokenizer = Tokenizer.read(tmp_path)
        text = "a b漢 aé a"
        ids = tokenizer.encode(text)
        stream = tokenizer.stream()
        pushed = [stream.push(id) for id in ids]
        assert "".join([*pushed, stream.finish()]) == tokenizer.decode(ids) == text
        assert not any("\ufffd" in piece for piece in pushed)
        assert tokenizer.token(vocab["▁a"]) == " a"
        assert tokenizer.token(vocab["<0xE2>"]) == "\\xe2"
        assert tokenizer.end_id not in tokenizer.encode("</s>")

    def test_truncation_in_the_file_is_switched_off(self, tmp_path: Path) -> None:
        backend = bytes_only([special("</s>")])
        backend.enable_truncation(3)
        backend.enable_padding(length=5)
        assert len(Tokenizer.read(written(tmp_path, backend)).encode("abcd")) == 4


class TestRefused:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(TokenizerError, match=r"tokenizer\.json does not exist"):
            Tokenizer.read(tmp_path)

    @pytest.mark.parametrize("content", ["{", "[1]", "{}", '{"model": {}}', "\ufffe", "[" * 99999])
    def test_damaged(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
        with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
            Tokenizer.read(tmp_path)

    def test_too_large(self, tmp_path: Path) -> None:
        with (tmp_path / "tokenizer.json").open("wb") as file:
            file.truncate((64 << 20) + 1)  # sparse
        with pytest.raises(TokenizerError, match="67108865 bytes; at most 67108864"):
            Tokenizer.read(tmp_path)

    @pytest.mark.parametrize("id", [2**32 - 1, 4_000_000, -1, "7", None, True, 1.0])
    def test_impossible_ids(self, id: Any, tmp_path: Path) -> None:
        model = {"type": "WordLevel", "vocab": {"a": 0, UNKNOWN: id}, "unk_token": UNKNOWN}
        with pytest.raises(TokenizerError, match="from 0 to 3999999"):
            Tokenizer.read(edited(tmp_path, {"model": model}))

    def test_added_token_with_a_gap(self, tmp_path: Path) -> None:
        gap = {"id": 77, "content": END, "single_word": False, "lstrip": False, "rstrip": False}
        added = [gap | {"normalized": False, "special": True}]
        with pytest.raises(TokenizerError, match="the id 77, but its place is 10"):
            Tokenizer.read(edited(tmp_path, {"added_tokens": added}))

    def test_slow_pattern(self, tmp_path: Path) -> None:
        split = pre_tokenizers.Split(Regex(r"(\w+\s?)*$"), "isolated")
        part = json.loads(split.__getstate__())
        with pytest.raises(TokenizerError, match="repeats a repetition without end"):
            Tokenizer.read(edited(tmp_path, {"pre_tokenizer": part}))

    def test_no_end_token(self, tmp_path: Path) -> None:
        with pytest.raises(TokenizerError, match="which token ends a reply"):
            Tokenizer.read(written(tmp_path, bytes_only([])))

    def test_end_token_that_is_not_there(self, tmp_path: Path) -> None:
        config = {"eos_token": "<gone>"}
        with pytest.raises(TokenizerError, match="'<gone>', which its"):
            Tokenizer.read(written(tmp_path, bytes_only([]), tokenizer_config=config))
