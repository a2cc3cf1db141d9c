"""What a trace keeps, what it works out when asked, and what it refuses."""

import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.errors import ConfigError
from nextword.interpret import record, recording
from nextword.interpret import trace as module
from nextword.interpret.trace import Trace
from nextword.model import Decoder

CONFIG = config_of("llama")  # 2 layers, 6 heads, 2 key/value heads, D 14, M 23, V 101
TOKENS = 11


@pytest.fixture
def decoder() -> Decoder:
    return loud(CONFIG)


@pytest.fixture
def trace(decoder: Decoder) -> Trace:
    return record(decoder, sentence(CONFIG, tokens=TOKENS), keep=())


def test_it_knows_the_models_points_and_the_sentence(trace: Trace) -> None:
    assert "blocks.1.attention.query" in trace
    assert "blocks.2.attention.query" not in trace
    assert "position" not in trace  # rotary
    assert trace.tokens == tuple(str(token) for token in trace.token_ids.tolist())
    assert trace.fast_difference is not None
    assert 0 <= trace.fast_difference < 1e-4


def test_kept_values_are_those_of_the_layers_and_heads_asked_for(decoder: Decoder) -> None:
    ids = sentence(CONFIG, tokens=TOKENS)
    keep = ["blocks.*.attention.attention_weights", "blocks.*.attention.value", "final_norm"]
    some = record(decoder, ids, keep=keep, layers=[-1], heads=[4, 1])
    assert set(some.values) == {
        "blocks.1.attention.attention_weights",
        "blocks.1.attention.value",
        "final_norm",
    }
    assert some.heads == (4, 1)
    everything = record(decoder, ids)
    name = "blocks.1.attention.attention_weights"
    torch.testing.assert_close(some[name], everything[name][[4, 1]], rtol=0, atol=0)
    assert some["blocks.1.attention.value"].shape == (2, TOKENS, 14)
    torch.testing.assert_close(some.row(name, 3), everything.row(name, 3))  # all heads


def test_a_pattern_stacks_what_is_kept_or_else_everything(decoder: Decoder, trace: Trace) -> None:
    name = "blocks.*.attention.attention_weights"
    assert trace[name].shape == (2, 6, TOKENS, TOKENS)
    one = record(decoder, trace.token_ids, keep=[name], layers=[1])
    assert one[name].shape == (1, 6, TOKENS, TOKENS)
    torch.testing.assert_close(one[name][0], trace[name][1])


def test_the_shapes_of_rows(trace: Trace) -> None:
    shapes = {
        "blocks.0.residual_pre": (23,),
        "blocks.0.attention.query": (6, 14),
        "blocks.0.attention.key": (2, 14),
        "blocks.0.attention.scores": (6, TOKENS),
        "blocks.0.feed_forward.hidden": (CONFIG.ff_width,),
        "logits": (101,),
    }
    for name, shape in shapes.items():
        assert trace.row(name, 4).shape == shape
    weights = trace.row("blocks.0.attention.attention_weights", 4, head=5)
    assert weights.shape == (TOKENS,)
    assert weights[5:].tolist() == [0.0] * 6  # later words
    key = trace.row("blocks.0.attention.key", -1, head=5)
    torch.testing.assert_close(key, trace["blocks.0.attention.key"][1, -1])
    assert set(trace.rows(1, 4)) == {
        name.removeprefix("blocks.1.") for name in trace._points if name.startswith("blocks.1.")
    }


def test_the_map_of_a_head_and_what_it_looks_back_on(trace: Trace) -> None:
    for name in ("scores", "masked_scores", "attention_weights"):
        whole = trace[f"blocks.1.attention.{name}"]
        torch.testing.assert_close(trace.head_map(1, 4, name=name), whole[4])
    past = trace.past(1, 4)
    assert {name: tuple(value.shape) for name, value in past.items()} == {
        "key": (TOKENS, 14),
        "key_used": (TOKENS, 14),
        "value": (TOKENS, 14),
    }
    torch.testing.assert_close(past["key"], trace["blocks.1.attention.key"][1])
    torch.testing.assert_close(past["key_used"], trace["blocks.1.attention.key_rotated"][1])
    with pytest.raises(ConfigError, match="unknown value of a head 'query'"):
        trace.head_map(0, 0, name="query")


def test_logits_of_some_positions(trace: Trace) -> None:
    whole = trace["logits"]
    torch.testing.assert_close(trace.logits([0, -1]), whole[[0, -1]])
    torch.testing.assert_close(trace.logits(slice(2, 5)), whole[2:5])


def test_verdicts_are_the_logits(trace: Trace) -> None:
    verdicts = trace.verdicts(top=2)
    assert [verdict.predicted.token_id for verdict in verdicts] == trace["logits"].argmax(
        -1
    ).tolist()
    assert len(verdicts[0].top) == 2


def test_after_the_weights_have_changed_only_kept_values_are_seen(decoder: Decoder) -> None:
    trace = record(decoder, sentence(CONFIG, tokens=TOKENS), keep=["logits"])
    with torch.no_grad():
        decoder.token_embedding.weight.add_(1)
    assert trace["logits"].shape == (TOKENS, 101)
    assert trace.row("logits", 2).shape == (101,)
    for late in (
        lambda: trace.row("blocks.0.attention.query", 0),
        lambda: trace["residual"],
        lambda: trace.account(),
        lambda: trace.gradients(["residual"]),
        lambda: trace.overview(),
    ):
        with pytest.raises(ConfigError, match="the weights have changed"):
            late()


def test_what_there_is_not_is_refused(trace: Trace, decoder: Decoder) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'logits'"):
        trace["logit"]
    with pytest.raises(ConfigError, match="position is 11; it must be 0 to 10"):
        trace.row("logits", TOKENS)
    with pytest.raises(ConfigError, match="head is 6"):
        trace.row("blocks.0.attention.query", 0, head=6)
    with pytest.raises(ConfigError, match="logits has no heads"):
        trace.row("logits", 0, head=0)
    with pytest.raises(ConfigError, match="layer is 2"):
        trace.rows(2, 0)
    with pytest.raises(ConfigError, match="layers and heads limit what is kept"):
        record(decoder, trace.token_ids, keep=[], layers=[0])
    with pytest.raises(ConfigError, match="head is 7"):
        record(decoder, trace.token_ids, heads=[7])


def test_too_much_is_neither_kept_nor_worked_out(
    trace: Trace, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 4 * TOKENS * 101 - 1)
    with pytest.raises(ConfigError, match="ask for a row"):
        trace["logits"]
    monkeypatch.setattr(recording, "KEPT_BYTES", 4 * 6 * TOKENS * TOKENS - 1)
    with pytest.raises(ConfigError, match="leave keep empty"):
        record(decoder, trace.token_ids, keep=["blocks.0.attention.scores"])
    one = record(decoder, trace.token_ids, keep=["blocks.0.attention.scores"], heads=[0])
    assert one["blocks.0.attention.scores"].shape == (1, TOKENS, TOKENS)


def test_the_difference_of_a_long_text_is_the_last_positions(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_COMPARED", 0)
    trace = record(decoder, sentence(CONFIG, tokens=TOKENS), keep=())
    assert trace.fast_difference is not None
    assert 0 <= trace.fast_difference < 1e-4
