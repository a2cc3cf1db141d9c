"""Files, folders and streams as one corpus: what is recognised, refused, skipped and told."""

import codecs
import io
import json
from pathlib import Path

import pytest
from tests.unit.data.files import DIALOGUES, LINES, PAIRS, read, refusal, written

from nextword.data.corpus import BUNDLED, open_corpus
from nextword.data.dialogue import Document, Text
from nextword.data.records import readers
from nextword.errors import BadLineError, DataError

# Folders and mixtures


def test_a_folder_is_read_in_order_without_hidden_and_binary_files(tmp_path: Path) -> None:
    written(tmp_path, "data/b.txt", "B")
    written(tmp_path, "data/a/z.md", "Z")
    written(tmp_path, "data/.git/c.txt", "hidden")
    written(tmp_path, "data/.hidden.txt", "hidden")
    written(tmp_path, "data/empty.txt", "")
    written(tmp_path, "data/picture.png", b"\x89PNG\0\0")
    warnings: list[str] = []
    corpus = open_corpus([tmp_path / "data"], warn=warnings.append)
    assert list(corpus) == [Text("Z"), Text("B")]
    assert corpus.describe() == ["data/: 2 × plain text, 2 bytes, 2 left out"]
    assert [file["name"] for file in corpus.fingerprint()] == ["data/a/z.md", "data/b.txt"]
    assert warnings == [
        "data/: left out, because they hold no text: data/empty.txt, data/picture.png"
    ]


def test_a_mix_counts_as_dialogue(tmp_path: Path) -> None:
    paths = [written(tmp_path, "a.txt", "text"), written(tmp_path, "b.jsonl", LINES)]
    corpus = open_corpus(paths)
    assert corpus.is_dialogue
    assert list(corpus) == [Text("text"), *DIALOGUES]
    assert [piece.read for piece in corpus.pieces()][-1] == corpus.size_bytes


# Standard input and bundled data


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        (LINES, DIALOGUES),
        (LINES.splitlines()[0], DIALOGUES[:1]),
        (json.dumps(PAIRS), DIALOGUES),
        ("plain\ntext", [Text("plain\ntext")]),
        ("{not json}\n", [Text("{not json}\n")]),
    ],
)
def test_standard_input_is_recognised_by_content_and_read_twice(
    monkeypatch: pytest.MonkeyPatch, content: str, documents: list[Document]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    corpus = open_corpus(["-"])
    assert list(corpus) == documents
    assert list(corpus) == documents
    assert corpus.describe()[0].startswith("standard input: ")
    path = corpus.sources[0].files[0][0].path
    assert path.exists()
    del corpus
    assert not path.exists()


def test_standard_input_empty_or_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert refusal("-").startswith("standard input is empty")
    with pytest.raises(DataError, match="given twice"):
        open_corpus(["-", "-"])


def test_bundled_names() -> None:
    corpus = open_corpus([BUNDLED])
    assert corpus.is_dialogue
    assert corpus.fingerprint()[0]["name"] == BUNDLED
    assert "Did you mean 'nextword:dialogues'" in refusal("nextword:dialoges")


# Refusals


def test_missing_paths_name_the_nearest(tmp_path: Path) -> None:
    near = written(tmp_path, "dialogues.jsonl", LINES)
    assert refusal(tmp_path / "dialogue.jsonl").endswith(f"Did you mean {str(near)!r}?")
    assert "does not exist" in refusal(tmp_path / "no" / "where.txt")


def test_nothing_to_read(tmp_path: Path) -> None:
    assert "a.txt is empty" in refusal(written(tmp_path, "a.txt", " \n\n"))
    assert "a.jsonl is empty" in refusal(written(tmp_path, "a.jsonl", codecs.BOM_UTF8))
    assert "without a single readable record" in refusal(written(tmp_path, "a.json", "[]"))
    (tmp_path / "folder").mkdir()
    assert "is an empty folder" in refusal(tmp_path / "folder")
    written(tmp_path, "folder/x.bin", b"\0\1")
    assert "holds 1 files but no text" in refusal(tmp_path / "folder")
    with pytest.raises(DataError, match="no data is given"):
        open_corpus([])


def test_binary_and_packed_files(tmp_path: Path) -> None:
    assert "byte 2 is NUL" in refusal(written(tmp_path, "a.txt", b"ab\0"))
    assert "packed with gzip" in refusal(written(tmp_path, "a.jsonl.gz", b"\x1f\x8b\x08"))


def test_broken_json_files(tmp_path: Path) -> None:
    assert "at line 2, column 1" in refusal(written(tmp_path, "a.json", '[{"a": 1},\n'))
    assert "holds a string" in refusal(written(tmp_path, "b.json", '"text"'))
    assert "two columns named 'a'" in refusal(written(tmp_path, "c.csv", "a,a\n1,2\n"))


def test_a_json_list_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LARGEST_JSON", 10)
    assert "Convert it to JSON Lines" in refusal(written(tmp_path, "a.json", json.dumps(PAIRS)))


def test_a_line_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.jsonl", LINES)
    monkeypatch.setattr(readers, "LONGEST_LINE", 20)
    assert "a.jsonl has a line of more than" in refusal(path)


# Broken lines


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "not valid JSON"),
        ('["a", "b"]', "the line holds a list; it must hold a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"prompt": "p"}', "the key 'reply' is missing"),
        ('{"prompt": "", "reply": "r"}', "'prompt' is empty"),
    ],
)
def test_a_broken_line_stops_or_is_counted(tmp_path: Path, line: str, problem: str) -> None:
    path = written(tmp_path, "a.jsonl", f"{LINES}\n{line}\n")
    with pytest.raises(BadLineError, match=problem) as caught:
        read(path)
    assert caught.value.where == "a.jsonl:4"
    warnings: list[str] = []
    corpus = open_corpus([path], skip_bad=True, warn=warnings.append)
    assert list(corpus) == list(corpus) == DIALOGUES
    assert corpus.bad == 1
    assert len(warnings) == 1
    assert warnings[0].startswith("1 broken line was skipped: a.jsonl:4: ")


def test_the_first_three_places_are_told(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = written(tmp_path, "a.jsonl", "x\n" * 5 + LINES)
    corpus = open_corpus([path], skip_bad=True, warn=warnings.append)
    assert list(corpus) == DIALOGUES
    assert corpus.bad == 5
    assert "a.jsonl:3" in warnings[0]
    assert "a.jsonl:4" not in warnings[0]
    assert warnings[0].endswith("; and 2 more")


def test_broken_rows_of_csv(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'prompt,reply\none,eins\na,b,c\n"x"y,z\ntwo,zwei\n')
    with pytest.raises(BadLineError, match=r"^a.csv:3: 3 fields for 2 columns"):
        read(path)
    corpus = open_corpus([path], skip_bad=True)
    assert list(corpus) == DIALOGUES
    assert corpus.bad == 2


def test_broken_records_of_a_json_list(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", json.dumps([*PAIRS, "text"]))
    with pytest.raises(BadLineError, match=r"^a.json:record 3: it is a string"):
        read(path)


# Fingerprints


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "abc")
    corpus = open_corpus([path])
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert corpus.fingerprint() == [{"name": "a.txt", "size": 3, "sha256": abc}]
    written(tmp_path, "a.txt", "abcd")
    assert corpus.fingerprint()[0]["size"] == 4
    assert corpus.fingerprint()[0]["sha256"] != abc


def model_in(folder: Path, name: str = "model.safetensors") -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / name).write_bytes(b"\0")


def test_model_folders_and_the_one_to_be_made_are_no_data(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    model_in(folder / "deep" / "m1")
    model_in(folder / "m2", name="model-00001-of-00002.safetensors")
    (folder / "m3" / "training").mkdir(parents=True)
    (folder / "m3" / "training" / "settings.json").write_text("{}")  # of a run that goes on
    (folder / "out" / "training").mkdir(parents=True)
    (folder / "out" / "training" / "lock").write_text("123")  # of a run that has just begun
    (folder / "more").mkdir()
    for place in ("a.jsonl", "more/config.json"):
        (folder / place).write_text(LINES)
    told: list[str] = []
    corpus = open_corpus([folder], warn=told.append, leave_out=folder / ".." / "talks" / "out")
    assert [file["name"] for file in corpus.fingerprint()] == [
        "talks/a.jsonl",
        "talks/more/config.json",
    ]
    assert told == [
        "talks/: model folders are no data and are left out: talks/deep/m1/, talks/m2/, talks/m3/, "
        "and 1 more"
    ]


def test_a_model_folder_that_is_given_itself_is_read(tmp_path: Path) -> None:
    model_in(tmp_path / "m")
    (tmp_path / "m" / "config.json").unlink()
    (tmp_path / "m" / "a.jsonl").write_text(LINES)
    (tmp_path / "m" / "config.json").write_text('{"prompt": "a", "reply": "b"}')
    assert len(list(open_corpus([tmp_path / "m"]))) == 3
