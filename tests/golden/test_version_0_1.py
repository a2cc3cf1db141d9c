"""Folders written by two commits of 0.1 open, resume and undo exactly, but for ensembles."""

import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tests.damage import DAMAGES
from tests.small_runs import quick

from nextword.cli.main import main
from nextword.common.files import sha256_file
from nextword.language_model import LanguageModel

FIXTURES = Path(__file__).with_name("version_0_1")
LATER = Path(__file__).with_name("version_0_1_bb34e3a")  # before modules and names were changed
COMMON = (
    "--tokenizer words --width 16 --layers 2 --heads 2 --context 64 --batch 8 --threads 1 "
    "--no-tensorboard --quiet --precision float32"
)
RUNS = {  # folder: (data, the options that the run was started with)
    "interrupted": ("talks.jsonl", "--steps 40 --dropout 0.1"),
    "text": ("text.txt", "--preset gpt2 --steps 40 --learn everything"),
}
ENSEMBLE = "--set training.generations=2 --set training.siblings=2"  # settings of version 0.1
PROBABILITY = {FIXTURES: 0.5923131, LATER: 0.6246665}  # of "is" after "what"
ROUNDING = 1e-3  # what another processor's rounding may do to a weight in some twenty steps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixtures, as the current directory."""
    quick(monkeypatch)
    shutil.copytree(FIXTURES, tmp_path / "fixtures")
    monkeypatch.chdir(tmp_path / "fixtures")
    return tmp_path / "fixtures"


@pytest.fixture(params=[FIXTURES, LATER], ids=["c309847", "bb34e3a"])
def written(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the folders that each commit wrote, as the current directory; its original."""
    quick(monkeypatch)
    original: Path = request.param
    shutil.copytree(original, tmp_path / "written")
    monkeypatch.chdir(tmp_path / "written")
    return original


def run(*arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(main, [*arguments])
    assert result.exit_code == exit_code, result.output
    return result


def test_a_model_with_lessons_opens_and_replies_as_it_did(written: Path) -> None:
    model = LanguageModel.load("model")
    replies = {
        "what is a transformer?": "A transformer is a word.",
        "what is a token?": "I read the key.",
        "what is a query?": "The query is what a token is looking for.",
    }
    assert {prompt: model.reply(prompt).text for prompt in replies} == replies
    first = model.verdicts(["what is a token?", "I read the key."])[0]
    assert first.actual is not None
    assert first.actual.probability == pytest.approx(PROBABILITY[written], abs=1e-5)


def test_undoing_both_lessons_restores_the_very_bytes(written: Path) -> None:
    listed = run("lessons", "model")
    assert "A transformer is a word." in listed.output and "I read the key." in listed.output
    run("lessons", "model", "--undo", "2")
    taught_one = LanguageModel.load("model")
    assert taught_one.reply("what is a transformer?").text == "A transformer is a word."
    run("lessons", "model", "--undo", "1")
    before = sha256_file(Path("expected", "before.safetensors"))
    assert sha256_file(Path("model", "model.safetensors")) == before


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_goes_on_to_the_same_weights(name: str, written: Path) -> None:
    data, options = RUNS[name]
    run("train", data, "--out", name, *COMMON.split(), *options.split())
    made = load_file(Path(name, "model.safetensors"))
    expected = load_file(written / "expected" / f"{name}.safetensors")
    torch.testing.assert_close(made, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("options", [ENSEMBLE, ""], ids=["same command", "without its settings"])
def test_an_interrupted_ensemble_is_refused_and_kept(options: str, folder: Path) -> None:
    checkpoints = {
        path: path.read_bytes() for path in (folder / "ensemble").rglob("checkpoints/*/*")
    }
    assert len(checkpoints) == 16
    asked = ["train", "talks.jsonl", "--out", "ensemble", *COMMON.split(), "--steps", "30"]
    result = run(*asked, *options.split(), exit_code=1)
    assert "training.generations" in result.output and "--fresh" in result.output
    assert {path: path.read_bytes() for path in checkpoints} == checkpoints


def test_fresh_starts_over_in_the_folder_of_an_ensemble(folder: Path) -> None:
    asked = ["train", "talks.jsonl", "--out", "ensemble", *COMMON.split(), "--steps", "5"]
    run(*asked, "--fresh")
    assert (folder / "ensemble" / "model.safetensors").exists()
    assert not (folder / "ensemble" / "training" / "earlier").exists()


@pytest.mark.parametrize(
    ("name", "embedding"),
    [("interrupted", "model.embed_tokens.weight"), ("text", "transformer.wte.weight")],
)
def test_the_tolerance_is_small_beside_what_the_last_steps_change(
    name: str, embedding: str
) -> None:
    checkpoint = max((FIXTURES / name / "training" / "checkpoints").glob("step-*"))
    before = load_file(checkpoint / "weights.safetensors")["token_embedding.weight"]
    after = load_file(FIXTURES / "expected" / f"{name}.safetensors")[embedding]
    assert (after - before).abs().max().item() > 10 * ROUNDING


@pytest.mark.parametrize("damage", ["cut", "empty", "delete"])
def test_a_damaged_journal_is_refused_and_nothing_is_lost(damage: str, folder: Path) -> None:
    journal = folder / "model" / "training" / "lessons.jsonl"
    whole = journal.read_bytes()
    lessons = {path: path.read_bytes() for path in journal.parent.glob("lessons/**/*.*")}
    DAMAGES[damage](journal)
    for asked in (["lessons", "model"], ["lessons", "model", "--undo-all"]):
        assert "lessons.jsonl" in run(*asked, exit_code=1).output
    assert {path: path.read_bytes() for path in lessons} == lessons
    journal.write_bytes(whole)
    run("lessons", "model", "--undo-all")
    before = sha256_file(folder / "expected" / "before.safetensors")
    assert sha256_file(folder / "model" / "model.safetensors") == before
