"""The loop that makes a reply: predict, take the next token, append, until the end token.

`generate` makes one reply as a stream; `generate_many` makes many side by side. Both own their
cache, leave the decoder as they found it, and never pass the model's context.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from nextword.config import ModelConfig, ReplyConfig
from nextword.errors import ContextError, DataError, TokenizerError
from nextword.generate.sampling import Choice, candidates, choose_many, pick, seeded
from nextword.hardware import adaptive_threads
from nextword.model import Decoder, KeyValueCache

FinishReason = Literal["stop", "length"]
REPLY_SHARE = 4  # a shortened prompt leaves at least one part in this many for the reply
ROWS_TOGETHER = 4  # a CPU's float32 products round a group of rows that is not full differently


@dataclass(frozen=True)
class Step(Choice):
    """One token of a reply.

    Attributes:
        finish_reason: on the last step, why the reply ended: "stop" (an end token) or "length"
            (the context is full, or max_tokens are made); None on every other.
        candidates: the tokens most probable to the model at this step, if they were asked for.
    """

    finish_reason: FinishReason | None = None
    candidates: tuple[Choice, ...] = ()


def fit_prompt(ids: Sequence[int], config: ModelConfig, truncate_left: bool = False) -> list[int]:
    """The prompt as the model can take it.

    Args:
        ids: the prompt, newest token last.
        truncate_left: keep only the newest tokens where the prompt would leave less than a quarter
            of the context for the reply. Otherwise a prompt is kept as it is, or refused.

    Returns:
        The ids, fewer than the context holds.

    Raises:
        ContextError: no room for a single token of the reply.
    """
    room = config.context_length - -(-config.context_length // REPLY_SHARE)
    kept = list(ids)
    if truncate_left and 0 < room < len(kept):
        kept = kept[-room:]
    _check_length(kept, config)
    return kept


def generate(
    decoder: Decoder,
    prompt_ids: Sequence[int],
    config: ReplyConfig,
    *,
    end_ids: frozenset[int],
    generator: torch.Generator | None = None,
    top: int = 0,
) -> Iterator[Step]:
    """One reply, token by token; each is worked out when it is asked for.

    Args:
        prompt_ids: at least one token, fewer than the context holds (see `fit_prompt`).
        end_ids: tokens that end the reply; the one that does is the last step.
        generator: on the CPU, for the draws; None makes one from `config.seed`.
        top: how many candidates to name at each step.

    Returns:
        At least one step. Prompt and reply together never exceed the context. The stop strings of
        `config` are the caller's to find (`StopAt`): they are text, not tokens.

    Raises:
        ContextError, DataError, TokenizerError: at once, for a prompt too long, empty, or with an
            id outside the vocabulary.
        LossError: from a step, when the logits are not finite.
    """
    _check_prompt(prompt_ids, decoder.config)
    budget = _budget(prompt_ids, decoder.config, config)
    draws = seeded(config.seed) if generator is None else generator
    return _steps(decoder, list(prompt_ids), config, end_ids, draws, budget, top)


def generate_many(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: ReplyConfig,
    *,
    end_ids: frozenset[int],
    pad_id: int,
    batch_size: int = 32,
) -> list[list[int]]:
    """Many replies side by side, the same as `generate` makes one by one.

    Prompts of like length share a batch. When half of its rows have ended, the open ones go on in
    a new batch, filled up with prompts that wait, so that a reply without end holds up nobody.
    Each row draws from a generator of its own, made from `config.seed`.

    Args:
        prompts: each as in `generate`.
        pad_id: fills shorter rows on the left; never looked at.
        batch_size: the most rows side by side.

    Returns:
        The replies in the order of the prompts, each with its end token if it came.

    Raises:
        as `generate`.
    """
    for prompt in prompts:
        _check_prompt(prompt, decoder.config)
    rows = [
        _Row(list(prompt), _budget(prompt, decoder.config, config), seeded(config.seed))
        for prompt in prompts
    ]
    waiting = sorted(rows, key=lambda row: len(row.ids))
    still_open: list[_Row] = []
    with _reading(decoder):
        while waiting or still_open:
            room = max(1, batch_size) - len(still_open)
            batch, waiting = still_open + waiting[:room], waiting[room:]
            _work(decoder, batch, config, end_ids, pad_id)
            still_open = [row for row in batch if row.left]
    return [row.reply for row in rows]


@dataclass
class _Row:
    """One reply in the making."""

    ids: list[int]  # the prompt and the reply so far
    left: int  # tokens that may still come; 0: the reply has ended
    generator: torch.Generator
    reply: list[int] = field(default_factory=list)

    def take(self, token_id: int, end_ids: frozenset[int]) -> None:
        """Append the next token."""
        self.ids.append(token_id)
        self.reply.append(token_id)
        self.left = 0 if token_id in end_ids else self.left - 1


def _steps(
    decoder: Decoder,
    ids: list[int],
    config: ReplyConfig,
    end_ids: frozenset[int],
    draws: torch.Generator,
    budget: int,
    top: int,
) -> Iterator[Step]:
    cache = _cache(decoder, rows=1, capacity=len(ids) + budget)
    fed = 0
    weights = decoder.n_parameters
    with adaptive_threads(weights) as adapt:
        for left in range(budget - 1, -1, -1):
            adapt((len(ids) - fed) * weights)
            with _reading(decoder):  # not around the yield: the caller's code runs there
                logits = decoder(torch.tensor([ids[fed:]], device=decoder.device), cache=cache)
                choice = pick(logits[0, -1], config, ids, draws)
                others = candidates(logits[0, -1], config, ids, count=top) if top else []
            fed = len(ids)
            ids.append(choice.token_id)
            reason = _reason(choice.token_id, left, end_ids)
            yield Step(
                choice.token_id, choice.probability, choice.kept_probability, reason, tuple(others)
            )
            if reason is not None:
                return


def _reason(token_id: int, left: int, end_ids: frozenset[int]) -> FinishReason | None:
    if token_id in end_ids:
        return "stop"
    return None if left else "length"


def _work(
    decoder: Decoder,
    rows: list[_Row],
    config: ReplyConfig,
    end_ids: frozenset[int],
    pad_id: int,
) -> None:
    """Carry the replies of `rows` on until half of them (of a small batch, all) have ended."""
    enough = len(rows) // 2 if len(rows) > ROWS_TOGETHER else 0
    fill = -len(rows) % ROWS_TOGETHER if decoder.device.type == "cpu" else 0
    side_by_side = rows + rows[:1] * fill  # the copies are worked out and forgotten
    longest = max(len(row.ids) for row in rows)
    padded = any(len(row.ids) < longest for row in rows)
    budget = max(row.left for row in rows)
    cache = _cache(decoder, rows=len(side_by_side), capacity=longest + budget)
    feed = [row.ids for row in side_by_side]
    weights = decoder.n_parameters
    while sum(row.left > 0 for row in rows) > enough:
        with adaptive_threads(len(feed) * max(map(len, feed)) * weights):
            logits = _forward(decoder, feed, side_by_side, cache, pad_id if padded else None)
        going = [index for index, row in enumerate(rows) if row.left]
        chosen = choose_many(
            logits[going],
            config,
            [rows[index].ids for index in going],
            [rows[index].generator for index in going],
        )
        for index, token_id in zip(going, chosen, strict=True):
            rows[index].take(token_id, end_ids)
        feed = [row.ids[-1:] for row in side_by_side]  # of an ended row, its last again


def _forward(
    decoder: Decoder,
    feed: Sequence[Sequence[int]],
    rows: Sequence[_Row],
    cache: KeyValueCache,
    pad_id: int | None,
) -> Tensor:
    """The logits [B, V] after the newest token of each row.

    Args:
        feed: the ids of each row that the cache has not seen, at the end of the row's.
        pad_id: fills shorter rows on the left; None: they are all of one length.
    """
    device = decoder.device
    if pad_id is None:
        ids = torch.tensor(feed, device=device)
        logits: Tensor = decoder(ids, cache=cache, last_only=True)  # [B, 1, V]
        return logits[:, -1]
    width = max(map(len, feed))
    tokens = [[pad_id] * (width - len(ids)) + list(ids) for ids in feed]
    ends = torch.tensor([len(row.ids) for row in rows], device=device).unsqueeze(1)  # [B, 1]
    positions = ends + torch.arange(-width, 0, device=device)  # [B, T], below 0 on padding
    logits = decoder(
        torch.tensor(tokens, device=device),
        cache=cache,
        positions=positions.clamp(min=0),
        documents=positions.clamp(min=-1, max=0).int(),  # padding is a document of its own, -1
        last_only=True,
    )
    return logits[:, -1]


@contextmanager
def _reading(decoder: Decoder) -> Iterator[None]:
    """No gradients and no dropout inside; the decoder's mode is restored."""
    training = decoder.training
    if training:
        decoder.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if training:
            decoder.train()


def _cache(decoder: Decoder, *, rows: int, capacity: int) -> KeyValueCache:
    return KeyValueCache(
        decoder.config,
        batch_size=rows,
        capacity=capacity,
        dtype=decoder.compute_dtype,
        device=decoder.device,
    )


def _budget(prompt: Sequence[int], model: ModelConfig, config: ReplyConfig) -> int:
    """How many tokens the reply may have."""
    room = model.context_length - len(prompt)
    return room if config.max_tokens is None else min(room, config.max_tokens)


def _check_prompt(ids: Sequence[int], config: ModelConfig) -> None:
    if not ids:
        raise DataError(
            "the prompt has no tokens, and a reply needs at least 1 to go on from; "
            "give some text, or the end token alone"
        )
    wrong = next((token_id for token_id in ids if not 0 <= token_id < config.vocab_size), None)
    if wrong is not None:
        raise TokenizerError(
            f"the prompt holds token id {wrong}, but this model's vocabulary has "
            f"{config.vocab_size} tokens (0 to {config.vocab_size - 1}); encode the prompt with "
            "the model's own tokenizer"
        )
    _check_length(ids, config)


def _check_length(ids: Sequence[int], config: ModelConfig) -> None:
    if len(ids) >= config.context_length:
        raise ContextError(
            f"the prompt has {len(ids)} tokens; this model's context holds "
            f"{config.context_length}, of which at least 1 is the reply's. Shorten the prompt to "
            f"{config.context_length - 1}, or drop its oldest tokens with --truncate-left"
        )
