"""What a stranger's tokenizer.json may ask of memory and time."""

import base64
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from nextword.errors import TokenizerError
from nextword.tokenizer.size_limits import problem_in
from nextword.tokenizer.tokenizer import Tokenizer

MODEL = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}


def replace(content: str, **pattern: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(parts)}


def charsmap(trie: bytes, texts: bytes, *, size: int | None = None) -> dict[str, Any]:
    """A Precompiled normalizer; `size` is what it claims for the trie."""
    claimed = struct.pack("<I", len(trie) if size is None else size)
    encoded = base64.b64encode(claimed + trie + texts).decode()
    return {"type": "Precompiled", "precompiled_charsmap": encoded}


def nested(depth: int) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "NFC"}
    for _ in range(depth):
        part = sequence(part)
    return part


UNIGRAM = {"type": "Unigram", "unk_id": 0}
BOMBS: dict[str, tuple[dict[str, Any], str]] = {
    "cubic words": (
        {"model": {"type": "WordPiece", "vocab": {"a": 0}, "max_input_chars_per_word": 10**6}},
        "max_input_chars_per_word to 1000000; at most 256",
    ),
    "growing five times": (
        {"normalizer": sequence(*(replace("b" * 100, String="a"),) * 5)},
        "1e+10 characters of one in its normalizer; at most 40",
    ),
    "growing by a pattern": (
        {"normalizer": replace("b" * 65, Regex="[a-z]")},
        "65 characters of one",
    ),
    "growing between characters": (
        {"normalizer": sequence(*(replace("ab", Regex="x*"),) * 4)},
        "81 characters of one",
    ),
    "prepending": (
        {"normalizer": {"type": "Prepend", "prepend": "▁" * 64}},
        "65 characters of one",
    ),
    "growing while decoding": (
        {"decoder": {"type": "Sequence", "decoders": [replace("b" * 9, String="a")] * 2}},
        "81 characters of one in its decoder",
    ),
    "a trie of 8 GB": (
        {"normalizer": charsmap(b"", b"", size=2**32 - 4)},
        "precompiled_charsmap of 4 bytes that claims a trie of 4294967292 bytes",
    ),
    "a map that is cut short": (
        {"normalizer": sequence(charsmap(b"1234", b"", size=8))},
        "claims a trie of 8 bytes",
    ),
    "a map that grows": (
        {"normalizer": sequence(charsmap(b"", b"x" * 21 + b"\0y"), replace("aa", String="a"))},
        "makes up to 42 characters",
    ),
    "no map": (
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "*"}},
        "no base64",
    ),
    "deep": ({"normalizer": nested(40)}, "more than 32 deep"),
    "many components": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}] * 300}},
        "301 components in its pre_tokenizer; at most 200",
    ),
    "a long string": (
        {"post_processor": {"type": "ByteLevel", "x": "y" * 65_537}},
        "65537 characters in its post_processor; at most 65536",
    ),
    "a large count": (
        {"decoder": {"type": "Strip", "content": " ", "start": 10**12, "stop": 0}},
        "start to 1000000000000 in its decoder",
    ),
    "a long list": (
        {"post_processor": {"type": "TemplateProcessing", "single": [{}] * 10_001}},
        "a list of 10001 in its post_processor",
    ),
    "long pieces": (
        {"model": UNIGRAM | {"vocab": [["a", 0.0], ["b" * 1025, 0.0]]}},
        "a token of 1025 characters; at most 1024",
    ),
    "long words": (
        {"model": MODEL | {"vocab": {"a": 0, "b" * ((1 << 20) + 1): 1}}},
        "a token of 1048577 characters",
    ),
    "long added tokens": (
        {"added_tokens": [{"id": 1, "content": "b" * 65_537}]},
        "an added token of 65537 characters",
    ),
    "many added tokens": (
        {"added_tokens": [{"id": 1, "content": "b"}] * 200_001},
        "200001 added tokens; at most 200000",
    ),
    "a slow pattern": (
        {"normalizer": replace("", Regex=r"(a+)*$")},
        "repeats a repetition without end",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_the_library_sees_them(name: str, tmp_path: Path) -> None:
    parts, message = BOMBS[name]
    folder = tmp_path
    Tokenizer.learn(["a b"], kind="words").write(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | parts))
    start = time.process_time()
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.read(folder)
    assert message in str(caught.value) and "tokenizer.json" in str(caught.value)
    assert time.process_time() - start < 5


REAL: dict[str, dict[str, Any]] = {  # the parts of tokenizers that are in use
    "llama 2": sequence({"type": "Prepend", "prepend": "▁"}, replace("▁", String=" ")),
    "albert": sequence(
        replace('"', String="``"),
        replace('"', String="''"),
        {"type": "NFKD"},
        {"type": "StripAccents"},
        {"type": "Lowercase"},
        charsmap(b"1234" * 9, "صلى الله عليه وسلم".encode() + b"\0a\0"),
        replace(" ", Regex=" {2,}"),
    ),
    "ten patterns": sequence(*(replace(" ", Regex=r"\s+\n?|\t"),) * 10),
    "an empty map": {"type": "Precompiled", "precompiled_charsmap": None},
}


@pytest.mark.parametrize("name", REAL)
def test_normalizers_in_use_are_within_the_bounds(name: str) -> None:
    assert problem_in({"model": MODEL, "normalizer": REAL[name]}) is None


def test_ids_of_a_post_processor_may_be_as_large_as_any_id() -> None:
    special = {"id": "<s>", "ids": [3_999_999], "tokens": ["<s>"]}
    part = {"type": "TemplateProcessing", "single": [], "special_tokens": {"<s>": special}}
    assert problem_in({"model": MODEL, "post_processor": part}) is None
