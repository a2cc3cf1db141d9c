"""Shards: exact tokens, reuse only of what is the same, nothing half-made taken for done."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from tests.damage import DAMAGES
from tests.letters import END, Letters

from nextword.data.corpus import Corpus, Piece, open_corpus
from nextword.data.records import readers
from nextword.data.shards import shard_writer, strip_encoding, token_shards
from nextword.data.shards.token_shards import Shards, prepare
from nextword.errors import BadLineError, DataError, RunError
from nextword.tokenizer.tokenizer import Tokenizer


def letters(vocab_size: int = 1 << 16, fingerprint: str = "letters") -> Tokenizer:
    return cast(Tokenizer, Letters(vocab_size, fingerprint))


def ids(text: str) -> list[int]:
    """The tokens of a text in which | stands for the end token."""
    return [END if letter == "|" else ord(letter) for letter in text]


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    pairs = [{"prompt": "hé", "reply": "yes"}, {"prompt": "you", "reply": "k"}]
    path.write_text("\n".join(map(json.dumps, pairs)))
    return path


def made(path: Path, folder: Path, tokenizer: Tokenizer | None = None) -> tuple[Shards, bool]:
    """The shards of a file, and whether they were made anew."""
    tokenizer = letters() if tokenizer is None else tokenizer
    calls = cast(Letters, tokenizer).calls
    prepared = prepare(open_corpus([path]), tokenizer, folder)
    return prepared, cast(Letters, tokenizer).calls > calls


def test_dialogues_by_hand(dialogues: Path, tmp_path: Path) -> None:
    found, _ = made(dialogues, tmp_path / "shards")
    expected = ids("hé|yes|you|k|")
    assert (found.n_tokens, found.n_documents, found.n_bytes) == (13, 2, 10)
    assert found.is_dialogue
    assert found.dtype == np.uint16
    assert found.tokens(0, 13).tolist() == expected
    assert found.tokens(2, 7).tolist() == expected[2:7]
    assert found.tokens(4, 4).tolist() == []
    assert found.document_starts.tolist() == [0, 7, 13]
    assert found.document_starts.dtype == np.uint64
    is_reply = [flag == "r" for flag in "...rrrr....rr"]
    assert found.replies(0, 13).tolist() == is_reply
    assert found.replies(5, 12).tolist() == is_reply[5:12]
    found.verify()


def test_text_by_hand(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("ab\nc")
    (tmp_path / "data" / "b.txt").write_text("é")
    found, _ = made(tmp_path / "data", tmp_path / "shards", letters(70_000))
    assert found.tokens(0, 7).tolist() == ids("ab\nc|é|")
    assert found.dtype == np.uint32
    assert found.document_starts.tolist() == [0, 5, 7]
    assert found.replies(0, 7).all()
    assert found.n_bytes == 6
    assert not found.is_dialogue
    assert not list((tmp_path / "shards").glob("replies*"))


def test_many_files_and_pieces_give_the_same_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_shards, "FILE_TOKENS", 64)
    monkeypatch.setattr(shard_writer, "_HELD", 10)
    monkeypatch.setattr(shard_writer, "_BATCH", 30)
    monkeypatch.setattr(strip_encoding, "STRIP", 13)
    monkeypatch.setattr(strip_encoding, "MARGIN", 0)
    monkeypatch.setattr(readers, "PIECE", 40)
    monkeypatch.setattr(readers, "_BLOCK", 11)
    text = "".join(f"line {number}\n" for number in range(50))
    (tmp_path / "a.txt").write_text(text)
    pairs = [{"prompt": "p" * n, "reply": "r" * (60 - n)} for n in range(1, 50)]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    corpus = open_corpus([tmp_path / "a.txt", tmp_path / "b.jsonl"])
    found = prepare(corpus, letters(), tmp_path / "shards")
    expected = ids(text + "|" + "".join(f"{p['prompt']}|{p['reply']}|" for p in pairs))
    is_reply = [True] * (len(text) + 1)
    for n in range(1, 50):
        is_reply += [False] * (n + 1) + [True] * (61 - n)
    assert len(list((tmp_path / "shards").glob("tokens-*"))) == -(-len(expected) // 64)
    assert found.n_documents == 50
    assert found.tokens(0, found.n_tokens).tolist() == expected
    assert found.replies(0, found.n_tokens).tolist() == is_reply
    assert found.tokens(60, 200).tolist() == expected[60:200]
    at = np.array([[0, 500], [63, 64], [len(expected) - 1, 7]])
    assert found.take(at).tolist() == [[expected[i] for i in row] for row in at.tolist()]
    assert found.take_replies(at).tolist() == [[is_reply[i] for i in row] for row in at.tolist()]
    found.verify()


def test_progress_rises_to_the_whole(dialogues: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare(
        open_corpus([dialogues]),
        letters(),
        tmp_path / "shards",
        progress=lambda done, total: told.append((done, total)),
    )
    size = dialogues.stat().st_size
    assert told[-1] == (size, size)
    assert told == sorted(told)


# Reuse


def test_reused_when_nothing_or_only_the_time_changed(dialogues: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    assert made(dialogues, folder)[1]
    assert not made(dialogues, folder)[1]
    os.utime(dialogues, ns=(1, 1))
    assert not made(dialogues, folder)[1]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["glance"][0][2] == 1  # noted, so that the next time nothing is read
    copy = tmp_path / "elsewhere" / dialogues.name
    copy.parent.mkdir()
    shutil.copy(dialogues, copy)
    assert not made(copy, folder)[1]


def test_an_unchanged_corpus_is_not_read_again(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(dialogues, tmp_path / "shards")

    def refuse(self: Corpus) -> None:
        raise AssertionError("the files were read")

    monkeypatch.setattr(Corpus, "fingerprint", refuse)
    assert made(dialogues, tmp_path / "shards")[0].corpus[0]["name"] == "a.jsonl"


def test_made_anew_when_content_or_tokenizer_changed(dialogues: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    made(dialogues, folder)
    assert made(dialogues, folder, letters(fingerprint="other"))[1]
    assert made(dialogues, folder)[1]
    content = dialogues.read_text()
    dialogues.write_text(content.replace("yes", "yet"))  # of the same size
    found, anew = made(dialogues, folder)
    assert anew
    assert found.tokens(3, 7).tolist() == ids("yet|")
    dialogues.write_text(content + "\n" + content)
    assert made(dialogues, folder)[0].n_documents == 4


def test_shards_that_skipped_a_line_are_not_for_those_who_do_not_skip(
    dialogues: Path, tmp_path: Path
) -> None:
    dialogues.write_text(dialogues.read_text() + "\nbroken")
    folder, tokenizer = tmp_path / "shards", letters()
    assert prepare(open_corpus([dialogues], skip_bad=True), tokenizer, folder).bad == 1
    calls = cast(Letters, tokenizer).calls
    assert prepare(open_corpus([dialogues], skip_bad=True), tokenizer, folder).bad == 1
    assert cast(Letters, tokenizer).calls == calls
    with pytest.raises(BadLineError, match=r"a\.jsonl:3"):
        prepare(open_corpus([dialogues]), tokenizer, folder)


# Damage


@pytest.mark.parametrize("name", ["tokens-00000.bin", "replies-00000.bin", "starts.bin"])
def test_a_torn_set_is_detected_and_made_anew(dialogues: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "shards"
    made(dialogues, folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1])
    with pytest.raises(DataError, match=f"{name} has {len(whole) - 1} bytes"):
        Shards(folder)
    assert made(dialogues, folder)[1]
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        Shards(folder)
    assert made(dialogues, folder)[1]
    assert (folder / name).read_bytes() == whole


@pytest.mark.parametrize("manifest", ["", "[]", '{"format": 0}'])
def test_a_broken_manifest_is_no_manifest(dialogues: Path, tmp_path: Path, manifest: str) -> None:
    made(dialogues, tmp_path / "shards")
    (tmp_path / "shards" / "manifest.json").write_text(manifest)
    with pytest.raises(DataError):
        Shards(tmp_path / "shards")
    assert made(dialogues, tmp_path / "shards")[1]


@pytest.mark.parametrize("name", ["tokens-00000.bin", "replies-00000.bin", "starts.bin"])
def test_a_flipped_bit_is_told_and_the_shards_are_made_anew(
    dialogues: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "shards"
    made(dialogues, folder)
    whole = (folder / name).read_bytes()
    DAMAGES["flip in the middle"](folder / name)
    told: list[str] = []
    found = prepare(open_corpus([dialogues]), letters(), folder, warn=told.append)
    path = folder / name
    assert told == [f"{path} was damaged since it was made; the data is tokenized again"]
    assert found.tokens(0, 13).tolist() == ids("hé|yes|you|k|")
    assert path.read_bytes() == whole
    assert not made(dialogues, folder)[1]


def test_a_manifest_with_another_digit_is_damaged(dialogues: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    made(dialogues, folder)
    path = folder / "manifest.json"
    whole = path.read_text()
    for key, number in (("n_documents", 2), ("n_tokens", 13), ("n_bytes", 10), ("pad_id", 0)):
        assert f'"{key}": {number}' in whole
        path.write_text(whole.replace(f'"{key}": {number}', f'"{key}": {number + 1}'))
        with pytest.raises(DataError, match=r"manifest\.json is damaged"):
            Shards(folder)
        assert made(dialogues, folder)[1]
        assert path.read_text() == whole


def test_a_manifest_of_version_0_1_is_read_and_its_numbers_fit_the_files(
    dialogues: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    made(dialogues, folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))
    assert not made(dialogues, folder)[1]
    wrong = {"n_documents": 3, "n_tokens": 12, "dtype": "uint32", "is_dialogue": False}
    for key, value in (wrong | {"file_tokens": 8, "corpus": None, "files": []}).items():
        path.write_text(json.dumps(manifest | {key: value}))
        with pytest.raises(DataError, match=r"manifest\.json is damaged"):
            Shards(folder)
    del manifest["files"]["starts.bin"]["sha256"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        Shards(folder)


def test_large_shards_are_verified_file_by_file_at_their_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_shards, "FILE_TOKENS", 8)
    monkeypatch.setattr(token_shards, "VERIFIED_AT_ONCE", 40)
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrstu")
    folder = tmp_path / "shards"
    made(tmp_path / "a.txt", folder)
    DAMAGES["flip in the middle"](folder / "tokens-00001.bin")
    found, anew = made(tmp_path / "a.txt", folder)
    assert not anew
    assert found.tokens(0, 8).tolist() == ids("abcdefgh")
    assert found.take(np.array([17, 3])).tolist() == ids("rd")
    for _ in range(2):
        with pytest.raises(DataError, match=r"tokens-00001\.bin was damaged; delete .*shards"):
            found.take(np.array([3, 9]))
        with pytest.raises(DataError, match=r"tokens-00001\.bin was damaged; delete .*shards"):
            found.tokens(5, 12)
    read: list[str] = []
    monkeypatch.setattr(token_shards, "damaged_file", lambda _, __, names: read.extend(names))
    found.tokens(0, 8)
    assert read == []  # once is enough


def test_verify_finds_a_flipped_bit(dialogues: Path, tmp_path: Path) -> None:
    found, _ = made(dialogues, tmp_path / "shards")
    path = tmp_path / "shards" / "tokens-00000.bin"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"tokens-00000\.bin was damaged"):
        found.verify()


def test_what_a_killed_process_left_is_thrown_away(dialogues: Path, tmp_path: Path) -> None:
    left = tmp_path / ".shards.partial"
    left.mkdir()
    (left / "tokens-00000.bin").write_bytes(b"half")
    found, _ = made(dialogues, tmp_path / "shards")
    assert found.n_tokens == 13
    assert not left.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_a_stop_in_the_middle_keeps_what_was_there(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    folder = tmp_path / "shards"
    made(dialogues, folder)
    pieces = Corpus.pieces

    def interrupted(self: Corpus) -> Iterator[Piece]:
        yield next(pieces(self))
        raise stop

    monkeypatch.setattr(Corpus, "pieces", interrupted)
    with pytest.raises(stop):
        made(dialogues, folder, letters(fingerprint="other"))
    assert not made(dialogues, folder)[1]
    with pytest.raises(stop):
        made(dialogues, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "shards"]


def test_a_full_disk_is_told_and_leaves_nothing(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_writer, "sync", full)
    with pytest.raises(RunError, match="the disk is full"):
        made(dialogues, tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_data_that_changes_while_it_is_read_is_refused(
    dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = Corpus.pieces

    def changed(self: Corpus) -> Iterator[Piece]:
        yield from pieces(self)
        dialogues.write_text("changed")

    monkeypatch.setattr(Corpus, "pieces", changed)
    with pytest.raises(DataError, match="changed while it was read"):
        made(dialogues, tmp_path / "shards")


def test_a_corpus_of_blank_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(DataError, match="holds no document"):
        made(tmp_path / "a.jsonl", tmp_path / "shards")


def test_runs_begun_before_cuts_were_exact_keep_their_tokens(tmp_path: Path) -> None:
    text = "".join(f"The cat {number} sat\n" for number in range(9000))
    path, folder = tmp_path / "a.txt", tmp_path / "shards"
    path.write_text(text)
    tokenizer = Tokenizer.learn([text], kind="words")
    before = prepare(open_corpus([path]), tokenizer, folder, exact_cuts=False)
    assert before.n_tokens == len(tokenizer.encode(text)) + 1
    kept = before.tokens(0, before.n_tokens).tolist()
    assert kept[:-1] != tokenizer.encode(text)  # each strip began with " The"
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["exact_cuts"], manifest["sha256"]  # earlier versions did not write it
    (folder / "manifest.json").write_text(json.dumps(manifest))
    made_in = (folder / "tokens-00000.bin").stat().st_ino
    again = prepare(open_corpus([path]), tokenizer, folder, exact_cuts=False)
    assert again.tokens(0, again.n_tokens).tolist() == kept
    assert (folder / "tokens-00000.bin").stat().st_ino == made_in
    now = prepare(open_corpus([path]), tokenizer, folder)
    assert now.tokens(0, now.n_tokens).tolist() == [*tokenizer.encode(text), tokenizer.end_id]
    assert tokenizer.decode(now.tokens(0, now.n_tokens).tolist()) == text


def test_data_under_another_name_are_not_encoded_again(dialogues: Path, tmp_path: Path) -> None:
    made(dialogues, tmp_path / "shards")
    renamed = dialogues.rename(tmp_path / "b.jsonl")
    found, anew = made(renamed, tmp_path / "shards")
    assert not anew
    assert [file["name"] for file in found.corpus] == ["b.jsonl"]
