"""The narration: every number in it is the account's, and every sentence has one."""

import pytest
import torch
from tests.parity.grid import GRID, config_of
from tests.parity.test_forwards import loud, sentence

from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.interpret import record
from nextword.interpret.narration import Number, _shown
from nextword.interpret.trace import Trace
from nextword.presets import preset

WORDS = ["the", " cat", " sat", " on", " mat", " dog", " log"]


def traced(seed: int = 2) -> Trace:
    config = preset("seed", vocab_size=7, d_model=5, context_length=13)
    return record(
        loud(config, seed=seed), torch.tensor([0, 1, 2, 3]), keep=(), name=WORDS.__getitem__
    )


def value_of(trace: Trace, position: int, number: Number) -> float:
    """What a number's name stands for, looked up anew."""
    best = trace.next_words(position, top=2).words
    rival = best[1].token_id if len(best) > 1 else None
    if number.name.startswith("probabilities["):
        i, token = number.name.removeprefix("probabilities[").removesuffix("]").split(",")
        return trace.row("probabilities", int(i))[int(token)].item()
    if number.name.startswith("blocks."):
        point, _, index = number.name.removesuffix("]").partition("[")
        head, query, key = map(int, index.split(","))
        return trace[point][head, query, key].item()
    which, _, part = number.name.partition(".")
    against = rival if which == "account_against" else None
    assert which == "account_against" or rival is None
    account = trace.account(position, best[0].token_id, against)
    if part == "total":
        return account.total
    return {item.name: item.amount for item in (*account.fixed, *account.by_word())}[part]


@pytest.mark.parametrize("row", GRID)
def test_each_number_is_the_accounts_and_stands_in_its_sentence(row: str) -> None:
    config = config_of(row)
    trace = record(loud(config), sentence(config, tokens=7), keep=())
    for position in (0, 3, 6):
        sentences = trace.narrate(position).sentences
        assert 3 <= len(sentences) <= 6
        for told in sentences:
            assert told.numbers
            for number in told.numbers:
                assert number.shown in told.text
                assert number.value == pytest.approx(
                    value_of(trace, position, number), rel=1e-4, abs=1e-5
                )
                size = float(number.shown.replace("−", "-").removesuffix(" %"))
                if number.shown.endswith(" %"):
                    assert size == pytest.approx(100 * number.value, abs=0.0501)
                else:
                    assert size in (
                        pytest.approx(number.value, abs=0.00501),
                        pytest.approx(abs(number.value), abs=0.00501),
                    )


def test_the_sentences_word_by_word() -> None:
    trace = traced()
    texts = [told.text for told in trace.narrate(3).sentences]
    best, rival = trace.next_words(3, top=2).words
    first, second = (word.token.replace(" ", "␣") for word in (best, rival))
    assert texts[0] == (
        f"After “␣on” at position 3 the model predicts “{first}” with "
        f"{100 * best.probability:.1f} %; the runner-up is “{second}” with "
        f"{100 * rival.probability:.1f} %."
    )
    weights = trace.row("blocks.0.attention.attention_weights", 3)[0].tolist()
    a, b = sorted(range(4), key=lambda j: -weights[j])[:2]
    named = [
        f"“{WORDS[j].replace(' ', '␣')}”{' itself' * (j == 3)} "
        f"({what}{weights[j]:.2f}, layer 0 head 0)"
        for j, what in ((a, "weight "), (b, ""))
    ]
    assert texts[1] == f"It looked most at {named[0]} and {named[1]}."
    account = trace.account(3, best.token_id, rival.token_id)
    pushes = sorted(account.by_word()[:4], key=lambda part: -abs(part.amount))
    up = [part for part in pushes if part.amount >= 0.005][:2]
    down = [part for part in pushes if part.amount <= -0.005][:2]
    wanted = []
    if up:
        words = " and ".join(
            f"{part.label}{' pushed “' + first + '” up' if part is up[0] else ''} "
            f"by {part.amount:.2f}"
            for part in up
        )
        wanted.append(f"Through its heads, {words} against “{second}”.")
    if down:
        what = "it" if up else f"“{first}”"
        words = " and ".join(
            f"{part.label}{f' pushed {what} down' if part is down[0] else ''} by {-part.amount:.2f}"
            for part in down
        )
        wanted.append(f"{words} against “{second}”.")
    assert up or down
    assert texts[2:-2] == wanted
    itself, place = (_shown(part.amount) for part in account.fixed[:2])
    assert texts[-2] == f"The word itself counted {itself} and its position {place}."
    assert texts[-1] == f"Together that puts “{first}” {account.total:.2f} ahead of “{second}”."


def test_it_is_the_same_every_time() -> None:
    assert traced().narrate(2) == traced().narrate(2)


def test_a_vocabulary_of_one_word_has_no_runner_up() -> None:
    config = ModelConfig(vocab_size=1, d_model=6, context_length=7)
    trace = record(loud(config), torch.tensor([0, 0]), keep=(), name=WORDS.__getitem__)
    texts = [told.text for told in trace.narrate().sentences]
    assert texts[0] == "After “the” at position 1 the model predicts “the” with 100.0 %."
    assert len(texts) == 3
    assert texts[2].startswith("The word itself counted ")  # rotary: nothing of its position
    names = [number.name for told in trace.narrate().sentences for number in told.numbers]
    assert names[-1] == "account.token_embedding"


def test_a_model_without_blocks_looks_at_nothing() -> None:
    trace = record(loud(config_of("no blocks")), sentence(config_of("no blocks")), keep=())
    assert len(trace.narrate(4).sentences) == 3
    with pytest.raises(ConfigError, match="position is 17"):
        trace.narrate(17)


@pytest.mark.parametrize(
    ("value", "shown"), [(1.005, "1.00"), (-0.4, "−0.40"), (-0.001, "0.00"), (0.0, "0.00")]
)
def test_two_decimals_and_a_real_minus(value: float, shown: str) -> None:
    assert _shown(value) == shown
