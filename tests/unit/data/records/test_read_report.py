"""What was read and left out is counted while reading, said in a sentence, and kept with shards."""

import json
from pathlib import Path

import pytest
from tests.unit.data.files import DIALOGUES, LINES, written

from nextword.data.corpus import open_corpus
from nextword.data.records import readers
from nextword.data.records.read_report import ReadingReport, Tally, reading_line, reading_lines
from nextword.data.shards.token_shards import prepare
from nextword.errors import DataError
from nextword.tokenizer.tokenizer import Tokenizer

RECORDS = [
    {"prompt": "one", "reply": "eins", "rejected": "zwei", "id": 1},
    {"prompt": "two", "reply": "zwei", "id": 2, "weight": 0},
    {"prompt": "two"},
]


def test_a_sentence_counts_each_kind() -> None:
    tally = Tally("a.jsonl", is_dialogue=True, documents=1200, broken=3, blank=1)
    tally.left_out["its weight is 0"] = 2
    tally.leave_unused("rejected", 1200)
    tally.leave_unused("id", 7)
    tally.note("a tool call kept as text", "lines 3 to 5")
    assert reading_line(tally.report()) == (
        "read a.jsonl: 1,200 dialogues; 3 broken lines skipped; 1 record without text; "
        "2 records left out: its weight is 0; "
        "not used, though they may matter: 'rejected' (1,200); keys without a use: 'id' (7); "
        "1 × a tool call kept as text (first: lines 3 to 5)"
    )


def test_texts_are_counted_together_and_many_files_are_cut() -> None:
    def report(number: int, *, is_dialogue: bool) -> ReadingReport:
        return ReadingReport(name=f"{number}", is_dialogue=is_dialogue, documents=2)

    texts = [report(n, is_dialogue=False) for n in range(3)]
    assert reading_lines(texts) == ["read 3 files: 6 texts; nothing was left out"]
    lines = reading_lines([report(n, is_dialogue=True) for n in range(23)])
    assert len(lines) == 21
    assert lines[-1] == "read 3 more files: 6 documents, 0 left out"


def test_shards_keep_the_report_and_are_made_anew_for_other_columns(tmp_path: Path) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    path = written(tmp_path, "a.jsonl", lines)
    tokenizer = Tokenizer.learn(["one eins two zwei"], vocab_size=270)
    corpus = open_corpus([path], skip_bad=True)
    made = prepare(corpus, tokenizer, tmp_path / "shards").reading_report()
    assert made == corpus.reading_report()
    assert (made[0].documents, made[0].broken) == (1, 1)
    assert made[0].left_out == {"its weight is 0": 1}
    assert made[0].unused == {"rejected": 1, "id": 1}
    again = open_corpus([path], skip_bad=True)
    assert prepare(again, tokenizer, tmp_path / "shards").reading_report() == made
    assert again.reading_report() == []  # nothing was read
    swapped = open_corpus([path], skip_bad=True, columns={"reply": "rejected"})
    assert prepare(swapped, tokenizer, tmp_path / "shards").reading_report() != made


@pytest.mark.parametrize("begun", [True, False])
def test_shards_of_version_0_1_are_taken_by_the_run_that_rests_on_them(
    tmp_path: Path, begun: bool
) -> None:
    path = written(tmp_path, "a.jsonl", LINES)
    tokenizer = Tokenizer.learn(["one eins two zwei"], vocab_size=270)
    manifest = prepare(open_corpus([path]), tokenizer, tmp_path / "shards").folder / "manifest.json"
    old = json.loads(manifest.read_text())
    del old["reading"], old["sha256"]
    manifest.write_text(json.dumps(old))
    corpus = open_corpus([path])
    found = prepare(corpus, tokenizer, tmp_path / "shards", begun=begun)
    assert found.reading_report() == ([] if begun else corpus.reading_report())
    assert len(corpus.reading_report()) == (0 if begun else 1)


def test_data_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"prompt": "a", "reply": "b", "weight": 0}\n')
    tokenizer = Tokenizer.learn(["one eins two zwei"], vocab_size=270)
    with pytest.raises(DataError, match=r"no document \(read a.jsonl: .*its weight is 0\)"):
        prepare(open_corpus([path]), tokenizer, tmp_path / "shards")


def test_json_of_too_many_values_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = json.dumps({"prompt": "p", "reply": "r", "x": [{}] * 100})
    path = written(tmp_path, "a.jsonl", f"{LINES}{many}\n")
    monkeypatch.setattr(readers, "MOST_VALUES", 150)
    corpus = open_corpus([path], skip_bad=True)
    assert list(corpus) == DIALOGUES
    assert corpus.bad == 1


@pytest.mark.parametrize(
    ("name", "content", "described"),
    [
        ("a.txt", '[\n {"prompt": "one",\n  "reply": "eins"}\n]', "a JSON list (despite its name)"),
        ("a.dat", "prompt\treply\none\teins\n", "TSV (despite its name)"),
        ("a", "Reply;Prompt\neins;one\n", "CSV"),
        ("a.txt", "sep=,\nprompt,reply\none,eins\n", "CSV (despite its name)"),
        ("a.jsonl", '[{"role": "user", "content": "one"}, {"from": "gpt", "value": "eins"}]\n', ""),
        ("a.json", '[{"from": "human", "value": "one"}, {"role": "bot", "content": "eins"}]', ""),
        ("a.txt", '[{"role": "user", "content": "one"}, {"role": "bot", "content": "eins"}]\n', ""),
    ],
)
def test_content_decides_before_the_name(
    tmp_path: Path, name: str, content: str, described: str
) -> None:
    for encoding in ("utf-8", "utf-16"):
        corpus = open_corpus([written(tmp_path, name, content.encode(encoding))])
        assert list(corpus) == DIALOGUES[:1]
        marked = described.replace("(", "(UTF-16, ") if encoding == "utf-16" else described
        assert marked in corpus.describe()[0]


@pytest.mark.parametrize(
    "content",
    [
        "prompt, reply and more\nare words, too\n",
        "prompt,reply\n",
        "[a list] of words\n",
        '[{"name": "no record"}]',
        "text,id\na,b\n",
    ],
)
def test_text_stays_text(tmp_path: Path, content: str) -> None:
    assert not open_corpus([written(tmp_path, "a.txt", content)]).is_dialogue
