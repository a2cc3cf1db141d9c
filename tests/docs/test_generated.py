"""The generated pages: up to date, complete, and quick to make."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate
from nextword.cli.main import COMMANDS
from nextword.config import ModelConfig, ReplyConfig, TrainingConfig
from nextword.interpret.points import BLOCK, ENTRY, EXIT
from nextword.presets import PRESETS, preset

DOCS = Path(generate.__file__).parent


def test_the_pages_say_what_the_code_says() -> None:
    assert generate.stale() == [], "write them anew with: make docs"


def test_making_them_twice_gives_the_same() -> None:
    assert generate.pages() == generate.pages()


def test_every_command_has_its_help() -> None:
    page = generate.commands_page()
    for name, (_, what) in COMMANDS.items():
        assert f"## nextword {name}\n" in page
        assert f"Usage: nextword {name} " in page
        assert what in page
    assert "## Exit codes" in page


def test_no_line_of_help_options_is_too_wide() -> None:
    page = generate.commands_page()
    wide = [line for line in page.splitlines() if line.startswith("  --") and len(line) > 80]
    assert wide == []


def test_every_setting_is_listed_with_its_default_and_comment() -> None:
    page = generate.settings_page()
    for cls in (ModelConfig, TrainingConfig, ReplyConfig):
        for item in dataclasses.fields(cls):
            assert f"| `{item.name}` |" in page
    row = next(line for line in page.splitlines() if line.startswith("| `learning_rate` |"))
    meaning = "of AdamW; 0: 0.02 beside Muon, 0.003 alone"
    assert row == f"| `learning_rate` | number | `0.0` | `--learning-rate` | {meaning} |"
    row = next(line for line in page.splitlines() if line.startswith("| `norm_placement` |"))
    assert '`before`, `after` | `"before"` | `--set model.norm_placement=…`' in row


def test_the_points_are_those_of_the_table() -> None:
    """The page reads them from the source; here they are compared with the table itself."""
    rows = list(generate.point_rows())
    names = [
        *(point.name for point in ENTRY),
        *(f"blocks.N.{point.name}" for point in BLOCK),
        *(point.name for point in EXIT),
    ]
    assert [row.name for row in rows] == names
    for row, point in zip(rows, (*ENTRY, *BLOCK, *EXIT), strict=True):
        assert (row.shape, row.meaning) == (point.shape, point.meaning)


@pytest.mark.parametrize("name", PRESETS)
def test_a_points_condition_is_the_one_of_the_code(name: str) -> None:
    config = preset(name, vocab_size=11)
    for row, point in zip(generate.point_rows(), (*ENTRY, *BLOCK, *EXIT), strict=True):
        spelled = "True" if row.when == "always" else row.when.strip("`")
        assert eval(spelled, vars(config) | {}) is bool(point.present(config)), row


def test_a_type_in_words() -> None:
    assert generate.type_in_words(int | None) == "whole number"
    assert generate.type_in_words(float | str) == "number or text"
    assert generate.type_in_words(tuple[int, ...] | None) == "list of whole numbers"


def test_a_bar_does_not_end_a_cell() -> None:
    assert generate.table(("a", "b"), [("<|end|>", "x")]).splitlines()[2] == "| <\\|end\\|> | x |"


def test_a_stale_page_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    assert generate.write(tmp_path) == ["commands.md", "settings.md", "glossary.md"]
    assert generate.stale(tmp_path) == []
    (tmp_path / "settings.md").write_text("old")
    assert generate.stale(tmp_path) == ["settings.md"]
    assert generate.write(tmp_path) == ["settings.md"]
    monkeypatch.setattr(generate, "stale", lambda: ["glossary.md"])
    assert generate.main(["--check"]) == 1
    assert "docs/glossary.md is stale; write it anew with: make docs" in capsys.readouterr().err
    assert generate.main(["--chek"]) == 2


def test_the_script_checks_without_torch() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['docs/generate.py', '--check']\n"
        "import runpy\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as left: print('left with', left.code)\n"
        "print('torch loaded:', 'torch' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=DOCS.parent, check=True
    )
    assert ran.stdout == "left with 0\ntorch loaded: False\n", ran.stderr
