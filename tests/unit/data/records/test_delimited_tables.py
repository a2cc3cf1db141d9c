"""CSV and TSV as people and programs write them, with quotes that are not closed."""

from pathlib import Path

import pytest
from tests.unit.data.files import DIALOGUES, read, refusal, written

from nextword.data.corpus import Corpus, open_corpus
from nextword.data.dialogue import Dialogue
from nextword.errors import BadLineError, DataError


def rows(first: int, last: int, delimiter: str = ",") -> str:
    return "".join(f"p{n}{delimiter}r{n}\n" for n in range(first, last + 1))


def numbers(corpus: Corpus) -> list[int]:
    return [int(d.turns[0].strip('"')[1:]) for d in corpus if isinstance(d, Dialogue)]


def test_an_unclosed_quote_costs_its_own_row_alone(tmp_path: Path) -> None:
    text = "prompt,reply\n" + rows(1, 50) + '"p51,r51\n' + rows(52, 500)
    path = written(tmp_path, "a.csv", text)
    with pytest.raises(BadLineError, match=r"^a.csv:52: a quote is opened and never closed"):
        read(path)
    corpus = open_corpus([path], skip_bad=True)
    assert numbers(corpus) == [n for n in range(1, 501) if n != 51]
    assert corpus.bad == 1


def test_lines_lost_in_a_cell_are_counted(tmp_path: Path) -> None:
    text = 'prompt,reply\np1,r1\n"some prose\nwithout end\nno, more, of, it\n'
    path = written(tmp_path, "a.csv", text)
    with pytest.raises(BadLineError, match=r"^a.csv:3-5: .*line 3 is not closed.*lines 3 to 5"):
        read(path)
    corpus = open_corpus([path], skip_bad=True)
    assert len(list(corpus)) == 1
    assert corpus.bad == corpus.reading_report()[0].broken == 3


def test_a_cell_that_swallowed_rows_is_named_with_its_lines(tmp_path: Path) -> None:
    text = 'prompt,reply\np1,"r1\n' + rows(2, 9) + 'p10,r10"\n' + rows(11, 12)
    corpus = open_corpus([written(tmp_path, "a.csv", text)])
    assert len(list(corpus)) == 3
    report = corpus.reading_report()[0]
    what = "a cell that holds lines like rows: is a quote not closed there?"
    assert report.notes == {what: 1}
    assert report.first == {what: "lines 2 to 11"}


def test_a_long_cell_is_right_and_named(tmp_path: Path) -> None:
    cell = "\n".join(f"verse {n}" for n in range(20))
    corpus = open_corpus([written(tmp_path, "a.csv", f'prompt,reply\nsing,"{cell}"\n')])
    assert list(corpus) == [Dialogue(("sing", cell))]
    assert corpus.reading_report()[0].first == {"a cell of more than 10 lines": "lines 2 to 21"}


def test_a_stray_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    text = "prompt\treply\n" + rows(1, 3, "\t") + '"p4\tr4\n' + rows(5, 9, "\t")
    corpus = open_corpus([written(tmp_path, "a.tsv", text)])
    assert numbers(corpus) == list(range(1, 10))
    assert list(corpus)[3] == Dialogue(('"p4', "r4"))


def test_quotes_that_a_program_wrote_into_tsv_are_taken_off(tmp_path: Path) -> None:
    text = 'prompt\treply\n"one ""1"""\t"ei\nns"\n'
    assert read(written(tmp_path, "a.tsv", text)) == [Dialogue(('one "1"', "ei\nns"))]


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
def test_any_line_breaks(tmp_path: Path, ending: str) -> None:
    text = ending.join(["prompt,reply", "one,eins", '"two",zwei', ""])
    assert read(written(tmp_path, "a.csv", text)) == DIALOGUES


def test_excel_columns_rows_and_separator(tmp_path: Path) -> None:
    text = "sep=;\nprompt;reply;;\none;eins;;\n;;;\ntwo;zwei\n"
    assert read(written(tmp_path, "a.csv", text)) == DIALOGUES
    assert read(written(tmp_path, "b.csv", text.replace(";", "|"))) == DIALOGUES
    assert "3 fields for 2 columns" in refusal(written(tmp_path, "c.csv", text + "a;b;c;\n"))


def test_a_table_without_a_header_is_told_so(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "a.csv", "one,eins\ntwo,zwei\n"))
    assert message.startswith("a.csv:1: the first row names the columns, and it says 'one', 'eins'")
    assert "--columns prompt=Frage,reply=Antwort" in message


def test_named_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "Frage,Antwort\none,eins\ntwo,zwei\n")
    columns = {"prompt": "Frage", "reply": "Antwort"}
    corpus = open_corpus([path], columns=columns)
    assert list(corpus) == DIALOGUES
    assert corpus.reading_rule()["columns"] == columns


def test_a_wide_header_is_read_in_linear_time(tmp_path: Path) -> None:
    names = [f"column {n:06}" for n in range(50_000)]
    path = written(tmp_path, "a.csv", ",".join(["prompt", "reply", *names]) + "\n")
    with path.open("a") as file:
        file.write(",".join(["one", "eins", *["x"] * len(names)]) + "\n")
    corpus = open_corpus([path])
    assert list(corpus) == DIALOGUES[:1]
    assert sum(corpus.reading_report()[0].unused.values()) == 50_000
    assert len(corpus.reading_report()[0].unused) == 1001
    message = refusal(written(tmp_path, "b.csv", ",".join(names) + "\n" + ",".join(names)))
    assert len(message) < 2000
    assert "and 49,980 more" in message


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "prompt,reply,prompt\n1,2,3\n")
    with pytest.raises(DataError, match="two columns named 'prompt'"):
        read(path)
