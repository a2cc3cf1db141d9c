"""Every head in small: pictures and numbers, against the whole maps."""

import math

import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.errors import ConfigError
from nextword.interpret import attention_overview as module
from nextword.interpret import record
from nextword.interpret.trace import Trace

CONFIG = config_of("llama")  # 2 layers, 6 heads
TOKENS = 13


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record(loud(CONFIG), sentence(CONFIG, tokens=TOKENS), keep=())


def test_the_numbers_of_each_head(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_BYTES", 4 * 4 * TOKENS * TOKENS)  # four heads at a time
    seen = trace.overview()
    maps = trace["blocks.*.attention.attention_weights"]
    assert seen.previous.shape == seen.first.shape == seen.entropy.shape == (2, 6)
    for layer, head in ((0, 0), (1, 3), (1, 5)):
        rows = [maps[layer, head, i].tolist() for i in range(1, TOKENS)]
        n = TOKENS - 1
        previous = sum(row[i] for i, row in enumerate(rows)) / n
        first = sum(row[0] for row in rows) / n
        entropy = -sum(w * math.log(w) for row in rows for w in row if w > 0) / n
        assert seen.previous[layer, head].item() == pytest.approx(previous, abs=1e-6)
        assert seen.first[layer, head].item() == pytest.approx(first, abs=1e-6)
        assert seen.entropy[layer, head].item() == pytest.approx(entropy, abs=1e-5)


def test_pictures_of_short_texts_are_the_weights(trace: Trace) -> None:
    seen = trace.overview()
    wanted = (trace["blocks.*.attention.attention_weights"] * 255).round()
    assert seen.weights.dtype == torch.uint8
    assert seen.weights.shape == (2, 6, TOKENS, TOKENS)
    assert (seen.weights.float() - wanted).abs().max() <= 1


def test_pictures_of_longer_texts_show_the_largest_of_each_part(trace: Trace) -> None:
    seen = trace.overview(size=4)
    assert seen.weights.shape == (2, 6, 4, 4)
    whole = trace.head_map(1, 2)
    parts = [(math.floor(a * 13 / 4), math.ceil((a + 1) * 13 / 4)) for a in range(4)]
    for row, (top, bottom) in enumerate(parts):
        for column, (left, right) in enumerate(parts):
            largest = whole[top:bottom, left:right].max().item()
            assert seen.weights[1, 2, row, column].item() == pytest.approx(255 * largest, abs=0.6)


def test_one_word_has_nothing_to_look_at() -> None:
    seen = record(loud(CONFIG), sentence(CONFIG, tokens=1), keep=()).overview()
    assert seen.weights.flatten().tolist() == [255] * 12
    for numbers in (seen.previous, seen.first, seen.entropy):
        assert numbers.abs().max() == 0


def test_a_model_without_blocks_has_no_heads(trace: Trace) -> None:
    config = config_of("no blocks")
    seen = record(loud(config), sentence(config), keep=()).overview()
    assert seen.weights.shape[0] == seen.entropy.shape[0] == 0
    with pytest.raises(ConfigError, match="size is 0"):
        trace.overview(size=0)
