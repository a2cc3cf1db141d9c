"""`nextword look --account`, `--narrate` and `--html`: where a prediction comes from."""

import io
import re
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from tests.cli.test_look import TEXTS, article, mapping, numbers, output, run, saved

from nextword.cli.inspecting import look_account
from nextword.cli.shared import drawing
from nextword.language_model import LanguageModel
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

TEXT = "the cat sat on"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The article's model, two numbers wide, of plain text."""
    return article(tmp_path_factory.mktemp("models") / "words")


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with more contributions than have a bar."""
    tokenizer = Tokenizer.learn(TEXTS, kind="words")
    config = preset(
        "llama", vocab_size=tokenizer.vocab_size, d_model=20, context_length=16, n_layers=3,
        n_heads=2, d_ff=37,
    )  # fmt: skip
    return saved(tmp_path_factory.mktemp("models") / "deep", config, tokenizer, "text")


def test_the_bars_are_the_contributions_and_add_up(words: Path) -> None:
    lines = output(words, TEXT, "--account", "--position", 3, "--against", "dog").splitlines()
    model = LanguageModel.load(words)
    token = next(i for i in range(model.tokenizer.vocab_size) if model.tokenizer.token(i) == " dog")
    account = model.trace(TEXT).account(3, against=token)
    assert lines[0] == (
        f"Position 3, “␣on” · the logit of “{drawing.token_text(account.token)}” "
        f"against “␣dog”: {account.logit:.4f}"
    )
    assert lines[1].startswith("Direct contributions only: ")
    parts = account.contributions()
    assert len(parts) == 7
    for line, part in zip(lines[2:], parts, strict=False):
        assert line.startswith(f"  {part.label} ")
        assert numbers(line) == [pytest.approx(part.amount, abs=6e-5)]
        left, _, right = line.partition("│")
        bar, other = (right, left) if part.amount > 0 else (left, right)
        assert "█" not in other
        assert "█" in bar or abs(part.amount) < 0.1
    total = lines[2 + len(parts)]
    assert total.startswith("  sum = logit ")
    assert numbers(total) == [pytest.approx(account.logit, abs=6e-5)]
    assert sum(numbers(line)[0] for line in lines[2:9]) == pytest.approx(account.total, abs=1e-3)
    by_word = lines[lines.index("By word, all heads together:") + 1 :]
    assert len(by_word) == 4 + 2
    assert sum(numbers(line)[0] for line in by_word[:-1]) == pytest.approx(account.total, abs=1e-3)


def test_only_the_largest_have_a_bar_of_their_own(deep: Path) -> None:
    lines = output(deep, TEXT, "--account").splitlines()
    account = LanguageModel.load(deep).trace(TEXT).account()
    others = account.n_contributions - 12
    assert others > 0
    first = lines.index(next(line for line in lines if line.startswith("  the other ")))
    assert lines[first].startswith(f"  the other {others} ")
    assert sum(numbers(line)[0] for line in lines[2 : first + 1]) == pytest.approx(
        account.logit, abs=2e-3
    )


def test_the_narration_is_the_traces(words: Path) -> None:
    told = output(words, TEXT, "--narrate", "--position", 2).splitlines()
    narration = LanguageModel.load(words).trace(TEXT).narrate(2)
    assert told == [sentence.text for sentence in narration.sentences]
    both = output(words, TEXT, "--narrate", "--account", "--position", 2).splitlines()
    assert both[: len(told)] == told
    assert both[len(told) + 1].startswith("Position 2, ")


def test_the_same_for_programs(words: Path) -> None:
    found = mapping(words, TEXT, "--account", "--narrate", "--position", 1, "--against", " mat")
    trace = LanguageModel.load(words).trace(TEXT)
    account = found["account"]
    assert (account["position"], account["against"]) == (1, " mat")
    assert sum(part["amount"] for part in account["contributions"]) == pytest.approx(
        account["logit"], abs=1e-4
    )
    assert [part["name"] for part in account["by_word"]] == [
        part.name for part in trace.account(1).by_word()
    ]
    assert account["n_contributions"] == len(account["contributions"]) == 3 + 2
    assert account["note"].startswith("Direct contributions only")
    told = [sentence["text"] for sentence in found["narration"]["sentences"]]
    assert told == [sentence.text for sentence in trace.narrate(1).sentences]
    assert set(found) == {"model", "read_as", "account", "narration"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--account", "--position", "4"], "position is 4; it must be 0 to 3"),
        (["--narrate", "--position", "-5"], "position is -5; it must be 0 to 3"),
        (["--account", "--against", "dag"], "'dag' is no token of this model's vocabulary"),
        (["--against", "dog"], "--against needs --account"),
        (["--narrate", "--full"], "--full is for the numbers of a position"),
        (["--html", "x.html", "--account"], "--html writes the account and the narration, too"),
    ],
)
def test_what_is_refused(words: Path, options: list[str], message: str) -> None:
    result = run(words, TEXT, *options)
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_word_is_named_with_or_without_its_space() -> None:
    tokenizer = Tokenizer.learn(["a b", "b a a"], kind="bpe", vocab_size=270)
    ids = {tokenizer.token(i): i for i in range(tokenizer.vocab_size)}
    assert {"a", " a", "b"} <= set(ids)  # the first two differ in their space only
    logits = torch.zeros(tokenizer.vocab_size)
    for word in ("a", " a", "b"):
        assert look_account.token_named(tokenizer, word, logits) == ids[word]
    logits[ids[" a"]] = 1.0  # the more likely of the two that " a " may mean
    assert look_account.token_named(tokenizer, " a ", logits) == ids[" a"]


@pytest.mark.parametrize("width", [100, 60, 36])
def test_nothing_is_wider_than_the_terminal(deep: Path, width: int) -> None:
    trace = LanguageModel.load(deep).trace(TEXT)
    screen = Console(
        file=io.StringIO(), force_terminal=True, width=width, color_system=None, markup=False
    )
    look_account.view(trace.narrate(), trace.account())[1](screen)
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any("sum = logit" in line for line in lines)


def test_bars_have_their_signs_side_and_one_scale() -> None:
    lines = list(drawing.bars([("a", 2.0), ("bb", -1.0), ("c", 0.0)], width=60))
    a, b, c = (line.split("│") for line in lines)
    assert (a[0].count("█"), a[1]) == (0, "█" * 20)
    assert (b[0].count("█"), b[1]) == (10, "")
    assert (c[0].count("█"), c[1]) == (0, "")
    assert len({line.index("│") for line in lines}) == 1
    assert list(drawing.bars([], width=None)) == []


def test_the_page_in_one_file_says_where_and_how_large(words: Path, tmp_path: Path) -> None:
    page = tmp_path / "cat.html"
    text = output(words, TEXT, "--html", page, "--position", 2)
    assert text.startswith(f"{page} is written, ")
    assert re.search(r"\d+\.\d MB", text)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    found = mapping(words, TEXT, "--html", page)  # such a page may be written anew
    assert found["bytes"] == page.stat().st_size
    other = tmp_path / "mine.html"
    other.write_text("mine", encoding="utf-8")
    assert run(words, TEXT, "--html", other).exit_code == 1
    assert other.read_text(encoding="utf-8") == "mine"
