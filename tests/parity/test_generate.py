"""Cached, uncached and batched replies are the same, for every kind of position and attention."""

from collections.abc import Sequence

import pytest
import torch

from nextword.config import ModelConfig, ReplyConfig
from nextword.generate.engine import generate, generate_many
from nextword.model import Decoder
from nextword.presets import preset

VOCABULARY, CONTEXT, PAD = 53, 31, 52
ENDS = frozenset({3, 17})
NOISE = 1e-4  # logits nearer than this may change places by rounding alone

CONFIGS = {
    "seed": preset("seed", vocab_size=VOCABULARY, context_length=CONTEXT, d_model=14),
    "learned": preset(
        "gpt2", vocab_size=VOCABULARY, context_length=CONTEXT, depth=2, d_model=22, n_heads=2,
    ),
    "grouped": preset(
        "llama", vocab_size=VOCABULARY, context_length=CONTEXT,
        depth=2, d_model=30, n_heads=6, n_kv_heads=2, d_head=10,
    ),
    "window": preset(
        "qwen3", vocab_size=VOCABULARY, context_length=CONTEXT,
        depth=3, d_model=26, n_heads=2, d_head=14, sliding_window=5, sliding_layers=[0, 2],
    ),
    "capped": ModelConfig(
        vocab_size=VOCABULARY, context_length=CONTEXT, d_model=21, n_layers=2, n_heads=3,
        position="sinusoidal", attention_soft_cap=2.0, logit_soft_cap=5.0, norm_placement="after",
    ),
    "token shift": preset(
        "nextword", vocab_size=VOCABULARY, context_length=CONTEXT,
        depth=2, d_model=26, n_heads=2, d_head=14,
    ),
    "no position": ModelConfig(
        vocab_size=VOCABULARY, context_length=CONTEXT, d_model=21, n_layers=2, n_heads=3,
        position="none", norm="layer", feed_forward="relu2",
    ),
}  # fmt: skip
PROMPT_LENGTHS = (1, 2, 3, 7, 7, 11, 19, 29, 30)


@pytest.fixture(params=CONFIGS)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    """A decoder of each kind whose weights are all at work (fresh ones start as the identity)."""
    decoder = Decoder(CONFIGS[request.param])
    generator = torch.Generator().manual_seed(29)
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 2 and "embedding" not in name.removeprefix("un"):
            parameter.data.normal_(std=1.5 * parameter.shape[1] ** -0.5, generator=generator)
    return decoder


@pytest.fixture
def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(31)
    return [
        torch.randint(VOCABULARY, (length,), generator=generator).tolist()
        for length in PROMPT_LENGTHS
    ]


def reply(decoder: Decoder, prompt: Sequence[int], config: ReplyConfig) -> list[int]:
    return [step.token_id for step in generate(decoder, prompt, config, end_ids=ENDS)]


@torch.no_grad()
def assert_same(decoder: Decoder, prompt: list[int], one: list[int], other: list[int]) -> None:
    """The replies agree, up to a place where two tokens are equally good but for rounding."""
    for place, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            logits = decoder(torch.tensor([prompt + one[:place]]))[0, -1]
            assert abs(logits[first] - logits[second]) < NOISE
            return
    assert len(one) == len(other)


@torch.no_grad()
def uncached(decoder: Decoder, prompt: list[int]) -> list[int]:
    """The whole text through the decoder anew for every token."""
    ids = list(prompt)
    while len(ids) < CONTEXT:
        ids.append(int(decoder(torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] in ENDS:
            break
    return ids[len(prompt) :]


def test_cached_replies_are_the_uncached_argmax(decoder: Decoder, prompts: list[list[int]]) -> None:
    for prompt in prompts:
        made = reply(decoder, prompt, ReplyConfig())
        assert_same(decoder, prompt, made, uncached(decoder, prompt))


@pytest.mark.parametrize("batch_size", [3, 7])
def test_many_side_by_side_are_those_one_by_one(
    decoder: Decoder, prompts: list[list[int]], batch_size: int
) -> None:
    config = ReplyConfig()
    together = generate_many(
        decoder, prompts, config, end_ids=ENDS, pad_id=PAD, batch_size=batch_size
    )
    for prompt, many in zip(prompts, together, strict=True):
        assert_same(decoder, prompt, reply(decoder, prompt, config), many)


def test_drawn_replies_are_the_same_side_by_side(
    decoder: Decoder, prompts: list[list[int]]
) -> None:
    config = ReplyConfig(temperature=0.7, top_k=7, top_p=0.9, repetition_penalty=1.2, seed=37)
    together = generate_many(decoder, prompts, config, end_ids=ENDS, pad_id=PAD, batch_size=7)
    same = [
        many == reply(decoder, prompt, config)
        for prompt, many in zip(prompts, together, strict=True)
    ]
    assert sum(same) >= len(same) - 1  # a draw within rounding of a border may fall either way


def test_the_probabilities_of_the_steps_are_the_softmax(
    decoder: Decoder, prompts: list[list[int]]
) -> None:
    prompt = prompts[3]
    steps = list(generate(decoder, prompt, ReplyConfig(max_tokens=5), end_ids=frozenset()))
    ids = [step.token_id for step in steps]
    with torch.no_grad():
        logits = decoder(torch.tensor([prompt + ids]))[0, len(prompt) - 1 : -1]  # [T, V]
    expected = logits.double().softmax(-1)[range(len(ids)), ids].tolist()
    assert [step.probability for step in steps] == pytest.approx(expected, rel=1e-4)
