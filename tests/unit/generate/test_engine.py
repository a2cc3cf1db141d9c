"""The loop that makes a reply."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from nextword.config import ModelConfig, ReplyConfig
from nextword.errors import ContextError, DataError, LossError, TokenizerError
from nextword.generate.engine import Step, fit_prompt, generate, generate_many
from nextword.generate.sampling import seeded
from nextword.model import Decoder

VOCABULARY, CONTEXT, END = 11, 13, 10
NO_END: frozenset[int] = frozenset()
ENDS = frozenset({END})


class Counting(nn.Module):
    """Stands in for the unembedding: the next token is always the last one plus one."""

    def forward(self, x: Tensor) -> Tensor:
        """`x` [B, T, V] one-hot residual → logits [B, T, V]."""
        return x.roll(1, dims=-1)


@pytest.fixture
def counting() -> Decoder:
    """A decoder that counts 0, 1, 2, … 10, 0, 1, …"""
    config = ModelConfig(
        vocab_size=VOCABULARY,
        d_model=VOCABULARY,
        context_length=CONTEXT,
        n_layers=0,
        position="none",
        norm="none",
    )
    decoder = Decoder(config)
    decoder.token_embedding.weight.data.copy_(torch.eye(VOCABULARY))
    decoder.unembedding = Counting()  # type: ignore[assignment]
    return decoder


def ids(steps: Sequence[Step]) -> list[int]:
    return [step.token_id for step in steps]


def test_it_ends_with_the_end_token(counting: Decoder) -> None:
    steps = list(generate(counting, [3, 7], ReplyConfig(), end_ids=ENDS))
    assert ids(steps) == [8, 9, 10]
    assert [step.finish_reason for step in steps] == [None, None, "stop"]


def test_it_reports_the_probability_of_each_token(counting: Decoder) -> None:
    e = math.e  # one logit is 1, ten are 0
    (step,) = generate(counting, [3], ReplyConfig(max_tokens=1), end_ids=ENDS)
    assert step == Step(4, step.probability, 1.0, "length")
    assert step.probability == pytest.approx(e / (e + 10))


def test_it_names_candidates_where_they_are_asked_for(counting: Decoder) -> None:
    config = ReplyConfig(max_tokens=3, temperature=0.5, top_k=2, seed=1)
    plain = list(generate(counting, [0], config, end_ids=frozenset()))
    named = list(generate(counting, [0], config, end_ids=frozenset(), top=3))
    assert ids(plain) == ids(named)
    assert [step.candidates for step in plain] == [()] * 3
    for step in named:
        shares = [choice.probability for choice in step.candidates]
        assert shares == sorted(shares, reverse=True)
        assert [choice.kept_probability > 0 for choice in step.candidates] == [True, True, False]
        assert step.token_id in [choice.token_id for choice in step.candidates[:2]]


def test_prompt_and_reply_fill_the_context_and_no_more(counting: Decoder) -> None:
    steps = list(generate(counting, [5] * 4, ReplyConfig(), end_ids=NO_END))
    assert ids(steps) == [6, 7, 8, 9, 10, 0, 1, 2, 3]
    assert steps[-1].finish_reason == "length"
    steps = list(generate(counting, [5] * 12, ReplyConfig(), end_ids=NO_END))
    assert ids(steps) == [6]


def test_max_tokens_ends_it_unless_the_end_token_came(counting: Decoder) -> None:
    config = ReplyConfig(max_tokens=2)
    steps = list(generate(counting, [4], config, end_ids=ENDS))
    assert (ids(steps), steps[-1].finish_reason) == ([5, 6], "length")
    steps = list(generate(counting, [8], config, end_ids=ENDS))
    assert (ids(steps), steps[-1].finish_reason) == ([9, 10], "stop")


@pytest.mark.parametrize("training", [True, False])
def test_the_decoder_and_torch_are_left_as_they_were(counting: Decoder, training: bool) -> None:
    counting.train(training)
    for _ in generate(counting, [7], ReplyConfig(), end_ids=ENDS):
        assert counting.training is training
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    generate_many(counting, [[7]], ReplyConfig(), end_ids=ENDS, pad_id=0)
    assert counting.training is training
    assert torch.is_grad_enabled()


def test_no_dropout_while_replying() -> None:
    config = ModelConfig(vocab_size=17, d_model=10, context_length=19, n_heads=1, d_head=6)
    decoder = Decoder(config)
    plain = ids(list(generate(decoder, [3, 5], ReplyConfig(), end_ids=NO_END)))
    decoder.dropout = 0.9
    decoder.train()
    assert ids(list(generate(decoder, [3, 5], ReplyConfig(), end_ids=NO_END))) == plain


def test_a_prompt_is_refused_at_once(counting: Decoder) -> None:
    with pytest.raises(ContextError, match=r"14 tokens.*holds 13.*to 12.*--truncate-left"):
        generate(counting, [1] * 14, ReplyConfig(), end_ids=ENDS)
    with pytest.raises(ContextError, match="13 tokens"):
        generate_many(counting, [[1], [1] * 13], ReplyConfig(), end_ids=ENDS, pad_id=0)
    with pytest.raises(DataError, match="no tokens"):
        generate(counting, [], ReplyConfig(), end_ids=ENDS)
    with pytest.raises(TokenizerError, match=r"token id 11.*11 tokens \(0 to 10\)"):
        generate(counting, [3, 11], ReplyConfig(), end_ids=ENDS)
    with pytest.raises(TokenizerError, match="token id -1"):
        generate_many(counting, [[-1]], ReplyConfig(), end_ids=ENDS, pad_id=0)


def test_logits_that_are_not_finite_are_refused(counting: Decoder) -> None:
    counting.token_embedding.weight.data[9, 2] = torch.nan
    steps = generate(counting, [7], ReplyConfig(), end_ids=ENDS)
    assert next(steps).token_id == 8
    assert next(steps).token_id == 9
    with pytest.raises(LossError, match="nan"):
        next(steps)
    with pytest.raises(LossError, match="nan"):
        generate_many(counting, [[7], [3]], ReplyConfig(), end_ids=ENDS, pad_id=0)


def test_draws_follow_the_seed_or_the_generator(counting: Decoder) -> None:
    def reply(seed: int | None, generator: torch.Generator | None = None) -> list[int]:
        config = ReplyConfig(temperature=2.0, seed=seed)
        return ids(list(generate(counting, [1], config, end_ids=NO_END, generator=generator)))

    assert reply(5) == reply(5) == reply(None, seeded(5)) == reply(6, seeded(5))
    assert reply(5) != reply(6)
    assert reply(None) != reply(None)


def test_draws_leave_the_global_generator_alone(counting: Decoder) -> None:
    before = torch.get_rng_state()
    list(generate(counting, [1], ReplyConfig(temperature=1.0), end_ids=NO_END))
    assert torch.equal(torch.get_rng_state(), before)


def test_many_replies_come_in_the_order_of_the_prompts(counting: Decoder) -> None:
    prompts = [[9], [1, 5], [8], [2, 2, 2], [0], [7, 6], [4, 4, 4, 4]]
    replies = generate_many(counting, prompts, ReplyConfig(), end_ids=ENDS, pad_id=0, batch_size=5)
    assert replies == [list(range(prompt[-1] + 1, 11)) for prompt in prompts]
    assert generate_many(counting, [], ReplyConfig(), end_ids=ENDS, pad_id=0) == []


def test_many_replies_stop_at_the_context_and_at_max_tokens(counting: Decoder) -> None:
    prompts = [[1] * length for length in (1, 12, 7)]
    replies = generate_many(counting, prompts, ReplyConfig(), end_ids=NO_END, pad_id=0)
    assert list(map(len, replies)) == [12, 1, 6]
    config = ReplyConfig(max_tokens=3)
    replies = generate_many(counting, prompts, config, end_ids=NO_END, pad_id=0)
    assert replies == [[2, 3, 4], [2], [2, 3, 4]]


@pytest.fixture
def rows(counting: Decoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each forward of `counting` had."""
    seen: list[int] = []
    forward = counting.forward

    def watched(token_ids: Tensor, **options: object) -> Tensor:
        seen.append(token_ids.shape[0])
        return forward(token_ids, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(counting, "forward", watched)
    return seen


@pytest.mark.parametrize(("count", "together"), [(1, 4), (4, 4), (5, 8), (7, 8)])
def test_rows_are_worked_out_in_full_groups_of_four(
    counting: Decoder, rows: list[int], count: int, together: int
) -> None:
    replies = generate_many(counting, [[9]] * count, ReplyConfig(), end_ids=ENDS, pad_id=0)
    assert replies == [[10]] * count
    assert rows == [together]


def test_a_reply_without_end_holds_up_nobody(counting: Decoder, rows: list[int]) -> None:
    prompts = [[9]] * 12 + [[0]] * 4  # twelve replies of 1 token, four of 10
    replies = generate_many(counting, prompts, ReplyConfig(), end_ids=ENDS, pad_id=0, batch_size=8)
    assert list(map(len, replies)) == [1] * 12 + [10] * 4
    assert rows == [8, 8] + [4] * 9  # not three times 8 for as long as the longest


def test_fit_prompt_keeps_a_prompt_that_fits() -> None:
    config = ModelConfig(vocab_size=3, d_model=2, context_length=13)
    assert fit_prompt(range(12), config) == list(range(12))
    assert fit_prompt(range(9), config, truncate_left=True) == list(range(9))


def test_fit_prompt_keeps_the_newest_and_leaves_a_quarter() -> None:
    config = ModelConfig(vocab_size=3, d_model=2, context_length=13)
    # a quarter of 13 is 3.25, so 4 are the reply's
    assert fit_prompt(range(30), config, truncate_left=True) == list(range(21, 30))
    assert fit_prompt(range(10), config, truncate_left=True) == list(range(1, 10))
    small = ModelConfig(vocab_size=3, d_model=2, context_length=2)
    assert fit_prompt([7, 8, 9], small, truncate_left=True) == [9]


def test_fit_prompt_refuses_what_does_not_fit() -> None:
    config = ModelConfig(vocab_size=3, d_model=2, context_length=13)
    with pytest.raises(ContextError, match=r"13 tokens.*holds 13.*--truncate-left"):
        fit_prompt(range(13), config)
    one = ModelConfig(vocab_size=3, d_model=2, context_length=1)
    with pytest.raises(ContextError, match="holds 1"):
        fit_prompt([5], one, truncate_left=True)
