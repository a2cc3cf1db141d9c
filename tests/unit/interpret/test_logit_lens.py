"""What would be read off at each stage, and the softmax of a position."""

import math

import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.errors import ConfigError, LossError
from nextword.interpret import record
from nextword.interpret.reference import read_off
from nextword.interpret.trace import Trace

CONFIG = config_of("gpt2")
TOKENS = 7


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record(loud(CONFIG), sentence(CONFIG, tokens=TOKENS), keep=(), name=lambda t: f"w{t}")


def test_each_stage_is_read_off_as_the_last_residual_is(trace: Trace) -> None:
    lens = trace.lens([0, 4, -1], top=3)
    assert lens.positions == (0, 4, 6)
    assert lens.stages == (
        "residual",
        "blocks.0.residual_mid", "blocks.0.residual_post",
        "blocks.1.residual_mid", "blocks.1.residual_post",
    )  # fmt: skip
    for stage, cells in zip(lens.stages, lens.cells, strict=True):
        shares = read_off(trace.decoder, trace[stage]).softmax(-1).detach()
        for position, cell in zip(lens.positions, cells, strict=True):
            best = shares[position].topk(3)
            assert [guess.token_id for guess in cell.guesses] == best.indices.tolist()
            found = [guess.probability for guess in cell.guesses]
            assert found == pytest.approx(best.values.tolist(), abs=1e-5)
            assert cell.guesses[0].token == f"w{cell.guesses[0].token_id}"
            if position < TOKENS - 1:
                actual = shares[position, trace.token_ids[position + 1]].item()
                assert cell.actual == pytest.approx(actual, abs=1e-6)
            else:
                assert cell.actual is None


def test_the_last_stage_is_the_prediction(trace: Trace) -> None:
    cell = trace.lens().cells[-1][0]
    word = trace.next_words().words[0]
    assert (cell.guesses[0].token_id, len(cell.guesses)) == (word.token_id, 1)
    assert cell.guesses[0].probability == pytest.approx(word.probability, abs=1e-5)


def test_a_model_without_blocks_has_one_stage() -> None:
    config = config_of("no blocks")
    lens = record(loud(config), sentence(config), keep=()).lens(range(17))
    assert lens.stages == ("residual",)
    assert len(lens.cells[0]) == 17


def test_what_the_lens_refuses(trace: Trace) -> None:
    with pytest.raises(ConfigError, match="33 positions are asked for; at most 32"):
        trace.lens([0] * 33)
    with pytest.raises(ConfigError, match="position is 7"):
        trace.lens([7])
    with pytest.raises(ConfigError, match="top is 0"):
        trace.lens(top=0)


def test_next_words_are_the_softmax(trace: Trace) -> None:
    row = trace["logits"][2].double()
    coming = int(trace.token_ids[3])
    found = trace.next_words(2, top=4, token=int(row.argmin()))
    powers = (row - row.max()).exp()
    best = row.topk(4).indices.tolist()
    named = [word.token_id for word in found.words]
    assert named[:4] == best
    assert set(named) == {*best, coming, int(row.argmin())}
    for word in found.words:
        assert word.logit == pytest.approx(row[word.token_id].item(), abs=1e-5)
        assert word.exp == pytest.approx(powers[word.token_id].item(), rel=1e-4)
        share = (powers[word.token_id] / powers.sum()).item()
        assert word.probability == pytest.approx(share, rel=1e-4)
        assert word.rank == int((row > row[word.token_id]).sum()) + 1
        assert word.actual == (word.token_id == coming)
    assert found.words[-1].rank == 101
    assert found.others == 101 - len(named)
    assert found.largest == pytest.approx(row.max().item(), abs=1e-5)
    assert found.sum_exp == pytest.approx(powers.sum().item(), rel=1e-4)
    total = math.fsum(word.probability for word in found.words) + found.others_probability
    assert total == pytest.approx(1, abs=1e-9)
    total = math.fsum(word.exp for word in found.words) + found.others_exp
    assert total == pytest.approx(found.sum_exp, rel=1e-9)


def test_no_word_is_the_actual_one_after_the_last(trace: Trace) -> None:
    found = trace.next_words(top=200)
    assert not any(word.actual for word in found.words)
    assert (found.others, found.others_exp) == (0, 0.0)
    assert [word.rank for word in found.words] == list(range(1, 102))


def test_among_equals_the_lowest_id_is_first() -> None:
    decoder = loud(CONFIG)
    with torch.no_grad():
        decoder.token_embedding.weight.zero_()
    found = record(decoder, sentence(CONFIG, tokens=TOKENS), keep=()).next_words(top=3, token=50)
    assert [(word.token_id, word.rank) for word in found.words] == [
        (0, 1),
        (1, 2),
        (2, 3),
        (50, 51),
    ]


def test_what_next_words_refuse(trace: Trace) -> None:
    with pytest.raises(ConfigError, match="there is no token 101"):
        trace.next_words(token=101)
    with pytest.raises(ConfigError, match="top is 0"):
        trace.next_words(top=0)
    broken = loud(CONFIG)
    with torch.no_grad():
        broken.token_embedding.weight.fill_(math.nan)
    ill = record(broken, sentence(CONFIG), keep=())
    for ask in (ill.next_words, ill.lens, ill.narrate, ill.verdicts):
        with pytest.raises(LossError, match="not finite"):
            ask()
