"""`nextword lessons`: what is listed, and what an undo gives back."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from tests.cli.models import digest, run, saved, teach
from tests.unit.teach import samples

from nextword.cli.teaching.lesson_rows import Row, Rows, cells
from nextword.cli.teaching.lessons import no_longer_told
from nextword.common.folder_lock import hold
from nextword.language_model import LanguageModel
from nextword.teach.journal.reevaluate import NoLonger


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder that was taught two lessons, and its weights' digests: at first, after each."""
    folder = saved(tmp_path_factory.mktemp("models") / "small")
    digests = [digest(folder)]
    for prompt, reply in (("who sat ?", "a cat"), ("who ran ?", "the dog")):
        assert teach(folder, prompt, reply).exit_code == 0
        digests.append(digest(folder))
    return folder, digests


@pytest.fixture
def folder(taught: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(taught[0], tmp_path / "small"))


def output(*arguments: object) -> str:
    result = run("lessons", *arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def refused(*arguments: object) -> str:
    result = run("lessons", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    return result.stderr


def test_every_lesson_has_a_row(taught: tuple[Path, list[str]]) -> None:
    head, first, second, empty, undo = output(taught[0]).splitlines()
    assert head.split() == ["lesson", "reliability", "generality", "locality", "seconds"]
    assert first.split()[:2] == ["1", "kept"]
    assert "  who sat ? → a cat " in first
    assert second.split()[:2] == ["2", "kept"]
    assert "100 %" in second
    assert empty == ""
    assert undo == f"Undo one with: nextword lessons {taught[0]} --undo 2"


def test_json_has_all_of_them(taught: tuple[Path, list[str]]) -> None:
    found = json.loads(output(taught[0], "--json"))
    assert found["state"] == "whole"
    assert [item["status"] for item in found["lessons"]] == ["kept", "kept"]
    assert [item["lesson"]["number"] for item in found["lessons"]] == [1, 2]
    assert found["present_version"] == found["lessons"][1]["lesson"]["version_after"]
    assert "undone" not in found


def test_undoing_the_last_gives_back_the_weights_before_it(
    folder: Path, taught: tuple[Path, list[str]]
) -> None:
    lines = output(folder, "--undo", 2).splitlines()
    assert lines[0] == f"Undone: lesson 2; 1 lesson left in {folder}."
    assert lines[2] == f"SHA-256 of model.safetensors: {taught[1][1]}"
    assert digest(folder) == taught[1][1]
    assert [line.split()[1] for line in output(folder).splitlines()[1:3]] == ["kept", "undone"]


def test_undoing_all_gives_back_the_first_weights(
    folder: Path, taught: tuple[Path, list[str]]
) -> None:
    lines = output(folder, "--undo-all").splitlines()
    assert lines[0] == f"Undone: lessons 1, 2; none left in {folder}."
    assert lines[1].endswith(", as before the first lesson.")
    assert digest(folder) == taught[1][0]


def test_undoing_an_earlier_one_is_told_to_programs(folder: Path) -> None:
    undone = json.loads(output(folder, "--undo", 1, "--json"))["undone"]
    assert (undone["numbers"], undone["remaining"]) == ([1], 1)
    assert {item["number"] for item in undone["no_longer"]} <= {2}
    assert undone["sums"] == {"model.safetensors": digest(folder)}


def test_weights_that_were_replaced_absorb_their_lessons(folder: Path) -> None:
    assert teach(folder, "who sat ?", "the mat", "--json").exit_code == 0
    model = LanguageModel.load(folder)
    with torch.no_grad():
        model.decoder.token_embedding.weight.mul_(2)
    model.save(folder, replace=True)
    lines = output(folder).splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["absorbed"] * 3
    assert lines[5].startswith("Absorbed: ")
    assert "cannot be undone" in refused(folder, "--undo", 2)


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "there is no lesson 9 to undo in" in refused(folder, "--undo", 9)
    assert "--undo-all undoes every lesson" in refused(folder, "--undo", 1, "--undo-all")
    assert "is not the folder of a model" in refused(tmp_path)
    with hold(folder, what="teaching"):
        assert "has been teaching since" in refused(folder, "--undo-all")
        assert "Waiting for 0.1 s" in refused(folder, "--undo-all", "--wait", 0.1)
        assert output(folder).startswith(" ")  # reading needs no lock


def test_a_model_that_was_never_taught(tmp_path: Path) -> None:
    fresh = saved(tmp_path / "fresh")
    assert output(fresh) == (f"No lesson is kept in {fresh}. Teach it one with: nextword teach\n")
    assert "no lesson is kept" in refused(fresh, "--undo-all")


def test_what_holds_no_longer_is_a_sentence() -> None:
    item = NoLonger(
        number=3, prompt=("who ran?",), reply="a dog", position=4, token=" dog", was=0.625,
        now=0.25, now_predicted=" cat",
    )  # fmt: skip
    assert no_longer_told(item) == (
        "lesson 3, who ran? → a dog: “dog” at position 4 62 % → 25 %, now says “cat”"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, None])
def test_rows_fit_and_columns_stand_under_their_names(width: int | None) -> None:
    title = "who sat on the mat and who sat beside the mat? → a cat and a very small dog"
    rows = Rows(longest=len(title), width=width)
    row = Row(number=7, state="not learned", title=title, lesson=samples.lesson())
    lines = [*rows.heading(), *rows.lines(row)]
    if width is not None:
        assert max(map(cell_len, lines)) <= width
    if width is None or width >= 80:
        head, line = lines
        assert head.index("locality") + len("locality") == line.index("98.4 %") + len("98.4 %")
        assert line.split()[:3] == ["7", "not", "learned"]
    else:
        assert lines[0].startswith("   7  who sat")
        assert "not learned · reliability 100 %" in lines[1]


def test_a_record_without_generated_replies_shows_next_words_in_parentheses() -> None:
    sentences = tuple(
        dataclasses.replace(each, exact_before=None, exact_after=None)
        for each in samples.lesson().sentences
    )
    older = samples.lesson(sentences=sentences, known_replies=None)
    assert cells(older) == ("(100 %)", "(66.7 %)", "(99.8 %)", "0.5")
    assert cells(samples.lesson()) == ("100 %", "0 %", "98.4 %", "0.5")
