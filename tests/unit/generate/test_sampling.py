"""The rules of sampling, on hand-computed cases."""

import math

import pytest
import torch
from torch import Tensor

from nextword.config import ReplyConfig
from nextword.errors import LossError
from nextword.generate.sampling import (
    Choice,
    candidates,
    choose,
    choose_many,
    pick,
    probabilities,
    seeded,
)

HALVES = (1 / 4, 1 / 2, 1 / 8, 1 / 16, 1 / 16)  # ids in no order; the last two are equal


def logits_of(*chances: float) -> Tensor:
    """Logits whose softmax is `chances`, in float64 [V]."""
    return torch.tensor(chances, dtype=torch.float64).log()


def kept(logits: Tensor, previous: tuple[int, ...] = (), **rules: float) -> list[float]:
    """The probabilities under these rules, temperature 1 if none is given."""
    config = ReplyConfig(**({"temperature": 1.0} | rules))  # type: ignore[arg-type]
    result = probabilities(logits, config, previous)
    assert result.dtype == torch.float64
    return [float(value) for value in result]


def test_without_rules_it_is_the_softmax() -> None:
    assert kept(logits_of(*HALVES)) == pytest.approx(HALVES)


def test_temperature_divides_the_logits() -> None:
    # squares of (1/2, 1/3, 1/6) are 9, 4, 1 parts of 36: at temperature 1/2 they are shares of 14
    result = kept(logits_of(1 / 2, 1 / 3, 1 / 6), temperature=0.5)
    assert result == pytest.approx([9 / 14, 4 / 14, 1 / 14])


def test_temperature_zero_is_certain_of_the_first_best() -> None:
    assert kept(torch.tensor([1.0, 7.0, 7.0, 2.0]), temperature=0.0) == [0, 1, 0, 0]


@pytest.mark.parametrize("temperature", [1e-300, 1e-12])
def test_a_tiny_temperature_does_not_overflow(temperature: float) -> None:
    assert kept(torch.tensor([-90.0, 80.0, 79.0]), temperature=temperature) == [0, 1, 0]


def test_top_k_keeps_the_most_probable() -> None:
    assert kept(logits_of(*HALVES), top_k=2) == pytest.approx([1 / 3, 2 / 3, 0, 0, 0])


def test_top_k_breaks_a_tie_by_the_lowest_id() -> None:
    assert kept(torch.tensor([0.0, 5.0, 0.0, 0.0, 5.0]), top_k=3, temperature=1e6) == pytest.approx(
        [1 / 3, 1 / 3, 0, 0, 1 / 3], abs=1e-5
    )
    assert kept(torch.zeros(7), top_k=2) == [0.5, 0.5, 0, 0, 0, 0, 0]


def test_top_k_above_the_vocabulary_keeps_all() -> None:
    assert kept(logits_of(*HALVES), top_k=11) == pytest.approx(HALVES)


@pytest.mark.parametrize(
    ("top_p", "ids"),
    [
        (0.01, {1}),
        (0.5, {1}),
        (0.51, {0, 1}),
        (0.75, {0, 1}),
        (0.875, {0, 1, 2}),
        (0.9, {0, 1, 2, 3}),
    ],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, ids: set[int]) -> None:
    result = kept(logits_of(*HALVES), top_p=top_p)
    assert {i for i, chance in enumerate(result) if chance} == ids
    assert sum(result) == pytest.approx(1)


@pytest.mark.parametrize("chances", [(0.6, 0.3, 0.1), (0.1, 0.2, 0.7), (0.8, 0.1, 0.1)])
def test_limits_are_cut_where_they_say_despite_rounding(chances: tuple[float, ...]) -> None:
    logits = logits_of(*chances)
    ordered = sorted(chances, reverse=True)
    for count in (1, 2):
        result = kept(logits, top_p=round(sum(ordered[:count]), 1))
        assert sum(chance > 0 for chance in result) == count
    share = ordered[1] / ordered[0]
    assert sum(chance > 0 for chance in kept(logits, min_p=share)) == 1 + ordered.count(ordered[1])


def test_top_p_breaks_a_tie_by_the_lowest_id() -> None:
    assert kept(torch.zeros(5), top_p=0.4) == [0.5, 0.5, 0, 0, 0]


def test_min_p_is_a_share_of_the_best() -> None:
    assert kept(logits_of(*HALVES), min_p=0.25) == pytest.approx([2 / 7, 4 / 7, 1 / 7, 0, 0])
    assert kept(logits_of(*HALVES), min_p=1.0) == [0, 1, 0, 0, 0]


def test_each_rule_sees_what_the_one_before_left() -> None:
    # top-k 3 leaves 4/7, 2/7, 1/7; 0.8 is reached by the first two (6/7), 0.75 of all would be too
    chances = logits_of(*HALVES)
    assert kept(chances, top_k=3, top_p=0.8) == pytest.approx([1 / 3, 2 / 3, 0, 0, 0])
    # of all five 0.8 needs three; so top-p must have come after top-k
    assert kept(chances, top_p=0.8) == pytest.approx([2 / 7, 4 / 7, 1 / 7, 0, 0])
    # temperature comes before top-p: at 1/2 the best alone has 64/(64+16+4+1+1) = 0.744
    assert kept(chances, temperature=0.5, top_p=0.74) == [0, 1, 0, 0, 0]


def test_repetition_penalty_weakens_each_earlier_token_once() -> None:
    logits = torch.tensor([3.0, -2.0, 2.0, -1.0])
    config = ReplyConfig(temperature=1.0, repetition_penalty=1.5)
    result = probabilities(logits, config, [1, 0, 0, 1, 0])
    expected = torch.tensor([2.0, -3.0, 2.0, -1.0], dtype=torch.float64).softmax(0)
    torch.testing.assert_close(result, expected)
    assert logits.tolist() == [3, -2, 2, -1]


def test_repetition_penalty_also_moves_the_greedy_choice() -> None:
    logits, config = torch.tensor([3.0, 2.5, 1.0]), ReplyConfig(repetition_penalty=1.5)
    assert choose(logits, config, [], seeded(0)) == 0
    assert choose(logits, config, [0], seeded(0)) == 1
    assert choose_many(torch.stack([logits] * 2), config, [[2], [0]], [seeded(0)] * 2) == [0, 1]


def test_greedy_ties_go_to_the_lowest_id() -> None:
    logits = torch.zeros(3, 4099, dtype=torch.bfloat16)
    logits[1, 2003:] = logits[2, 4001:] = 1
    chosen = choose_many(logits, ReplyConfig(), [[]] * 3, [seeded(0)] * 3)
    assert chosen == [0, 2003, 4001]
    assert chosen == [choose(row, ReplyConfig(), [], seeded(0)) for row in logits]


def test_pick_reports_the_probability_before_and_after_the_rules() -> None:
    logits = logits_of(*HALVES)
    assert pick(logits, ReplyConfig(), [], seeded(0)) == Choice(1, 0.5, 1.0)
    choice = pick(logits, ReplyConfig(temperature=1.0, top_k=2), [], seeded(0))
    assert choice.token_id in (0, 1)
    assert choice.probability == pytest.approx(HALVES[choice.token_id])
    assert choice.kept_probability == pytest.approx(HALVES[choice.token_id] * 4 / 3)


def test_candidates_are_the_most_probable_with_both_probabilities() -> None:
    logits = torch.cat((logits_of(*HALVES), torch.tensor([-math.inf])))
    found = candidates(logits, ReplyConfig(temperature=1.0, top_k=2), [], count=4)
    assert [choice.token_id for choice in found] == [1, 0, 2, 3]
    assert [choice.probability for choice in found] == pytest.approx([1 / 2, 1 / 4, 1 / 8, 1 / 16])
    assert [choice.kept_probability for choice in found] == pytest.approx([2 / 3, 1 / 3, 0, 0])


def test_one_seed_gives_the_same_draws_and_follows_the_probabilities() -> None:
    logits, config = logits_of(*HALVES), ReplyConfig(temperature=1.0)
    first, second = seeded(7), seeded(7)
    draws = [choose(logits, config, [], first) for _ in range(2000)]
    assert draws == [choose(logits, config, [], second) for _ in range(2000)]
    for token_id, chance in enumerate(HALVES):
        spread = math.sqrt(chance * (1 - chance) / 2000)
        assert draws.count(token_id) / 2000 == pytest.approx(chance, abs=4 * spread)


def test_no_seed_gives_fresh_draws() -> None:
    assert seeded(None).initial_seed() != seeded(None).initial_seed()


def test_a_forbidden_token_is_never_drawn() -> None:
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 0.0, -math.inf])
    config, generator = ReplyConfig(temperature=1.0), seeded(3)
    assert {choose(logits, config, [], generator) for _ in range(50)} == {1, 3}


@pytest.mark.parametrize(("number", "token_id"), [(0.0, 1), (0.5, 3), (1 - 2**-53, 3), (1.0, 3)])
def test_a_draw_at_a_border_is_a_token_with_a_chance(
    number: float, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(number, dtype=torch.float64))
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 0.0, -math.inf])
    assert choose(logits, ReplyConfig(temperature=1.0), [], seeded(0)) == token_id


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(temperature: float, bad: float) -> None:
    logits = torch.tensor([1.0, bad, 2.0])
    config = ReplyConfig(temperature=temperature)
    with pytest.raises(LossError, match=rf"largest logit is {bad}.*earlier checkpoint"):
        pick(logits, config, [], seeded(0))
    with pytest.raises(LossError, match="finite"):
        choose_many(torch.stack([torch.ones(3), logits]), config, [[], []], [seeded(0)] * 2)


def test_all_tokens_forbidden_is_refused() -> None:
    with pytest.raises(LossError, match="-inf"):
        choose(torch.full((3,), -math.inf), ReplyConfig(), [], seeded(0))
