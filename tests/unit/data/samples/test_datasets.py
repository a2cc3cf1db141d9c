"""Windows, rows and the split, by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from tests.letters import END, PAD, Letters

from nextword.data.corpus import open_corpus
from nextword.data.samples.datasets import Samples, Windows
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.splits import Part, split, whole
from nextword.data.shards import token_shards as shards_module
from nextword.data.shards.token_shards import Shards, prepare
from nextword.errors import ConfigError, DataError
from nextword.tokenizer.tokenizer import Tokenizer


def prepared(folder: Path, records: Sequence[dict[str, str]]) -> Shards:
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    tokenizer = cast(Tokenizer, Letters())
    return prepare(open_corpus([folder / "a.jsonl"]), tokenizer, folder / "shards")


def texts(folder: Path, *lengths: int) -> Shards:
    """Texts of so many tokens, end token included; token n of the stream is its own number + 100,
    so that a test can tell it.
    """
    numbers = iter(range(100, 100 + sum(lengths)))
    documents = [[chr(next(numbers)) for _ in range(length)] for length in lengths]
    return prepared(folder, [{"text": "".join(letters[:-1])} for letters in documents])


def shown(tokens: np.ndarray) -> str:
    """Tokens as letters: | is the end token, _ padding, . no target."""
    marks = {END: "|", PAD: "_", -1: "."}
    return "".join(marks.get(token) or chr(token) for token in tokens.tolist())


# Windows


def test_the_first_epoch_covers_the_text_from_its_first_token(tmp_path: Path) -> None:
    windows = Windows(texts(tmp_path, 23), context_length=5, seed=0)
    assert windows.n_samples(0) == 4  # 4 × 5 + 1 targets ahead ≤ 23
    tokens, targets, documents = windows.batch(0, 4)
    assert documents is None
    assert sorted(tokens[:, 0].tolist()) == [100, 105, 110, 115]
    assert (targets[:, :-1] == tokens[:, 1:]).all()
    assert (targets[:, -1] == tokens[:, 0] + 5).all()
    assert tokens.dtype == targets.dtype == np.int64
    assert tokens.flags.c_contiguous
    assert targets.flags.c_contiguous


def test_later_epochs_are_cut_elsewhere(tmp_path: Path) -> None:
    windows = Windows(texts(tmp_path, 23), context_length=5, seed=0)
    offsets = [windows.offset(epoch) for epoch in range(50)]
    assert set(offsets) == {0, 1, 2, 3, 4}
    for epoch, offset in enumerate(offsets):
        n = windows.n_samples(epoch)
        assert n == (4 if offset <= 2 else 3)
        first = sorted(int(windows.sample(epoch, index).tokens[0]) for index in range(n))
        assert first == [100 + offset + 5 * index for index in range(n)]


def test_a_text_of_one_window_and_one_token_less(tmp_path: Path) -> None:
    shards = texts(tmp_path, 6)
    windows = Windows(shards, context_length=5, seed=0)
    assert [windows.n_samples(epoch) for epoch in range(9)] == [1] * 9
    assert windows.sample(8, 0).targets.tolist() == [101, 102, 103, 104, END]
    with pytest.raises(DataError, match=r"6 tokens .* needs 7 .*shorter --context \(at most 5\)"):
        Windows(shards, context_length=6, seed=0)


def test_windows_go_over_the_gaps_of_a_part(tmp_path: Path) -> None:
    part = Part(np.array([[0, 4], [4, 7], [10, 13], [18, 20]]))
    windows = Windows(texts(tmp_path, 20), context_length=3, seed=0, part=part)
    assert windows.n_samples(0) == 3
    seen = {tuple(row) for row in windows.batch(0, 3)[0].tolist()}
    assert seen == {(100, 101, 102), (103, 104, 105), (106, 110, 111)}
    last = next(row for row in windows.batch(0, 3)[1].tolist() if row[0] == 110)
    assert last == [110, 111, 112]


def test_windows_have_no_replies(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="windows of text have no replies"):
        Windows(texts(tmp_path, 20), context_length=3, seed=0, learn="replies")


def test_samples_of_a_window(tmp_path: Path) -> None:
    windows = Windows(texts(tmp_path, 20), context_length=3, seed=0)
    sample = windows.sample(1, 2)
    assert sample.documents.tolist() == [0, 0, 0]
    assert sample.documents.dtype == np.int32
    with pytest.raises(IndexError):
        windows.sample(0, 99)


# Rows


DIALOGUES = [
    {"prompt": "ab", "reply": "c"},  # ab|c| is 5 tokens
    {"prompt": "d", "reply": "e"},  # d|e| is 4
    {"prompt": "f", "reply": "ghi"},  # f|ghi| is 6
    {"prompt": "j", "reply": "kl"},  # j|kl| is 5
]


def rows_of(rows: Samples) -> set[tuple[str, str, str]]:
    tokens, targets, documents = rows.batch(0, rows.n_samples(0))
    assert documents is not None
    assert documents.dtype == np.int32
    return {
        (shown(a), shown(b), "".join("_" if number < 0 else str(number) for number in c.tolist()))
        for a, b, c in zip(tokens, targets, documents, strict=True)
    }


def test_rows_by_hand(tmp_path: Path) -> None:
    rows = Rows(prepared(tmp_path, DIALOGUES), context_length=11, seed=0)
    assert rows_of(rows) == {  # the longest first: f|ghi| opens a row, ab|c| fills it
        ("ab|c|f|ghi|", "b|c|.|ghi|.", "00000111111"),
        ("d|e|j|kl|__", "|e|.|kl|...", "000011111__"),
    }
    assert rows.used == 20 / 22
    assert rows.cut.dialogues == 0


def test_rows_that_learn_replies(tmp_path: Path) -> None:
    rows = Rows(prepared(tmp_path, DIALOGUES), context_length=11, seed=0, learn="replies")
    assert rows_of(rows) == {
        ("ab|c|f|ghi|", "..c|..ghi|.", "00000111111"),
        ("d|e|j|kl|__", ".e|..kl|...", "000011111__"),
    }


def test_long_documents_are_cut_without_losing_a_target(tmp_path: Path) -> None:
    rows = Rows(prepared(tmp_path, DIALOGUES), context_length=4, seed=0)
    assert rows.cut.dialogues == 1  # f|ghi|; the others lack only the last token
    assert rows_of(rows) == {
        ("ab|c", "b|c|", "0000"),
        ("d|e|", "|e|.", "0000"),
        ("f|__", "|...", "00__"),  # the prompt's beginning, which the reply does not see
        ("|ghi", "ghi|", "0000"),
        ("j|kl", "|kl|", "0000"),
    }


def test_earlier_versions_cut_every_so_many_tokens(tmp_path: Path) -> None:
    shards = prepared(tmp_path, DIALOGUES)
    rows = Rows(shards, context_length=4, seed=0, keep_prompts=False)
    assert rows.cut.dialogues == 1
    assert rows_of(rows) == {
        ("ab|c", "b|c|", "0000"),
        ("d|e|", "|e|.", "0000"),
        ("f|gh", "|ghi", "0000"),
        ("i|__", "|...", "00__"),
        ("j|kl", "|kl|", "0000"),
    }


def test_pieces_without_a_reply_are_left_out(tmp_path: Path) -> None:
    shards = prepared(tmp_path, [{"prompt": "abcdefgh", "reply": "ij"}])  # abcdefgh|ij|
    rows = Rows(shards, context_length=4, seed=0, learn="replies")
    assert rows_of(rows) == {("h|ij", ".ij|", "0000")}
    assert rows.cut.dialogues == 1
    rows = Rows(shards, context_length=3, seed=0, learn="replies")
    assert rows_of(rows) == {("|ij", "ij|", "000")}


def test_rows_of_texts(tmp_path: Path) -> None:
    rows = Rows(texts(tmp_path, 3, 2, 1), context_length=5, seed=0, learn="replies")
    tokens, targets, documents = rows.batch(0, 1)
    assert tokens.tolist() == [[100, 101, END, 103, END]]
    assert targets.tolist() == [[101, END, -1, END, -1]]
    assert documents is not None
    assert documents.tolist() == [[0, 0, 0, 1, 1]]


def test_rows_over_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Rows(prepared(tmp_path, DIALOGUES), context_length=11, seed=0, learn="replies")
    monkeypatch.setattr(shards_module, "FILE_TOKENS", 8)
    (tmp_path / "b").mkdir()
    many = Rows(prepared(tmp_path / "b", DIALOGUES), context_length=11, seed=0, learn="replies")
    assert rows_of(one) == rows_of(many)


# Going through the epochs


@pytest.mark.parametrize("kind", ["windows", "rows"])
def test_a_batch_is_its_samples_across_epochs(tmp_path: Path, kind: str) -> None:
    shards = texts(tmp_path, *[3, 5, 2, 7] * 5)
    make = Windows if kind == "windows" else Rows
    stream: Samples = make(shards, context_length=7, seed=9)
    expected = [
        stream.sample(epoch, index)
        for epoch in range(4)
        for index in range(stream.n_samples(epoch))
    ]
    for first, count in [(17, 13), (0, len(expected)), (5, 1)]:
        tokens, targets, documents = make(shards, context_length=7, seed=9).batch(first, count)
        some = expected[first : first + count]
        assert tokens.tolist() == [sample.tokens.tolist() for sample in some]
        assert targets.tolist() == [sample.targets.tolist() for sample in some]
        if documents is not None:
            assert documents.tolist() == [sample.documents.tolist() for sample in some]


def test_seeds_and_epochs_give_other_orders(tmp_path: Path) -> None:
    shards = texts(tmp_path, 301)
    first = [
        Windows(shards, context_length=3, seed=seed).sample(epoch, index).tokens.tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
        for index in range(5)
    ]
    assert len({tuple(map(tuple, first[at : at + 5])) for at in range(0, 20, 5)}) == 4


# Split


def test_nothing_is_held_out_for_share_0(tmp_path: Path) -> None:
    train, held_out = split(texts(tmp_path, 9, 9), share=0, seed=0, context_length=4)
    assert train.spans.tolist() == [[0, 9], [9, 18]]
    assert held_out is None


def test_few_texts_are_cut_at_a_token(tmp_path: Path) -> None:
    shards = texts(tmp_path, 12, 8)
    train, held_out = split(shards, share=0.5, seed=0, context_length=4)
    assert held_out is not None
    assert train.spans.tolist() == [[0, 10]]
    assert held_out.spans.tolist() == [[10, 12], [12, 20]]
    learned = Windows(shards, context_length=4, seed=0, part=train)
    targets = [learned.sample(epoch, 0).targets.max() for epoch in range(30)]
    assert max(targets) == 109  # the last token of the part; 110 is held out


def test_few_dialogues_are_held_out_whole(tmp_path: Path) -> None:
    shards = prepared(tmp_path, DIALOGUES)
    train, held_out = split(shards, share=0.1, seed=0, context_length=8)
    assert held_out is not None
    assert train.spans.tolist() == [[0, 5], [5, 9], [9, 15]]
    assert held_out.spans.tolist() == [[15, 20]]
    with pytest.raises(DataError, match="a single dialogue cannot be divided"):
        (tmp_path / "b").mkdir()
        one = prepared(tmp_path / "b", DIALOGUES[:1])
        split(one, share=0.1, seed=0, context_length=8)


def test_many_documents_are_held_out_by_hash(tmp_path: Path) -> None:
    shards = texts(tmp_path, *[7] * 500)
    parts = [split(shards, share=0.2, seed=seed, context_length=4) for seed in (0, 0, 1)]
    held = [{int(start) for start in out.spans[:, 0]} for _, out in parts if out is not None]
    kept = [{int(start) for start in train.spans[:, 0]} for train, _ in parts]
    assert held[0] == held[1] != held[2]
    assert all(70 < len(out) < 130 for out in held)
    for out, train in zip(held, kept, strict=True):
        assert not out & train
        assert out | train == set(range(0, 3500, 7))


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_at_least_one_document_in_each_part(tmp_path: Path, share: float) -> None:
    train, held_out = split(texts(tmp_path, *[7] * 20), share=share, seed=0, context_length=4)
    assert held_out is not None
    assert {train.n_documents, held_out.n_documents} == {1, 19}


def test_parts_that_are_too_short_and_shares_that_are_none(tmp_path: Path) -> None:
    shards = texts(tmp_path, 40)
    with pytest.raises(DataError, match=r"the part held out would have 4 tokens .* needs 5 "):
        split(shards, share=0.1, seed=0, context_length=4)
    with pytest.raises(DataError, match="the part to train on would have 4 tokens"):
        split(shards, share=0.9, seed=0, context_length=4)
    for share in (-0.1, 1):
        with pytest.raises(ConfigError, match="at least 0 and below 1"):
            split(shards, share=share, seed=0, context_length=4)


def test_whole(tmp_path: Path) -> None:
    part = whole(texts(tmp_path, 3, 4))
    assert (part.n_documents, part.n_tokens) == (2, 7)


def test_rows_without_anything_to_learn(tmp_path: Path) -> None:
    part = Part(np.array([[0, 1], [5, 6]]))
    with pytest.raises(DataError, match="none of the 2 documents has a token to learn"):
        Rows(texts(tmp_path, 9), context_length=4, seed=0, part=part)
