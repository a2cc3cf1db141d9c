"""Tokenizer, decoder and folder behind one object."""

import os
import signal
from pathlib import Path

import pytest
import torch

from nextword.config import ReplyConfig
from nextword.errors import ConfigError, ContextError, DataError
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

CONTEXT = 19


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    tokenizer = Tokenizer.learn(["the cat sat on the mat"], kind="bpe", vocab_size=270)
    config = preset(
        "llama", vocab_size=tokenizer.vocab_size, context_length=CONTEXT, d_model=14, n_layers=2,
        n_heads=1, d_ff=11,
    )  # fmt: skip
    return LanguageModel(Decoder(config, seed=6), tokenizer)


def test_ids_end_every_turn_of_a_dialogue(model: LanguageModel) -> None:
    end, encode = model.tokenizer.end_id, model.tokenizer.encode
    assert model.ids("the cat") == [*encode("the cat"), end]
    assert model.ids(["the cat", "sat"]) == [*encode("the cat"), end, *encode("sat"), end]
    assert model.ids("the cat", dialogue=False) == encode("the cat")
    assert model.ids("", dialogue=False) == model.ids("") == [end]
    with pytest.raises(DataError, match="2 turns"):
        model.ids(["the", "cat"], dialogue=False)


def test_a_stream_joins_to_the_reply(model: LanguageModel) -> None:
    stream = model.stream("the cat")
    pieces = list(stream)
    reply = model.reply("the cat")
    assert "".join(pieces) == stream.result.text == reply.text
    ids = [step.token_id for step in reply.tokens]
    assert ids == [step.token_id for step in stream.result.tokens]
    assert reply.prompt_tokens == len(model.ids("the cat"))
    kept = [token_id for token_id in ids if token_id not in model.tokenizer.end_ids]
    assert reply.text == model.tokenizer.decode(kept)


def test_a_reply_ends_at_the_limit_or_the_context(model: LanguageModel) -> None:
    short = model.reply("the", config=ReplyConfig(max_tokens=2))
    assert (len(short.tokens), short.finish_reason) == (2, "length")
    with pytest.raises(ContextError):
        model.reply("the cat sat on the mat " * 5)
    cut = model.reply("the cat sat on the mat " * 5, truncate_left=True)
    assert cut.prompt_tokens + len(cut.tokens) <= CONTEXT


def test_verdicts_are_the_decoders(model: LanguageModel) -> None:
    verdicts = model.verdicts("the cat sat", top=2)
    ids = model.ids("the cat sat")
    with torch.no_grad():
        shares = model.decoder(torch.tensor([ids]))[0].softmax(-1)
    assert [item.token_id for item in verdicts] == ids
    assert [item.predicted.token_id for item in verdicts] == shares.argmax(-1).tolist()
    for position, item in enumerate(verdicts[:-1]):
        assert item.actual is not None
        assert item.actual.probability == pytest.approx(shares[position, ids[position + 1]].item())
    assert {len(item.top) for item in verdicts} == {2}
    after = model.reply("the cat sat").tokens[0].token_id
    assert verdicts[-1].predicted.token_id == after  # what it says next is what it replies


def test_a_trace_keeps_what_is_asked_for(model: LanguageModel) -> None:
    trace = model.trace("the cat", keep=["blocks.*.attention.attention_weights", "logits"])
    assert set(trace.values) == {
        "blocks.0.attention.attention_weights",
        "blocks.1.attention.attention_weights",
        "logits",
    }
    tokens = len(model.ids("the cat"))
    assert trace["logits"].shape == (tokens, model.config.vocab_size)
    weights = trace["blocks.*.attention.attention_weights"]
    assert weights.shape == (2, 1, tokens, tokens)
    assert trace.fast_difference is not None
    assert trace.fast_difference < 1e-5
    with pytest.raises(ConfigError, match="block 2; there are blocks 0 to 1"):
        model.trace("the cat", keep=["blocks.2.*"])


def test_the_chain_ends_where_the_verdict_begins(model: LanguageModel) -> None:
    chain = model.chain("the cat sat", position=1, layer=1, top=3)
    verdict = model.verdicts("the cat sat", top=3)[1]
    assert chain.token == verdict.token
    last = chain.steps[-1]
    assert last.name == "probabilities"
    for line, guess in zip(last.lines, verdict.top, strict=False):
        assert line.name == guess.token
        assert line.numbers[1] == pytest.approx(guess.probability, abs=1e-5)


@pytest.mark.parametrize("method", ["verdicts", "trace", "chain"])
def test_a_text_longer_than_the_context_is_refused(model: LanguageModel, method: str) -> None:
    with pytest.raises(ContextError, match=f"context holds {CONTEXT}"):
        getattr(model, method)("the cat sat on the mat " * 5)


def test_saved_and_loaded_it_is_the_same(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = LanguageModel.load(tmp_path / "model")
    assert again.config == model.config
    assert again.kind == model.kind
    assert again.folder == tmp_path / "model"
    assert again.verdicts("the cat sat").items == model.verdicts("the cat sat").items


PAIR = ("the cat", "on the mat")


def test_a_lesson_is_kept_undone_and_read_again_by_another(
    model: LanguageModel, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    one, other = (LanguageModel.load(tmp_path / "model") for _ in range(2))
    before = one.version
    lesson = one.teach([PAIR], keep=True, learning_rate=0.1, largest_kl=50.0)
    assert lesson.learned and one.reply("the cat").text == "on the mat"
    assert other.version == before != one.version
    other.reload()
    assert other.version == one.version
    assert other.reply("the cat").text == "on the mat"
    lesson.undo()
    other.reload()
    assert one.version == other.version == before


def test_ctrl_c_ends_a_lesson_and_leaves_every_bit(model: LanguageModel) -> None:
    before, told = model.version, list[int]()

    def on_step(step: object) -> None:
        told.append(len(told))
        os.kill(os.getpid(), signal.SIGINT)

    lesson = model.teach([PAIR], on_step=on_step, margin=0.999)
    assert (lesson.outcome, lesson.learned) == ("stopped", False)
    assert told == [0]
    assert model.version == before


def test_what_is_only_in_memory_is_not_read_again(model: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="only in memory"):
        LanguageModel(model.decoder, model.tokenizer).reload()
