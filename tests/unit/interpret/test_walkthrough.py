"""The chain of one position: its numbers against numpy, and that they add up."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.parity.grid import GRID, config_of

from nextword.errors import ConfigError, ContextError, DataError, LossError
from nextword.interpret import record
from nextword.interpret.walkthrough import Chain, explain
from nextword.interpret.walkthrough_steps import Line, Step
from nextword.model import Decoder
from nextword.presets import preset

IDS = [3, 1, 4, 1, 5, 9, 2]
Floats = NDArray[np.float64]


def name(token_id: int) -> str:
    return f"w{token_id}"


def step_of(chain: Chain, name: str) -> Step:
    return next(step for step in chain.steps if step.name == name)


def vectors(step: Step) -> list[Floats]:
    return [np.array(line.numbers) for line in step.lines if line.numbers and not line.products]


def weight(decoder: Decoder, name: str) -> Floats:
    return decoder.get_parameter(name).detach().double().numpy()


@pytest.fixture(scope="module")
def seed() -> Decoder:
    """The article's model, two numbers wide."""
    decoder = Decoder(preset("seed", vocab_size=11, d_model=2, context_length=13), seed=5)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn_like(parameter))  # the bias, too
    return decoder


class Article:
    """The article in numpy, for one position."""

    def __init__(self, decoder: Decoder, i: int) -> None:
        embedding = weight(decoder, "token_embedding.weight")[IDS]
        place = np.arange(len(IDS))
        self.position = np.stack([np.sin(place), np.cos(place)], axis=1)
        self.embedding = embedding
        self.words = embedding + self.position
        mq, mk, mv = (
            weight(decoder, f"blocks.0.attention.{part}.weight")
            for part in ("query", "key", "value")
        )
        self.query = mq @ self.words[i]
        self.keys = self.words[: i + 1] @ mk.T
        self.scores = self.keys @ self.query
        powers = np.exp(self.scores)
        self.weights = powers / powers.sum()
        self.values = self.words[: i + 1] @ mv.T
        self.context = self.weights @ self.values
        self.residual = self.words[i] + self.context
        matrix, bias = weight(decoder, "unembedding.weight"), weight(decoder, "unembedding.bias")
        self.logits = matrix @ self.residual + bias
        self.shares = np.exp(self.logits) / np.exp(self.logits).sum()


@pytest.mark.parametrize("i", [0, 3, 6])
def test_every_number_of_the_articles_model_is_numpys(seed: Decoder, i: int) -> None:
    chain, wanted = explain(seed, IDS, name, position=i, top=4), Article(seed, i)
    best = np.argsort(-wanted.logits)[:4]
    powers = np.exp(wanted.scores - wanted.scores.max())
    logit_powers = np.exp(wanted.logits - wanted.logits.max())
    rest = [logit_powers.sum() - logit_powers[best].sum(), 1 - wanted.shares[best].sum()]
    numbers: dict[str, list[Floats]] = {
        "word_vector": [wanted.embedding[i], wanted.position[i], wanted.words[i]],
        "attention.query": [wanted.query],
        "attention.key": list(wanted.keys),
        "attention.masked_scores": list(wanted.scores[:, None]),
        "attention.attention_weights": [
            *np.stack([powers, wanted.weights], axis=1),
            np.array([powers.sum(), 1.0]),
        ],
        "attention.value": list(wanted.values),
        "attention.context": [*(wanted.weights[:, None] * wanted.values), wanted.context],
        "residual_mid": [wanted.words[i], wanted.context, wanted.residual],
        "probabilities": [
            *np.stack([logit_powers, wanted.shares], axis=1)[best],
            np.array(rest),
            np.array([logit_powers.sum(), 1.0]),
        ],
    }
    assert [step.name for step in chain.steps] == [
        "word_vector", "attention.query", "attention.key", "attention.scores",
        "attention.masked_scores", "attention.attention_weights", "attention.value",
        "attention.context", "residual_mid", "logits", "probabilities",
    ]  # fmt: skip
    for key, rows in numbers.items():
        found = vectors(step_of(chain, key))
        assert len(found) == len(rows), key
        for one, other in zip(found, rows, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, err_msg=key)
    scores = [line.numbers[0] for line in step_of(chain, "attention.scores").lines]
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-5)
    logits = [line.numbers[0] for line in step_of(chain, "logits").lines]
    np.testing.assert_allclose(logits, wanted.logits[best], atol=1e-5)
    assert [line.name for line in step_of(chain, "logits").lines] == [f"w{best}" for best in best]
    assert chain.fast_difference is not None
    assert chain.fast_difference < 1e-5


def test_equations_add_up(seed: Decoder) -> None:
    lines = [line for step in explain(seed, IDS, name).steps for line in step.lines]
    equations = [line for line in lines if line.products]
    # query 2; 7 keys and 7 values of 2; 7 scores; 5 logits
    assert len(equations) == 2 + 14 + 14 + 7 + 5
    for line in equations:
        total = sum(first * second for first, second in line.products) + (line.added or 0.0)
        assert line.numbers[0] == pytest.approx(total, abs=1e-5)
    assert [line.added is not None for line in equations] == [False] * 37 + [True] * 5


def test_what_comes_later_is_masked(seed: Decoder) -> None:
    lines = step_of(explain(seed, IDS, name, position=2), "attention.masked_scores").lines
    assert [line.masked for line in lines] == [None] * 3 + ["comes later"] * 4
    assert [line.numbers for line in lines[3:]] == [()] * 4
    assert [line.position for line in lines] == list(range(7))


def sums(step: Step) -> Iterator[tuple[Floats, Floats]]:
    """What the lines above an equals sign come to, and what stands beside it."""
    terms: list[Line] = []
    for line in step.lines:
        if line.sign == "=" and not any(term.sign in "−÷×" and term.sign for term in terms):
            yield np.sum([term.numbers for term in terms], axis=0), np.array(line.numbers)
        elif line.numbers and not line.products:
            terms.append(line)


@pytest.mark.parametrize("row", GRID)
def test_numbers_add_up_in_every_model(row: str) -> None:
    config = config_of(row)
    decoder = Decoder(config, seed=2)
    chain = explain(decoder, IDS, name, position=4, layer=-1, head=-1)
    n_sums = 0
    for step in chain.steps:
        for total, shown in sums(step):
            np.testing.assert_allclose(total, shown, rtol=1e-4, atol=2e-5, err_msg=step.name)
            n_sums += 1
    assert n_sums >= (2 if config.n_layers == 0 else 5)
    assert all(
        math.isfinite(value)
        for step in chain.steps
        for line in step.lines
        for value in line.numbers
    )
    logits = decoder(torch.tensor([IDS]))[0, 4]
    best = step_of(chain, "logits").lines
    np.testing.assert_allclose(
        [line.numbers[0] for line in best], logits.topk(5).values.tolist(), atol=1e-4
    )
    assert chain.fast_difference is not None
    assert chain.fast_difference < 1e-4


@pytest.mark.parametrize("row", [row for row in GRID if config_of(row).n_layers])
def test_the_numbers_are_the_traces(row: str) -> None:
    config = config_of(row)
    decoder = Decoder(config, seed=2)
    last, head, i = config.n_layers - 1, config.n_heads - 1, 5
    trace = record(decoder, torch.tensor(IDS))
    chain = explain(decoder, IDS, name, position=i, layer=last, head=head)
    shared = config.kv_heads - 1
    seen = vectors(step_of(chain, "attention.value"))
    first = i + 1 - len(seen)
    window = config.window(last)
    assert first == (0 if window is None else max(0, i + 1 - window))
    weights = trace.head_map(last, head)[i]
    values = trace[f"blocks.{last}.attention.value"][shared]
    for j, value in enumerate(seen, start=first):
        np.testing.assert_array_equal(value.astype(np.float32), values[j].numpy())
    shown = [v[1] for v in vectors(step_of(chain, "attention.attention_weights"))[:-1]]
    np.testing.assert_array_equal(np.array(shown, np.float32), weights[first : i + 1].numpy())
    context = vectors(step_of(chain, "attention.context"))[-1]
    expected = trace[f"blocks.{last}.attention.context"][head, i].numpy()
    np.testing.assert_array_equal(context.astype(np.float32), expected)


def test_a_norm_can_be_followed_line_by_line() -> None:
    for row in ("gpt2", "llama", "norm after"):
        config = config_of(row)
        chain = explain(Decoder(config, seed=2), IDS, name)
        step = step_of(chain, "attention_norm")
        by_sign = {line.sign: line for line in step.lines}
        x = np.array(step.lines[0].numbers)
        if config.norm == "layer":
            assert by_sign["−"].factor == pytest.approx(x.mean(), abs=1e-6)
            x = x - x.mean()
        size = math.sqrt((x**2).mean() + config.norm_epsilon)
        assert by_sign["÷"].factor == pytest.approx(size, rel=1e-5)
        np.testing.assert_allclose(by_sign["÷"].numbers, x / size, atol=1e-5)
        wanted = x / size * np.array(by_sign["×"].numbers)
        wanted += np.array(by_sign["+"].numbers) if "+" in by_sign else 0
        np.testing.assert_allclose(by_sign["="].numbers, wanted, atol=1e-5)


def test_a_sliding_window_masks_what_lies_too_far_back() -> None:
    chain = explain(Decoder(config_of("sliding window")), IDS, name, position=4)
    lines = step_of(chain, "attention.masked_scores").lines
    far, later = "outside the window of 3", "comes later"
    assert [line.masked for line in lines] == [far, far, None, None, None, later, later]


def test_heads_that_share_a_key_value_head_are_named() -> None:
    decoder = Decoder(config_of("llama"))  # 6 heads, 2 key/value heads
    chain = explain(decoder, IDS, name, head=4, layer=1)
    assert (chain.head, chain.key_value_head, chain.shared_by) == (4, 1, (3, 4, 5))
    assert explain(decoder, IDS, name, head=0).shared_by == (0, 1, 2)
    assert (chain.n_heads, chain.n_layers, chain.layer, chain.position) == (6, 2, 1, 6)


def test_rotary_shows_query_and_keys_before_and_after() -> None:
    decoder = Decoder(config_of("qwen3"), seed=3)
    chain = explain(decoder, IDS, name, position=3)
    names = [step.name for step in chain.steps]
    order = ["query", "key", "query_norm", "key_norm", "query_rotated", "key_rotated", "scores"]
    start = names.index("attention.query")
    assert names[start : start + 7] == [f"attention.{part}" for part in order]
    before, after = vectors(step_of(chain, "attention.query_rotated"))
    assert np.abs(before - after).max() > 1e-3
    assert np.linalg.norm(before) == pytest.approx(np.linalg.norm(after), rel=1e-5)
    keys = vectors(step_of(chain, "attention.key_rotated"))
    scores = [line.numbers[0] for line in step_of(chain, "attention.scores").lines]
    np.testing.assert_allclose(scores, [key @ after for key in keys], rtol=1e-4, atol=1e-5)


def test_a_model_without_blocks() -> None:
    decoder = Decoder(config_of("no blocks"))
    chain = explain(decoder, IDS, name)
    assert (chain.layer, chain.head, chain.key_value_head, chain.shared_by) == (None,) * 3 + ((),)
    steps = [step.name for step in chain.steps]
    assert steps == ["word_vector", "final_norm", "logits", "probabilities"]
    with pytest.raises(ConfigError, match="layer is 2; there is none"):
        explain(decoder, IDS, name, layer=2)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"position": 7}, "position is 7; it must be 0 to 6, or -7 to -1"),
        ({"position": -8}, "position is -8; it must be 0 to 6"),
        ({"layer": 2}, "layer is 2; it must be 0 to 1"),
        ({"head": 6}, "head is 6; it must be 0 to 5"),
        ({"top": 0}, "top is 0"),
    ],
)
def test_what_there_is_not_is_refused(choice: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        explain(Decoder(config_of("llama")), IDS, name, **choice)  # type: ignore[arg-type]


def test_texts_that_cannot_be_looked_at(seed: Decoder) -> None:
    with pytest.raises(DataError, match="no tokens"):
        explain(seed, [], name)
    with pytest.raises(ContextError):
        explain(Decoder(config_of("gpt2")), [1] * 32, name)
    broken = Decoder(config_of("gpt2"))
    with torch.no_grad():
        broken.token_embedding.weight.fill_(math.nan)
    with pytest.raises(LossError, match="not finite"):
        explain(broken, IDS, name)


def test_negative_numbers_count_from_the_end() -> None:
    decoder = Decoder(config_of("llama"))
    chain = explain(decoder, IDS, name, position=-2, layer=-1, head=-6)
    assert (chain.position, chain.layer, chain.head, chain.token) == (5, 1, 0, "w9")


def test_the_text_is_left_as_it_is_in_the_decoder(seed: Decoder) -> None:
    seed.train()
    explain(seed, IDS, name)
    assert seed.training
    seed.eval()
