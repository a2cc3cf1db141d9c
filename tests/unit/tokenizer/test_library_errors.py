"""Panics and errors of the tokenizers library leave as TokenizerErrors at every door."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from nextword.errors import ConfigError, TokenizerError
from nextword.tokenizer.library_errors import guarded
from nextword.tokenizer.tokenizer import Tokenizer


class PanicException(BaseException):
    """Stands in for the library's: no Exception, and of a module that cannot be imported."""

    __module__ = "pyo3_runtime"


@pytest.mark.parametrize("error", [PanicException("index out\n of bounds"), Exception("bad merge")])
def test_panics_and_errors_are_translated_in_one_line(error: BaseException) -> None:
    with pytest.raises(TokenizerError) as caught, guarded("it fails", mend="mend it"):
        raise error
    assert str(caught.value) == f"it fails: {' '.join(str(error).split())}; mend it"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), MemoryError(), ConfigError("x")]
)
def test_what_ends_the_program_and_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guarded("it fails", mend="mend it"):
        raise error
    assert caught.value is error


def written(folder: Path, **parts: Any) -> Path:
    """Write a tokenizer of words with parts replaced."""
    Tokenizer.learn(["the cat sat on the mat"], kind="words").write(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | parts))
    return folder


LOADING = {  # a prefix longer than the piece that it is taken off
    "type": "BPE",
    "vocab": {"a": 0, "b": 1, "ab": 2},
    "merges": ["a b"],
    "continuing_subword_prefix": "é" * 9,
}
TRIE = base64.b64encode(struct.pack("<I", 8) + b"\xff" * 8 + b"x\0").decode()  # points outside
ENCODING = {"type": "Precompiled", "precompiled_charsmap": TRIE}
DECODING = {"type": "Strip", "content": "t", "start": 0, "stop": 9}  # takes more than there is


def test_a_panic_while_a_file_is_loaded(tmp_path: Path) -> None:
    folder = written(tmp_path, model=LOADING, added_tokens=[])
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is no tokenizer .* out of range"):
        Tokenizer.read(folder)


@pytest.mark.parametrize("texts", [["the cat"], ["the cat"] * 50], ids=["one", "on many threads"])
def test_a_panic_while_a_text_is_encoded(texts: list[str], tmp_path: Path) -> None:
    tokenizer = Tokenizer.read(written(tmp_path, normalizer=ENCODING))
    with pytest.raises(TokenizerError, match="cannot encode a text: index out of bounds"):
        tokenizer.encode_many(texts)


def test_a_panic_while_tokens_are_decoded(tmp_path: Path) -> None:
    vocab = {"t": 0, "<|end|>": 1}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "t"}
    folder = written(tmp_path, decoder=DECODING, model=model, added_tokens=[])
    tokenizer = Tokenizer.read(folder)
    with pytest.raises(TokenizerError, match="cannot decode these tokens: index out of bounds"):
        tokenizer.decode([0])
    stream = tokenizer.stream()
    with pytest.raises(TokenizerError, match="cannot decode these tokens"):
        stream.push(0)


def test_a_vocabulary_without_its_unknown_token(tmp_path: Path) -> None:
    model = {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "gone"}
    folder = written(tmp_path, model=model, added_tokens=[])
    (folder / "tokenizer_config.json").write_text('{"eos_token": "a"}')
    tokenizer = Tokenizer.read(folder)
    with pytest.raises(TokenizerError, match="cannot encode a text"):
        tokenizer.encode("c")


@pytest.mark.parametrize(
    "parts",
    [
        {"added_tokens": [{"content": "x"}]},
        {"added_tokens": [{"id": 0, "content": 7}]},
        {"added_tokens": [7]},
        {"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}},
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": [[]]}},
        {"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}},
        {"model": {"type": "WordLevel", "vocab": {}, "unk_token": []}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": 7}},
    ],
)
def test_impossible_files_are_refused_by_name(parts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json|tokenizer_config\.json"):
        Tokenizer.read(written(tmp_path, **parts))
