"""Files of every format and encoding, whole and in pieces."""

import codecs
import itertools
import json
import sys
from pathlib import Path

import pytest
from tests.unit.data.files import DIALOGUES, LINES, PAIRS, read, refusal, written

from nextword.data.corpus import Corpus, open_corpus
from nextword.data.dialogue import Dialogue, Text
from nextword.data.records import readers
from nextword.data.records.readers import good_cut
from nextword.data.shards import strip_encoding
from nextword.data.shards.token_shards import prepare
from nextword.errors import BadLineError, MissingExtraError
from nextword.tokenizer.tokenizer import Tokenizer

# Formats


@pytest.mark.parametrize("name", ["notes.txt", "notes.md", "notes", "notes.py"])
def test_any_text_is_one_document(tmp_path: Path, name: str) -> None:
    corpus = open_corpus([written(tmp_path, name, "a\n\nb\n")])
    assert list(corpus) == [Text("a\n\nb\n")]
    assert list(corpus) == [Text("a\n\nb\n")]  # again
    assert corpus.describe() == [f"{name}: plain text, 5 bytes"]
    assert not corpus.is_dialogue


@pytest.mark.parametrize(
    ("name", "content", "described"),
    [
        ("a.jsonl", LINES, "JSON Lines"),
        ("a.ndjson", f"\n{LINES}\n \n", "JSON Lines"),
        ("a.json", json.dumps(PAIRS, indent=1), "a JSON list"),
        ("a.json", json.dumps({"data": PAIRS}), "a JSON list"),
        ("a.json", LINES, "JSON Lines (despite its name)"),
        ("a.txt", LINES, "JSON Lines (despite its name)"),
        ("a.jsonl", json.dumps(PAIRS), "a JSON list (despite its name)"),
        ("a.csv", "prompt,reply\none,eins\ntwo,zwei\n", "CSV"),
        ("a.csv", 'id,"prompt",reply\r\n1,"one",eins\r\n\r\n2,two,zwei', "CSV"),
        ("a.csv", "prompt;reply\none;eins\ntwo;zwei\n", "CSV"),
        ("a.tsv", "prompt\treply\none\teins\ntwo\tzwei\n", "TSV"),
        ("a.csv", "prompt\treply\none\teins\ntwo\tzwei\n", "TSV"),
        ("a.csv", LINES.encode("utf-8-sig"), "JSON Lines (despite its name)"),
    ],
)
def test_formats_of_records(
    tmp_path: Path, name: str, content: str | bytes, described: str
) -> None:
    path = written(tmp_path, name, content)
    corpus = open_corpus([path])
    assert list(corpus) == DIALOGUES
    assert corpus.describe() == [f"{name}: {described}, prompt/reply, {path.stat().st_size} bytes"]
    assert corpus.is_dialogue


def test_one_record_as_json(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a.json", json.dumps(PAIRS[0], indent=2))) == DIALOGUES[:1]


def test_quoted_csv_fields_hold_line_breaks(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'prompt,reply\n"one\nline, ""more""",eins\n')
    assert read(path) == [Dialogue(('one\nline, "more"', "eins"))]


def test_parquet_in_several_row_groups(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is an optional package")
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([pair | {"vector": [1.0, 2.0]} for pair in PAIRS])
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    corpus = open_corpus([tmp_path / "a.parquet"])
    assert list(corpus) == DIALOGUES
    assert "Parquet, prompt/reply" in corpus.describe()[0]


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"nextword\[parquet\]"):
        open_corpus([written(tmp_path, "a.parquet", b"PAR1 and so on")])


def test_damaged_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is an optional package")
    assert "a.parquet is damaged" in refusal(written(tmp_path, "a.parquet", b"PAR1 torn"))
    assert "named .parquet but" in refusal(written(tmp_path, "b.parquet", "text"))


# Encodings


@pytest.mark.parametrize(
    "content",
    [
        "é→🙂\n".encode("utf-8-sig"),
        "é→🙂\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "é→🙂\n".encode("utf-16-be"),
        "é→🙂\n".encode("utf-32"),
        "é→🙂\r\n".encode(),
    ],
)
def test_marked_encodings_and_windows_line_breaks(tmp_path: Path, content: bytes) -> None:
    assert read(written(tmp_path, "a.txt", content)) == [Text("é→🙂\n")]


def test_records_in_utf16(tmp_path: Path) -> None:
    corpus = open_corpus([written(tmp_path, "a.jsonl", LINES.encode("utf-16"))])
    assert list(corpus) == DIALOGUES
    assert "JSON Lines (UTF-16)" in corpus.describe()[0]
    table = "prompt,reply\none,eins\ntwo,zwei"
    assert read(written(tmp_path, "a.csv", table.encode("utf-16"))) == DIALOGUES


def test_a_wrong_encoding_names_the_byte_and_the_mend(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "a.txt", "caf\u00e9 au lait".encode("latin-1")))
    assert message.startswith("a.txt: byte 3 of the file is not UTF-8 text")
    assert "iconv -f WINDOWS-1252 -t UTF-8 a.txt > converted" in message


def test_the_wrong_byte_is_counted_over_blocks_and_marks(tmp_path: Path) -> None:
    content = codecs.BOM_UTF8 + b"x" * 300_000 + "é".encode() + b"\xe9"
    assert "byte 300005 " in refusal(written(tmp_path, "a.txt", content))
    assert "byte 4 " in refusal(written(tmp_path, "b.txt", b"abcd\xe2\x82"))  # torn at the end
    content = "prompt,reply\none,\xe9\n".encode("latin-1")
    path = written(tmp_path, "c.csv", content)
    assert refusal(path).startswith("c.csv:2: byte 17 ")


def test_a_wrong_byte_in_json_lines_is_a_broken_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", LINES.encode() + b'{"prompt": "\xe9", "reply": "b"}\n')
    with pytest.raises(BadLineError, match=rf"^a.jsonl:3: byte {len(LINES) + 12} of the file"):
        read(path)
    assert read(path, skip_bad=True) == DIALOGUES


# Pieces


def test_a_good_cut_lies_after_a_single_line_break_between_words() -> None:
    assert good_cut("ab\ncd\nef", 100) == 6
    assert good_cut("ab\ncd\nef", 5) == 3  # the break itself is at 5: its end lies beyond
    assert good_cut("ab\ncd\n", 100) == 3  # nothing follows the last one
    assert good_cut("ab\n\ncd", 100) == 0
    assert good_cut("ab \ncd", 100) == 0
    assert good_cut("ab\n cd", 100) == 0
    assert good_cut("\ncd", 100) == 0


def pieces_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Corpus, list[str]]:
    monkeypatch.setattr(readers, "PIECE", 50)
    monkeypatch.setattr(readers, "LONGEST_PIECE", 200)
    monkeypatch.setattr(readers, "_BLOCK", 7)
    corpus = open_corpus([path])
    pieces = list(corpus.pieces())
    assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert [piece.read for piece in pieces] == sorted(piece.read for piece in pieces)
    assert pieces[-1].read == path.stat().st_size
    return corpus, [piece.document.text for piece in pieces if isinstance(piece.document, Text)]


def test_long_texts_come_in_pieces_that_end_at_good_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"line é{number}\n" + "\n" * (number % 3 == 0) for number in range(99))
    corpus, pieces = pieces_of(written(tmp_path, "a.txt", text), monkeypatch)
    assert "".join(pieces) == text
    assert len(pieces) > 10
    assert max(map(len, pieces)) <= 60
    for piece, following in itertools.pairwise(pieces):
        assert piece[-1] == "\n"
        assert not piece[-2].isspace()
        assert not following[0].isspace()
    assert list(corpus) == [Text(text)]


def test_a_text_without_good_cuts_is_cut_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "🙂é" * 301
    _, pieces = pieces_of(written(tmp_path, "a.txt", text), monkeypatch)
    assert "".join(pieces) == text
    assert [len(piece) for piece in pieces] == [200, 200, 200, 2]


def test_pieces_give_the_tokens_of_the_whole(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PIECE", 3000)
    monkeypatch.setattr(readers, "_BLOCK", 1000)
    monkeypatch.setattr(strip_encoding, "STRIP", 200)
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")[:50_000]
    tokenizer = Tokenizer.learn([text], kind="bpe", vocab_size=400)
    corpus = open_corpus([written(tmp_path, "a.txt", text)])
    found = prepare(corpus, tokenizer, tmp_path / "shards")
    assert len(list(corpus.pieces())) > 10
    expected = [*tokenizer.encode(text), tokenizer.end_id]
    assert found.tokens(0, found.n_tokens).tolist() == expected
