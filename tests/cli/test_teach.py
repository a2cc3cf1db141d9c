"""`nextword teach`: what is kept and what is not, what is printed, and how wide."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.cli.models import digest, run, saved, teach
from tests.unit.teach import samples

from nextword.cli.teaching import teach_views
from nextword.common import signals
from nextword.common.folder_lock import hold
from nextword.language_model import LanguageModel
from nextword.teach.lesson import Lesson

PAIRS = [
    {"prompt": "who sat ?", "reply": "a cat", "phrasings": ["tell me who sat"]},
    {"prompt": "who ran ?", "reply": "the dog"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "small")


def written(folder: Path, *records: Any) -> Path:
    path = folder.parent / "lessons.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def refused(*arguments: object, stdin: str = "") -> str:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_is_learned_is_kept_and_told(folder: Path) -> None:
    before = digest(folder)
    result = teach(folder, "who sat ?", "a cat", "--phrasing", "tell me who sat")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith("This lesson needs about 1 MB (all weights, ")
    assert lines[1].startswith("What must stay known: ")
    order = [
        "who sat ? → a cat",
        "Asked otherwise, not trained on: tell me who sat → a cat",
        "whole replies, generated: reliability 1 of 1 · generality ",
        "next words, after the right words before each: reliability 100 % (3 of 3) · generality ",
        "loss ",
        "changed most",
        "Why “",
        f"Kept as lesson 1. Undo it with: nextword lessons {folder} --undo 1",
    ]
    found = [next(at for at, line in enumerate(lines) if line.startswith(text)) for text in order]
    assert found == sorted(found)
    assert found[-1] == len(lines) - 1
    assert digest(folder) != before
    assert LanguageModel.load(folder).reply("who sat ?").text == "a cat"


def test_what_it_says_already_is_not_kept_again(folder: Path) -> None:
    teach(folder, "who sat ?", "a cat")
    before = digest(folder)
    result = teach(folder, "who sat ?", "a cat")
    assert result.exit_code == 0
    assert f"Nothing was kept; {folder} is as it was." in result.stdout
    assert "It says   a cat" in result.stdout
    assert digest(folder) == before


def test_what_is_not_learned_leaves_the_folder_as_it_was(folder: Path) -> None:
    before = digest(folder)
    result = teach(folder, "who sat ?", "a cat", "--steps", 1)
    assert result.exit_code == 1
    assert "reached" in result.stdout
    assert "changed most" not in result.stdout
    assert result.stdout.endswith(f"Nothing was kept; {folder} is as it was.\n")
    assert digest(folder) == before
    assert not (folder / "training/lessons.jsonl").exists()


def test_a_dry_run_writes_nothing_and_needs_no_lock(folder: Path) -> None:
    with hold(folder, what="teaching"):
        before = sorted(folder.rglob("*")), digest(folder)
        result = teach(folder, "who sat ?", "a cat", "--dry-run")
        assert (sorted(folder.rglob("*")), digest(folder)) == before
    assert result.exit_code == 0
    assert result.stdout.endswith("Nothing was kept, because of --dry-run.\n")


def test_ctrl_c_ends_the_lesson_and_those_after_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(signals.StopSignals):
        def __init__(self) -> None:
            super().__init__()
            self.asked = True

    before = digest(folder)
    monkeypatch.setattr(signals, "StopSignals", Asked)
    result = teach(folder, "--file", written(folder, *PAIRS))
    assert result.exit_code == 1
    assert "0 of 2 lessons learned." in result.stdout
    assert "lessons.jsonl:1, not learned: " in result.stdout
    assert result.stdout.endswith("1 lesson not begun.\n")
    assert digest(folder) == before


def test_json_is_the_lesson(folder: Path) -> None:
    result = teach(folder, "who sat ?", "a cat", "--json")
    assert result.exit_code == 0
    lesson = Lesson.from_json(json.loads(result.stdout))
    assert (lesson.number, lesson.outcome, lesson.reliability) == (1, "learned", 1.0)
    assert lesson.version_after == LanguageModel.load(folder).version


def test_lessons_of_a_file_are_kept_one_after_another(folder: Path) -> None:
    result = teach(folder, "--file", written(folder, *PAIRS))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["lesson", "reliability", "generality", "locality", "seconds"]
    assert lines[1].startswith("   1  kept         who sat ? → a cat ")
    assert lines[2].split()[:2] == ["2", "kept"]
    assert "–" in lines[2].split()  # no phrasing, no generality
    assert lines[-1] == "2 of 2 lessons learned."
    assert LanguageModel.load(folder).reply("who ran ?").text == "the dog"


def test_a_file_as_json_is_a_list(folder: Path) -> None:
    result = teach(folder, "--file", "-", "--json", stdin=json.dumps(PAIRS))
    assert [lesson["number"] for lesson in json.loads(result.stdout)] == [1, 2]


def test_all_of_a_file_together_are_one_lesson(folder: Path) -> None:
    result = teach(folder, "--file", written(folder, *PAIRS), "--together", "--json")
    lesson = Lesson.from_json(json.loads(result.stdout))
    assert [each.role for each in lesson.sentences] == ["taught", "taught", "phrasing"]
    assert (lesson.number, lesson.reliability) == (1, 1.0)


def test_the_lessons_of_a_file_that_are_not_learned_are_named(folder: Path) -> None:
    result = teach(folder, "--file", written(folder, *PAIRS), "--steps", 1)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-3] == "0 of 2 lessons learned."
    assert "lessons.jsonl:2, not learned: " in result.stdout.splitlines()[-1]


def test_a_file_is_checked_before_its_first_lesson(folder: Path) -> None:
    before = digest(folder)
    path = written(folder, *PAIRS, {"prompt": "who ?", "reply": "a unicorn"})
    assert "lessons.jsonl:3: the word “unicorn” is not in" in refused(
        "teach", folder, "--file", path
    )
    path = written(folder, *PAIRS, {"prompt": "who sat ?", "reply": "a dog"})
    assert "contradict each other" in refused("teach", folder, "--file", path)
    assert digest(folder) == before


def test_one_word_of_a_text(folder: Path) -> None:
    result = teach(folder, "the cat sat on the", "mat", "--at", -1, "--json")
    assert result.exit_code == 0, result.output
    (sentence,) = json.loads(result.stdout)["sentences"]
    assert [item["position"] for item in sentence["positions"]] == [4]
    assert sentence["positions"][0]["token"].strip() == "mat"
    assert sentence["positions"][0]["after"]["right"]
    assert sentence["reply_after"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a cat"], "one PROMPT and one REPLY, each in quotes, and 1 texts are given"),
        ([], "0 texts are given"),
        (["who ?", "a", "b"], "put dialogues of several turns into a --file"),
        (["who ?", ""], "the reply is empty"),
        (["who ?", "a unicorn"], "the word “unicorn” is not in this model's vocabulary"),
        (["who ?", " ".join(["a cat"] * 13)], "tokens, and this model's context holds 24"),
        (["who sat", "a", "--at", "2"], "--at 2: the text has 2 tokens, at positions 0 to 1"),
        (["who sat", "a", "--at", "-3"], "--at -3: the text has 2 tokens"),
        (["who", "a", "--at", "0", "--phrasing", "me"], "--at corrects a single word"),
        (["who", "a", "--together"], "--together is for the lessons of a --file"),
        (["who", "a", "--file", "x"], "leave those of the command line out"),
        (["--file", "x", "--phrasing", "me"], "leave those of the command line out"),
        (["who", "a", "--margin", "1"], "margin is 1.0; it must be at least 0 and below 1"),
        (["who", "a", "--rehearse", "nothing.txt"], "nothing.txt does not exist"),
    ],
)
def test_what_is_refused(folder: Path, arguments: list[str], message: str) -> None:
    before = digest(folder)
    assert message in refused("teach", folder, *arguments)
    assert digest(folder) == before


def test_a_place_without_a_model_stays_empty(tmp_path: Path) -> None:
    assert "is not the folder of a model" in refused("teach", tmp_path, "who ?", "a cat")
    assert "is not the folder of a model" in refused("teach", tmp_path / "no", "who ?", "a cat")
    assert list(tmp_path.iterdir()) == []


def test_a_second_teacher_is_refused_or_waits(folder: Path) -> None:
    with hold(folder, what="teaching"):
        assert "has been teaching since" in refused("teach", folder, "who ?", "a cat")
        result = teach(folder, "who ?", "a cat", "--wait", 0.1)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.endswith("Waiting for 0.1 s at most …")
    assert second.startswith("nextword: ")


def drawn(width: int, lesson: Lesson) -> list[str]:
    """A lesson on a terminal of `width` columns, without its colours."""
    file = io.StringIO()
    screen = Console(
        file=file, width=width, force_terminal=True, color_system=None, markup=False, emoji=False,
        highlight=False,
    )  # fmt: skip
    teach_views.show_lesson(screen, lesson)
    return file.getvalue().splitlines()


def test_both_sides_stand_under_their_headings() -> None:
    head, *rows = teach_views.table(samples.taught().positions, None, learned=True)
    assert head.split() == ["after", "right", "word", "before", "now"]
    for row, before, now in zip(rows, ["75.0", "12.5", "25.0"], ["87.5", "62.5", "93.8"],
                                strict=True):  # fmt: skip
        assert before in row[head.index("before") : head.index("now")]
        assert now in row[head.index("now") :]
    assert "✗  12.5 %  dog 50.0 %" in rows[1]
    (head, *_) = teach_views.table(samples.taught().positions, None, learned=False)
    assert head.endswith("  reached")


@pytest.mark.parametrize("width", [30, 50, 56, 60, 80, 96, 120])
@pytest.mark.parametrize("made", [samples.lesson(), samples.not_learned()])
def test_no_line_is_wider_than_the_terminal(width: int, made: Lesson) -> None:
    long = "an astonishingly long word that no table holds"
    first, *others = made.sentences
    at = dataclasses.replace(first.positions[1], after_token=long, token=long, position=1234)
    first = dataclasses.replace(first, positions=(at, *first.positions))
    lines = drawn(width, dataclasses.replace(made, sentences=(first, *others)))
    assert max(map(cell_len, lines)) <= width
    assert sum("✗" in line for line in lines) >= 2


def test_of_a_long_sentence_only_what_was_or_is_wrong_is_shown() -> None:
    right, wrong, *_ = samples.taught().positions
    positions = (*[right] * 23, wrong, right)
    assert list(teach_views.notable(positions)) == [wrong]
    assert list(teach_views.notable([right] * 25)) == [right] * 3
    assert teach_views.notable(positions[1:]) == positions[1:]
    lines = drawn(100, samples.lesson(sentences=(samples.taught(positions=positions),)))
    assert lines[3] == "… and 24 words right before and after"


def test_the_account_adds_up_on_both_sides() -> None:
    lines = drawn(100, samples.lesson())
    start = lines.index("Why “cat” and not “dog” at position 4: the difference of their logits")
    numbers = [float(line.split()[-2]) for line in lines[start + 1 :] if "│" in line]
    assert numbers == [-1.5, 0.25, 0.0, -1.25, 2.0, -1.25, 0.0, 0.75]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_step_takes_one_line(width: int) -> None:
    config = samples.lesson().config
    line = teach_views.step_line(samples.step(1), config, width=width)
    assert line.startswith("step 1 · loss 0.5000 · ")
    assert cell_len(line) <= width
    if width == 100:
        assert "2 of 3 right · least likely 37.5 % ████░│░░░░░ of 50.0 % · moved 0.0030" in line


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_line_is_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    file = io.StringIO()
    screen = Console(file=file, width=80, force_terminal=terminal)
    monkeypatch.setattr(teach_views, "console", lambda stderr: screen)
    with teach_views.live(samples.lesson().config) as tell:
        tell(samples.step(0))
        tell(samples.step(1))  # at once: not drawn
        tell("judging …")
    assert ("step 0 · loss 1.0000" in file.getvalue()) == terminal
    assert ("judging …" in file.getvalue()) == terminal
    assert "step 1" not in file.getvalue()


def test_also_prompt_teaches_every_word_of_the_prompt(folder: Path) -> None:
    result = teach(folder, "who sat ?", "a cat", "--also-prompt", "--json")
    assert result.exit_code == 0, result.output
    (sentence,) = json.loads(result.stdout)["sentences"]
    assert [item["position"] for item in sentence["positions"]] == list(range(6))
    assert all(item["after"]["right"] for item in sentence["positions"])
    model = LanguageModel.load(folder)
    assert all(each.right for each in model.verdicts(["who sat ?", "a cat"])[:6])


def test_judge_all_is_a_setting_of_the_lesson(folder: Path) -> None:
    for options, expected in (([], False), (["--judge-all"], True)):
        result = teach(folder, "who sat ?", "a cat", "--dry-run", "--json", *options)
        lesson = json.loads(result.stdout)
        assert lesson["config"]["judge_all"] is expected
        assert lesson["known_replies"]["n"] == lesson["known_replies"]["of"] > 0
