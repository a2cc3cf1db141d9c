"""The blocks of the README and of docs/ are run: what people are told to type works.

They run in a folder of their own, in this process. Training is shortened where everybody can see
it, by SHORTER below; nothing else is changed.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nextword.cli.main import COMMANDS, main
from nextword.cli.training import try_
from nextword.formats.huggingface.families import FAMILIES
from nextword.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
RUN_IN_ORDER = [README, ROOT / "docs" / "folder.md"]  # whose blocks are run, one after the other

SHORTER = [  # a training as it is written → as it is run here
    (re.compile(r"--minutes [\d.]+"), "--depth 1 --steps 3"),
    (re.compile(r"\bminutes=[\d.]+"), "depth=1, steps=3"),
]
NOT_RUN = {"pip"}  # it would install
TALKS = "talks.jsonl"
COPIES = 20  # of the dialogues that the README shows, so that some can be held out

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    text = page.read_text(encoding="utf-8")
    return [body for found, body in FENCE.findall(text) if found == language]


def commands(page: Path) -> Iterator[list[str]]:
    """The command lines of the console blocks, as words."""
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield shlex.split(line.removeprefix("$ "))


def shorter(text: str) -> str:
    """A command line or a program with its training shortened."""
    for written, run in SHORTER:
        text = written.sub(run, text)
    return text


def run_command(words: list[str]) -> str:
    """Run a command of Nextword; returns what it printed."""
    arguments = shlex.split(shorter(shlex.join(words[1:])))
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, f"{shlex.join(words)}: {result.output}"
    return result.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dialogues that the README shows, several times over."""
    folder = tmp_path_factory.mktemp("readme")
    (shown,) = blocks(README, "json")
    (folder / TALKS).write_text(shown * COPIES, encoding="utf-8")
    return folder


@pytest.fixture
def there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in that folder, with a short `nextword try`, on one core: other tests have the rest."""
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(try_, "DEPTH", 1)
    monkeypatch.setattr(try_, "STEPS", 3)
    monkeypatch.setattr("nextword.training.backends.thread_limit.cores", lambda: 1)
    return workplace


def test_make_try_is_nextword_try_and_ends_with_what_to_do_next(there: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^try: .*\n\t@?\$\(BIN\)/nextword try$", makefile, re.MULTILINE)
    shown = run_command(["nextword", "try"])
    assert "✓ right" in shown or "✗ wrong" in shown
    steps = shown.partition("What next")[2]
    advised = re.findall(r"^ +(nextword .*)$", steps, re.MULTILINE)
    assert len(advised) >= 3
    for line in advised:
        assert shlex.split(line)[1] in {*COMMANDS, "--help"}, line


def test_the_readmes_commands_run_in_their_order(there: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    n_run = 0
    for words in commands(README):
        if words[0] == "nextword":
            assert run_command(words).strip()
            n_run += 1
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words
        else:
            assert words[0] in NOT_RUN, words
    assert n_run >= 3
    assert (there / "models" / "mine" / "config.json").is_file()


@pytest.mark.parametrize("page", RUN_IN_ORDER, ids=lambda page: page.name)
def test_python_blocks_run(
    page: Path, there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if not (there / "models" / "mine" / "config.json").exists():  # this test was chosen alone
        for words in commands(README):
            if words[:2] == ["nextword", "train"]:
                run_command(words)
    programs = blocks(page, "python")
    assert programs
    for program in programs:
        exec(compile(shorter(program), f"{page.name}, a block", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out.strip()


def test_the_shortening_still_finds_what_it_shortens() -> None:
    text = README.read_text(encoding="utf-8")
    for written, _ in SHORTER:
        assert written.search(text), f"{written.pattern} is no longer in the README"


def test_commands_in_running_text_exist() -> None:
    for page in PAGES:
        for line in re.findall(r"`(nextword [a-z][^`]*)`", page.read_text(encoding="utf-8")):
            assert line.split()[1] in COMMANDS, f"{page.name}: {line}"


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith("https://"):
                continue
            name, _, anchor = target.partition("#")
            path = page.parent / name if name else page
            assert path.is_file(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(path), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The names under which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_house_is_drawn_as_it_stands() -> None:
    tree = next(block for block in blocks(README, "text") if block.startswith("src/nextword/"))
    drawn = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")}
    source = ROOT / "src" / "nextword"
    stands = {path.name for path in source.glob("*.py")}
    stands |= {path.parent.name for path in source.glob("*/__init__.py")}
    assert drawn == stands
    outside = {line.split()[0].rstrip("/") for line in tree.splitlines() if line[0] != " "}
    assert all((ROOT / name).is_dir() for name in outside)


def test_presets_and_families_that_are_named_exist() -> None:
    text = README.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text or f"--preset {name}" in text for name in PRESETS)
    page = " ".join((ROOT / "docs" / "folder.md").read_text(encoding="utf-8").split())
    assert "exactly those of GPT-2, Llama, Mistral, Qwen2 or Qwen3" in page
    assert set(FAMILIES) - {"nextword"} == {"gpt2", "llama", "mistral", "qwen2", "qwen3"}
