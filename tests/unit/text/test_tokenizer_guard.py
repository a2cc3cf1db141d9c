"""Panics and errors of the tokenizers library leave as TokenizerErrors at every door."""

import json
from pathlib import Path
from typing import Any

import pytest

from nextword.errors import ConfigError, TokenizerError
from nextword.text.tokenizer import Tokenizer
from nextword.text.tokenizer_guard import guarded


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


PANICS = {"type": "Strip", "content": " ", "start": 0, "stop": 9}  # takes more than there is


def test_the_library_s_own_panic_while_it_decodes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizer = Tokenizer.read(written(tmp_path, decoder=PANICS))
    ids = tokenizer.encode("the cat")
    try:
        tokenizer.decode(ids)
    except TokenizerError as error:
        assert "cannot decode these tokens" in str(error)
    tokenizer._backend = _Panicking()  # type: ignore[assignment]
    for call in (lambda: tokenizer.decode(ids), lambda: tokenizer.encode("the cat")):
        with pytest.raises(TokenizerError, match="this tokenizer cannot"):
            call()


class _Panicking:
    """A backend in which everything panics."""

    def __getattr__(self, name: str) -> Any:
        def panic(*_: Any, **__: Any) -> None:
            raise PanicException("called `Option::unwrap()` on a `None` value")

        return panic


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
