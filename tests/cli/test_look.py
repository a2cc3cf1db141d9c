"""`nextword look`: verdicts at every position, and the chain of one."""

import io
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console

from nextword.cli.inspecting import look as module
from nextword.cli.main import main
from nextword.cli.shared import drawing
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat", "the dog sat on the log"]


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The article's model, two numbers wide, of plain text."""
    return article(tmp_path_factory.mktemp("models") / "seed")


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of dialogues in the field's architecture, with two heads to a key/value head."""
    tokenizer = Tokenizer.learn(TEXTS, kind="bpe", vocab_size=300)
    config = preset(
        "qwen3", vocab_size=tokenizer.vocab_size, d_model=20, context_length=64,
        n_layers=2, n_heads=4, n_kv_heads=2, d_head=10, d_ff=37,
    )  # fmt: skip
    return saved(tmp_path_factory.mktemp("models") / "talker", config, tokenizer, "dialogue")


def article(folder: Path) -> Path:
    """The article's model, two numbers wide, of plain text, saved to `folder`."""
    tokenizer = Tokenizer.learn(TEXTS, kind="words")
    config = preset("seed", vocab_size=tokenizer.vocab_size, d_model=2, context_length=16)
    return saved(folder, config, tokenizer, "text")


def saved(folder: Path, config: Any, tokenizer: Tokenizer, kind: Any) -> Path:
    decoder = Decoder(config, seed=3)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():  # fresh weights are zero in places, and would hide a wrong number
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    LanguageModel(decoder, tokenizer, kind=kind).save(folder)
    return folder


def run(*arguments: object, stdin: str = "") -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as for a person; the test suite makes them errors
        return CliRunner().invoke(main, ["look", *map(str, arguments)], input=stdin)


def output(*arguments: object, stdin: str = "") -> str:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    return result.stdout


def mapping(*arguments: object, stdin: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output(*arguments, "--json", stdin=stdin))
    return found


def test_a_line_for_every_position(seed: Path) -> None:
    lines = output(seed, "the cat sat").splitlines()
    model = LanguageModel.load(seed)
    verdicts = model.verdicts("the cat sat")
    assert lines[0].split() == ["token", "predicted", "actual", "rank"]
    for line, verdict in zip(lines[1:3], verdicts, strict=False):
        assert verdict.actual is not None
        words = [verdict.token, verdict.predicted.token, verdict.actual.token]
        assert all(drawing.token_text(word) in line for word in words)
        assert f"{100 * verdict.actual.probability:.1f} %" in line
        assert f"#{verdict.rank}" in line
        assert ("✓ right" if verdict.right else "✗ wrong") in line
        assert ("top 5" in line) == bool(verdict.in_top5 and not verdict.right)
    assert "no answer yet" in lines[3]
    assert f"{verdicts.n_right} of 2 right" in lines[5]
    assert f"{verdicts.n_in_top5} of 2 in the top 5" in lines[5]
    assert f"loss {verdicts.loss:.4f} nats" in lines[5]
    assert len(lines) == 7 + 5


def test_json_says_the_same_with_ids(seed: Path) -> None:
    found = mapping(seed, "the cat sat", "--top", 3)
    verdicts = LanguageModel.load(seed).verdicts("the cat sat")
    assert found["read_as"] == "text"
    assert found["loss"] == pytest.approx(verdicts.loss)
    assert [item["token_id"] for item in found["positions"]] == [v.token_id for v in verdicts]
    assert [item["rank"] for item in found["positions"]] == [v.rank for v in verdicts]
    assert [len(item["top"]) for item in found["positions"]] == [3, 3, 3]
    assert found["positions"][-1]["actual"] is None
    assert found["positions"][0]["right"] == verdicts[0].right


def test_turns_each_end_in_the_end_token(talker: Path) -> None:
    model = LanguageModel.load(talker)
    end = model.tokenizer.end_id

    def ids(*arguments: object) -> list[int]:
        return [item["token_id"] for item in mapping(talker, *arguments)["positions"]]

    cat, dog = model.tokenizer.encode("the cat"), model.tokenizer.encode("the dog")
    assert ids("the cat") == [*cat, end]
    assert ids("the cat", "the dog") == [*cat, end, *dog, end]
    assert ids("the cat", "--continue") == cat


def test_a_model_of_text_reads_turns_where_there_are_some(seed: Path) -> None:
    assert mapping(seed, "the cat")["read_as"] == "text"
    assert mapping(seed, "the cat", "--dialogue")["read_as"] == "dialogue"
    assert mapping(seed, "the cat", "the dog")["read_as"] == "dialogue"
    result = run(seed, "the cat", "the dog", "--continue")
    assert result.exit_code == 1
    assert "2 turns" in result.stderr


def test_standard_input_loses_its_last_line_end_only(talker: Path) -> None:
    def tokens(stdin: str) -> str:
        positions = mapping(talker, "-", "--continue", stdin=stdin)["positions"]
        return "".join(item["token"] for item in positions)

    assert tokens("the cat\n") == "the cat"
    assert tokens("the\ncat\n\n") == "the\ncat\n"
    assert "given twice" in run(talker, "-", "-").stderr


def test_an_unknown_word_is_told_once(seed: Path) -> None:
    result = run(seed, "the zebra sat")
    assert result.exit_code == 0
    assert result.stderr.startswith("note: not in the vocabulary: 'zebra'")
    assert result.stderr.count("\n") == 1


def test_text_cannot_steer_the_terminal(talker: Path) -> None:
    shown = output(talker, "a\x1b[2J\nb\u202e", "--position", 1) + output(talker, "a\x1b[2J\nb")
    assert "\u202e" not in shown
    assert "␛" in shown
    assert "↵" in shown


def numbers(line: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?\d+\.\d{4}", line)]


def test_the_printed_numbers_add_up(seed: Path) -> None:
    lines = output(seed, "the cat sat on", "--position", 2).splitlines()
    checked = 0
    for line in lines:
        if match := re.match(r".*? = (.+ × .+) = (-?\d+\.\d{4})$", line):
            products = [math.prod(numbers(term)) for term in match[1].split(" + ")]
            assert float(match[2]) == pytest.approx(sum(products), abs=1e-3), line
            checked += 1
    assert checked == 2 + 6 + 6 + 3 + 5
    for title, rows in (("1. Word vector", 2), ("9. Residual link", 2), ("8. Context", 3)):
        start = lines.index(title) + 3
        *terms, total = [numbers(line)[-2:] for line in lines[start : start + rows + 1]]
        np.testing.assert_allclose(np.sum(terms, axis=0), total, atol=rows * 1e-4)
    start = lines.index("8. Context") + 3
    weights = [numbers(line)[0] for line in lines[start : start + 3]]
    assert sum(weights) == pytest.approx(1, abs=3e-4)
    assert re.fullmatch(r"Largest difference to the fast decoder: (\de-\d\d|0)", lines[-1])


def test_the_chain_in_the_articles_order(talker: Path) -> None:
    text = output(talker, "the cat sat", "--position", 1, "--layer", 1, "--head", 3)
    assert text.startswith("Position 1, “")
    assert "layer 1 of 2 · head 3 of 4 (counted from 0)" in text
    assert "key/value head 1, shared with head 2" in text
    titles = [
        "Word vector", "Entering layer 1", "Norm", "Query", "Keys", "Query, normed",
        "Keys, normed", "Query, turned", "Keys, turned", "Query · key", "Scaled", "Mask",
        "Softmax", "Values", "Context", "All heads", "Output projection", "Residual link", "Norm",
        "Feed-forward", "Residual link", "Norm", "Logits", "Next word",
    ]  # fmt: skip
    assert re.findall(r"^\d+\. (.+)$", text, re.MULTILINE) == titles
    assert "masked: comes later" in text
    assert "‖ ‖ is the length of a vector" in text


def test_full_prints_all_numbers_of_long_vectors(talker: Path) -> None:
    def embedding(*options: str) -> str:
        lines = output(talker, "the", *options).splitlines()
        return next(line for line in lines if "token embedding" in line)

    short, full = embedding("--position", "0"), embedding("--position", "0", "--full")
    assert len(numbers(full)) == 20
    assert numbers(short) == [*numbers(full)[:6], numbers(short)[-1]]
    assert numbers(short)[-1] == pytest.approx(np.linalg.norm(numbers(full)), abs=1e-3)


def test_the_chain_as_json(seed: Path) -> None:
    found = mapping(seed, "the cat sat", "--position", 1)
    assert (found["position"], found["layer"], found["head"]) == (1, 0, 0)
    mask = next(step for step in found["steps"] if step["name"] == "attention.masked_scores")
    assert mask["lines"][2] == {"name": " sat", "position": 2, "masked": "comes later"}
    chain = LanguageModel.load(seed).chain("the cat sat", position=1)
    assert [step["name"] for step in found["steps"]] == [step.name for step in chain.steps]
    assert found["steps"][0]["lines"][0]["numbers"] == list(chain.steps[0].lines[0].numbers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--position", "9"], "position is 9; it must be 0 to 2"),
        (["--layer", "1"], "layer is 1; the only layer is 0"),
        (["--head", "-2"], "head is -2; the only head is 0"),
        (["--top", "0"], "top is 0; it must be at least 1"),
    ],
)
def test_what_there_is_not_is_refused(seed: Path, options: list[str], message: str) -> None:
    result = run(seed, "the cat sat", *options)
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_text_too_long_is_refused_with_both_numbers(seed: Path) -> None:
    result = run(seed, "the cat " * 10)
    assert result.exit_code == 1
    assert "the text has 21 tokens" in result.stderr
    assert "holds 16" in result.stderr


@pytest.mark.parametrize("width", [100, 60, 40])
@pytest.mark.parametrize("which", ["seed", "talker"])
def test_nothing_is_wider_than_the_terminal(
    which: str, width: int, seed: Path, talker: Path
) -> None:
    model = LanguageModel.load(seed if which == "seed" else talker)
    text = "the cat sat on the mat" + (" 猫が座った" if which == "talker" else "")
    screen = Console(
        file=io.StringIO(), force_terminal=True, width=width, color_system=None, markup=False
    )
    module.show_verdicts(screen, model.verdicts(text))
    for full in (False, True):
        module.show_chain(screen, model.chain("the cat sat on the mat", head=-1), full=full)
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any("right" in line or "wrong" in line for line in lines)


def test_many_masked_words_are_counted(seed: Path) -> None:
    text = output(seed, "the cat sat on the mat the dog sat on", "--position", 0)
    assert text.count("masked: comes later") == 3
    assert "… and 6 more, masked" in text


@pytest.mark.parametrize(
    ("token", "shown"),
    [(" cat", "␣cat"), ("  ", "␣␣"), ("a b ", "a b␣"), ("\n", "↵"), ("", ""), ("\t x", "␉ x")],
)
def test_spaces_at_the_ends_of_a_token_can_be_seen(token: str, shown: str) -> None:
    assert drawing.token_text(token) == shown


def test_zero_has_no_sign() -> None:
    assert [drawing.number(value) for value in (-1e-9, 0.0, -0.5, 12.34567)] == [
        "0.0000",
        "0.0000",
        "-0.5000",
        "12.3457",
    ]
