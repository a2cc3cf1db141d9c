"""`nextword evaluate`: the numbers, against a plain working-out, and what is said with them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nextword.cli.main import main
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

CONTEXT = 24
TEXT = "the cat sat on the mat. the dog sat on the log. " * 4
DIALOGUES = [("where is the cat", "on the mat"), ("where is the dog", "on the log")]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    turns = [turn for dialogue in DIALOGUES for turn in dialogue]
    return Tokenizer.learn([TEXT, *turns], kind="bpe", vocab_size=300)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    config = preset(
        "gpt2", vocab_size=tokenizer.vocab_size, context_length=CONTEXT, n_layers=1, n_heads=2,
        d_model=10,
    )  # fmt: skip
    model = LanguageModel(Decoder(config, seed=4), tokenizer, kind="dialogue")
    model.save(tmp_path_factory.mktemp("models") / "small")
    return model


@pytest.fixture(scope="module")
def parrot(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """Learned both dialogues by heart."""
    torch.manual_seed(0)
    config = preset(
        "gpt2", vocab_size=tokenizer.vocab_size, context_length=CONTEXT, n_layers=1, n_heads=2,
        d_model=32,
    )  # fmt: skip
    decoder = Decoder(config, seed=4)
    model = LanguageModel(decoder, tokenizer, kind="dialogue")
    rows = [torch.tensor(model.ids(list(turns))) for turns in DIALOGUES]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small that threads would only wait for each other
    for _ in range(50):
        loss = sum(
            torch.nn.functional.cross_entropy(decoder(row[None, :-1])[0], row[1:]) for row in rows
        )
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.set_num_threads(threads)
    model.save(tmp_path_factory.mktemp("models") / "parrot")
    return model


def run(model: LanguageModel, *arguments: object, stdin: str = "") -> Result:
    options = ["evaluate", str(model.folder), "--device", "cpu", *map(str, arguments)]
    return CliRunner().invoke(main, options, input=stdin)


def mapping(model: LanguageModel, *arguments: object, stdin: str = "") -> dict[str, Any]:
    result = run(model, *arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def text_file(folder: Path, text: str) -> Path:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path


def dialogue_file(folder: Path, *dialogues: tuple[str, str]) -> Path:
    path = folder / "dialogues.jsonl"
    lines = [json.dumps({"prompt": prompt, "reply": reply}) for prompt, reply in dialogues]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@torch.no_grad()
def plainly(model: LanguageModel, ids: list[int], context: int) -> tuple[float, int, int]:
    """Mean loss, and how many are right and in the top 5, one window after the other."""
    nats, right, near = 0.0, 0, 0
    for start in range(0, len(ids) - 1, context):
        window = ids[start : start + context + 1]
        logits = model.decoder(torch.tensor([window[:-1]]))[0]
        for row, token in zip(logits, window[1:], strict=True):
            nats -= row.log_softmax(-1)[token].item()
            rank = int((row > row[token]).sum())
            right, near = right + (rank < 1), near + (rank < 5)
    return nats / (len(ids) - 1), right, near


@pytest.mark.parametrize("context", [None, 7])
def test_every_token_of_a_text_is_predicted(
    model: LanguageModel, tmp_path: Path, context: int | None
) -> None:
    ids = [*model.tokenizer.encode(TEXT), model.tokenizer.end_id]
    assert (len(ids) - 1) % CONTEXT
    loss, right, near = plainly(model, ids, context or CONTEXT)
    options = [] if context is None else ["--context", context]
    found = mapping(model, text_file(tmp_path, TEXT), *options)
    scores, count = found["scores"], len(ids) - 1
    assert scores["n_tokens"] == count
    assert scores["loss"] == pytest.approx(loss, rel=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    assert scores["top1"] == pytest.approx(right / count)
    assert scores["top5"] == pytest.approx(near / count)
    n_bytes = len(TEXT.encode()) - len(model.tokenizer.token(ids[0]).encode())
    bits = loss * count / math.log(2) / n_bytes
    assert scores["bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    assert found["context"] == (context or CONTEXT)
    assert found["replies"] is None
    assert found["reply_tokens"] is None
    assert found["share"] == 1


def test_a_text_shorter_than_a_window_is_one_window(model: LanguageModel) -> None:
    found = mapping(model, "-", stdin="the cat sat")
    ids = [*model.tokenizer.encode("the cat sat"), model.tokenizer.end_id]
    assert found["context"] == found["scores"]["n_tokens"] == len(ids) - 1
    assert found["scores"]["loss"] == pytest.approx(plainly(model, ids, CONTEXT)[0], rel=1e-5)
    notes = "\n".join(found["notes"])
    assert f"shorter than the model's context of {CONTEXT} tokens" in notes
    assert "the data are plain text, but the model learned from dialogues" in notes


def test_a_limit_is_kept_and_said(model: LanguageModel, tmp_path: Path) -> None:
    found = mapping(model, text_file(tmp_path, TEXT), "--limit", 1)
    assert found["scores"]["n_tokens"] == CONTEXT
    assert found["share"] < 1
    assert any("because of --limit" in note for note in found["notes"])


def test_replies_learned_by_heart(parrot: LanguageModel, tmp_path: Path) -> None:
    found = mapping(parrot, dialogue_file(tmp_path, *DIALOGUES))
    replies = found["replies"]
    assert replies["scores"] == {"exact": 1.0, "stopped": 1.0, "n_replies": 2}
    assert (replies["n_prompts"], replies["n_left_out"], replies["n_cut"]) == (2, 0, 0)
    assert found["reply_tokens"]["n_tokens"] < found["scores"]["n_tokens"]
    assert found["reply_tokens"]["loss"] < found["scores"]["loss"]
    assert found["notes"] == []
    other = dialogue_file(tmp_path, DIALOGUES[0], ("where is the dog", "on the mat"))
    scores = mapping(parrot, other)["replies"]["scores"]
    assert scores == {"exact": 0.5, "stopped": 1.0, "n_replies": 2}


def test_dialogues_are_scored_each_on_its_own(parrot: LanguageModel, tmp_path: Path) -> None:
    found = mapping(parrot, dialogue_file(tmp_path, *DIALOGUES), "--replies", 0)
    rows = [parrot.ids(list(turns)) for turns in DIALOGUES]
    sums = [plainly(parrot, ids, CONTEXT)[0] * (len(ids) - 1) for ids in rows]
    count = sum(len(ids) - 1 for ids in rows)
    assert found["scores"]["n_tokens"] == count
    assert found["scores"]["loss"] == pytest.approx(sum(sums) / count, abs=1e-5)
    assert found["replies"] is None


def test_what_does_not_fit_is_counted(model: LanguageModel, tmp_path: Path) -> None:
    long = "where is the cat " * CONTEXT
    data = dialogue_file(tmp_path, (long, "on the mat"), ("where", "on the mat " * CONTEXT))
    found = mapping(model, data)
    replies, notes = found["replies"], "\n".join(found["notes"])
    assert (replies["n_prompts"], replies["n_left_out"], replies["n_no_room"]) == (2, 1, 1)
    assert replies["scores"]["n_replies"] == 1
    assert found["n_cut"] == 2
    assert "1 of 2 prompts were left out" in notes
    assert "2 of 2 dialogues are longer than 24 tokens" in notes
    assert "does not fit into the context" in notes
    ids = model.ids("where")
    made = model.reply("where")
    assert len(ids) + len(made.tokens) == CONTEXT  # an untaught model that goes on and on
    assert made.finish_reason == "length"
    assert replies["n_cut"] == 1
    assert replies["scores"]["stopped"] == 0
    assert "1 of 1 replies had not ended when the context of 24 tokens was full" in notes


def test_prompts_are_spread_over_the_dialogues(parrot: LanguageModel, tmp_path: Path) -> None:
    data = dialogue_file(tmp_path, *[DIALOGUES[0]] * 4, *[("where is the dog", "no")] * 4)
    scores = mapping(parrot, data, "--replies", 2)["replies"]["scores"]
    assert scores == {"exact": 0.5, "stopped": 1.0, "n_replies": 2}
    assert mapping(parrot, data, "--replies", "all")["replies"]["scores"]["n_replies"] == 8


def test_for_people(parrot: LanguageModel, tmp_path: Path) -> None:
    result = run(parrot, dialogue_file(tmp_path, *DIALOGUES))
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith("dialogues.jsonl: JSON Lines, prompt/reply")
    names = ["dialogues", "predicted tokens", "loss", "loss on replies alone", "perplexity"]
    names += ["bits per byte", "next token right", "in the top 5", "replies"]
    names += ["same as the data's", "ended by end token"]
    assert [line[:23].rstrip() for line in lines[2:] if line] == names
    assert lines[-2].endswith("100 % (2 of 2)")
    assert "\x1b" not in result.stdout


def test_broken_lines_stop_or_are_skipped(model: LanguageModel, tmp_path: Path) -> None:
    data = dialogue_file(tmp_path, *DIALOGUES)
    data.write_text(data.read_text() + "{broken\n", encoding="utf-8")
    result = run(model, data)
    assert result.exit_code == 1
    assert "--skip-bad" in result.stderr
    found = mapping(model, data, "--skip-bad")
    assert found["n_documents"] == 2
    assert any("1 broken line was skipped" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--context", "25"], "context is 25; it must be 1 to 24", 1),
        (["--limit", "0"], "'0' is not a whole number above 0", 2),
        (["--replies", "some"], "'some' is not a whole number from 0 on, nor is it all", 2),
    ],
)
def test_impossible_options(
    model: LanguageModel, tmp_path: Path, options: list[str], message: str, code: int
) -> None:
    result = run(model, text_file(tmp_path, TEXT), *options)
    assert result.exit_code == code
    assert message in result.stderr


def test_the_data_and_the_model_are_left_alone(model: LanguageModel, tmp_path: Path) -> None:
    data = text_file(tmp_path, TEXT)
    assert model.folder is not None
    before = sorted(path.name for path in model.folder.rglob("*"))
    mapping(model, data)
    assert sorted(path.name for path in model.folder.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [data]
