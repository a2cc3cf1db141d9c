"""`nextword reply` and `nextword chat`, on a small model in a folder."""

import json
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from nextword.cli.main import main
from nextword.cli.replying import chat as chat_module
from nextword.cli.replying.chat import recent
from nextword.cli.replying.reply import show_stream
from nextword.config import ModelConfig, ReplyConfig
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.tokenizer.tokenizer import Tokenizer

NEXT = {"a": "b", "b": "c", "c": "<|end|>", "d": "d", "e": "\x1b"}


def letters(kind: str = "dialogue") -> LanguageModel:
    """A model of letters that goes on as NEXT says, looking past the end token at the prompt.

    It is made by hand: the embedding of a letter points at the letter that follows, and the end
    token's at `a`, so that every reply to a prompt is `abc`.
    """
    tokenizer = Tokenizer.learn(["abcde\x1b"], kind="characters")
    size = tokenizer.vocab_size
    config = ModelConfig(
        vocab_size=size, d_model=size, context_length=29, n_layers=0, position="none", norm="none"
    )
    decoder = Decoder(config)
    follows = torch.zeros(size, size)
    follows[tokenizer.end_id, tokenizer.encode("a")[0]] = 9
    for letter, after in NEXT.items():
        target = tokenizer.end_id if after == "<|end|>" else tokenizer.encode(after)[0]
        follows[tokenizer.encode(letter)[0], target] = 9
    decoder.token_embedding.weight.data.copy_(follows)
    decoder.unembedding.weight.data.copy_(torch.eye(size))
    return LanguageModel(decoder, tokenizer, kind=kind)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    letters().save(tmp_path / "letters")
    return tmp_path / "letters"


def run(*arguments: object, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=typed)


def test_each_prompt_gets_its_reply(folder: Path) -> None:
    result = run("reply", folder, "d", "bb", "--device", "cpu")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "abc\nabc\n", "")


def test_prompts_come_from_standard_input(folder: Path) -> None:
    result = run("reply", folder, typed="d\n\nbb\n")
    assert (result.exit_code, result.stdout) == (0, "abc\nabc\n")


def test_text_is_gone_on_with_as_it_is(folder: Path) -> None:
    assert run("reply", folder, "b", "--continue").stdout == "c\n"


def test_a_cut_reply_is_told_beside_it(folder: Path) -> None:
    result = run("reply", folder, "b", "--max-tokens", "1")
    assert result.stdout == "a\n"
    assert result.stderr == "(cut after 1 token, by --max-tokens or the context's end)\n"


def test_a_stop_string_ends_it(folder: Path) -> None:
    assert run("reply", folder, "d", "--stop", "bc", "--stop", "x").stdout == "a\n"


def test_json_has_every_token_with_its_probability(folder: Path) -> None:
    result = run("reply", folder, "d", "e", "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["prompt"], second["prompt"]) == ("d", "e")
    assert (first["reply"], first["finish_reason"], first["prompt_tokens"]) == ("abc", "stop", 2)
    assert [token["token"] for token in first["tokens"]] == ["a", "b", "c", "<|end|>"]
    assert all(token["probability"] > 0.99 for token in first["tokens"])
    assert all(token["kept_probability"] == 1 for token in first["tokens"])


def test_one_seed_draws_one_reply(folder: Path) -> None:
    def drawn(seed: int) -> str:
        return run("reply", folder, "d", "--temperature", 9, "--seed", seed).stdout

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(5)}) > 1


def test_a_long_prompt_is_refused_or_cut(folder: Path) -> None:
    result = CliRunner().invoke(main, ["reply", str(folder), "d" * 40])
    assert result.exit_code == 1
    assert "41 tokens" in str(result.stderr)
    assert "--truncate-left" in str(result.stderr)
    assert run("reply", folder, "d" * 40, "--truncate-left").stdout == "abc\n"


def test_an_impossible_setting_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    result = run("reply", tmp_path / "nowhere", "d", "--top-p", "2")
    assert result.exit_code == 1
    assert "top_p is 2.0" in result.stderr


def test_chat_answers_line_by_line(folder: Path) -> None:
    result = run("chat", folder, typed="d\n\n/nwe\n/help\n/back\n/new\nb\n/quit\nd\n")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "abc"
    assert "Did you mean '/new'?" in lines[1]
    assert [line.split()[0] for line in lines[2:6]] == ["/new", "/back", "/help", "/quit"]
    assert lines[6:] == ["(0 prompts of yours remembered)", "(a new talk)", "abc"]


def test_control_characters_do_not_steer_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = letters("text").stream("e", config=ReplyConfig(max_tokens=1))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert show_stream(stream) == "\x1b"
    assert capsys.readouterr().out == "␛\n"


def test_a_reply_stopped_by_hand_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def interrupted(model: LanguageModel, turns: list[str]) -> list[str]:
        seen.append(list(turns))
        return turns

    def stop(_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(chat_module, "recent", interrupted)
    monkeypatch.setattr(chat_module, "show_stream", stop)
    result = run("chat", folder, typed="d\nb\n")
    assert (result.exit_code, seen) == (0, [["d"], ["b"]])
    assert result.stderr.count("not remembered") == 2


def test_chat_forgets_the_oldest_turns(folder: Path) -> None:
    result = run("chat", folder, typed="dd\n" * 5)
    assert (result.exit_code, result.stdout) == (0, "abc\n" * 5)
    assert "oldest turns" in result.stderr
    model = letters()  # context 29, so 21 tokens at most: 3 + 4 for each pair of turns
    turns = ["dd", "abc"] * 3 + ["d"]
    assert recent(model, turns) == turns[2:]
    assert recent(model, ["d" * 50]) == ["d" * 50]


def test_chat_needs_a_model_of_dialogues(tmp_path: Path) -> None:
    letters("text").save(tmp_path / "text")
    result = run("chat", tmp_path / "text", typed="d\n")
    assert result.exit_code == 1
    assert "use: nextword reply" in result.stderr
