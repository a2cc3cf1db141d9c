"""Which token comes next, given the logits: the rules of ReplyConfig, then one draw.

Each rule sees what the one before it left over, brought back to a sum of 1. Ties go to the lowest
id, everywhere. The rules and the draw are worked out on the CPU in float64, so a seed means the
same reply on every device, and a limit such as top-p 0.75 is cut where it says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nextword.config import ReplyConfig
from nextword.errors import LossError

ROUNDING = 1e-12  # float64 sums that differ by less are meant to be equal


@dataclass(frozen=True)
class Choice:
    """A token that could come next, or did.

    Attributes:
        token_id: which.
        probability: the model's own, softmax of the logits at temperature 1.
        kept_probability: after the rules of ReplyConfig; 0 where a rule left the token out.
    """

    token_id: int
    probability: float
    kept_probability: float


def probabilities(logits: Tensor, config: ReplyConfig, previous: Sequence[int]) -> Tensor:
    """The probability of each token after penalty, temperature, top-k, top-p and min-p.

    Args:
        logits: [V], any floating dtype and device; -inf forbids a token.
        previous: ids so far, prompt included, that the repetition penalty weakens.

    Returns:
        [V] float64 on the CPU, sums to 1. At temperature 0: 1 at the best token, 0 elsewhere.

    Raises:
        LossError: a logit is NaN or infinite, or every token is forbidden.
    """
    scores = _penalised(logits, config, previous)  # [V] float64
    best = scores.argmax()  # the first of equals
    if config.temperature == 0:
        return torch.zeros_like(scores).index_fill_(0, best, 1.0)
    # As shares of the best one's probability: 1 at the best, so that no temperature overflows.
    shares = ((scores - scores[best]) / config.temperature).exp()
    shares = _top_k(shares, config.top_k)
    shares = _top_p(shares, config.top_p)
    shares = _min_p(shares, config.min_p)
    return shares / shares.sum()


def choose(
    logits: Tensor, config: ReplyConfig, previous: Sequence[int], generator: torch.Generator
) -> int:
    """The id of the next token; arguments and errors as in `probabilities`.

    Args:
        generator: on the CPU; one number is drawn from it, none at temperature 0.
    """
    if config.temperature == 0:
        return int(_best(logits, config, previous))
    return _draw(probabilities(logits, config, previous), generator)


def pick(
    logits: Tensor, config: ReplyConfig, previous: Sequence[int], generator: torch.Generator
) -> Choice:
    """The next token as `choose` has it, with its probability before and after the rules."""
    if config.temperature == 0:
        token_id, kept = int(_best(logits, config, previous)), 1.0
    else:
        after = probabilities(logits, config, previous)
        token_id = _draw(after, generator)
        kept = float(after[token_id])
    raw = logits.float()
    return Choice(token_id, float((raw[token_id] - raw.logsumexp(0)).exp()), kept)


def choose_many(
    logits: Tensor,
    config: ReplyConfig,
    previous: Sequence[Sequence[int]],
    generators: Sequence[torch.Generator],
) -> list[int]:
    """`choose` for each row of `logits` [B, V]; the usual greedy case in one go."""
    if config.temperature == 0 and config.repetition_penalty == 1:
        values, ids = logits.max(dim=-1)  # [B], the first of equals
        check_best(float(values.sum()))  # one bad row spoils the sum
        return [int(token_id) for token_id in ids.tolist()]
    return [
        choose(row, config, ids, generator)
        for row, ids, generator in zip(logits, previous, generators, strict=True)
    ]


def candidates(
    logits: Tensor, config: ReplyConfig, previous: Sequence[int], *, count: int
) -> list[Choice]:
    """The `count` tokens most probable to the model, best first, before and after the rules."""
    after = probabilities(logits, config, previous)  # [V]
    raw = logits.cpu().double().softmax(0)  # [V]
    order = raw.sort(descending=True, stable=True).indices[:count]
    return [Choice(int(i), float(raw[i]), float(after[i])) for i in order]


def seeded(seed: int | None) -> torch.Generator:
    """A generator on the CPU, of this seed; None: a fresh one from the operating system."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def check_best(value: float) -> None:
    """Refuse logits that say nothing; `value` is the largest of them, which any NaN becomes.

    Raises:
        LossError: it is not a finite number.
    """
    if not math.isfinite(value):
        raise LossError(
            f"the model's largest logit is {value}, which gives no probabilities; it must be a "
            "finite number. Its weights are damaged or its training diverged: load an earlier "
            "checkpoint, or train anew with a lower learning rate"
        )


def _best(logits: Tensor, config: ReplyConfig, previous: Sequence[int]) -> Tensor:
    """The id of the largest logit after the penalty, the lowest of equals; no copy without one."""
    if config.repetition_penalty != 1:
        logits = _penalised(logits, config, previous)
    value, token_id = logits.max(dim=0)
    check_best(float(value))
    return token_id


def _penalised(logits: Tensor, config: ReplyConfig, previous: Sequence[int]) -> Tensor:
    """Logits as float64 on the CPU, those of earlier tokens made weaker (arXiv 1909.05858)."""
    scores = logits.cpu().double()  # [V]
    check_best(float(scores.max()))
    if config.repetition_penalty == 1 or not previous:
        return scores
    seen = torch.tensor(sorted(set(previous)))
    old = scores[seen]
    weaker = torch.where(old > 0, old / config.repetition_penalty, old * config.repetition_penalty)
    return scores.index_copy(0, seen, weaker)


def _top_k(shares: Tensor, k: int) -> Tensor:
    """Only the k largest; of equals at the edge, the lowest ids."""
    if k == 0 or k >= shares.numel():
        return shares
    edge = shares.topk(k).values[-1]
    above, level = shares > edge, shares == edge
    room = k - above.sum()
    return shares.where(above | (level & (level.cumsum(0) <= room)), 0.0)


def _top_p(shares: Tensor, p: float) -> Tensor:
    """Only the smallest set, largest first, whose probability reaches p."""
    if p == 1:
        return shares
    total = shares.sum()
    # Spares sorting the whole vocabulary: what is below this, all together, is below 1 - p.
    likely = (shares >= total * (1 - p) / shares.numel()).nonzero().squeeze(1)
    ordered, order = shares[likely].sort(descending=True, stable=True)
    reached = ordered.cumsum(0) / total
    enough = int((reached < p - ROUNDING).sum()) + 1  # the one that reaches p is kept
    return torch.zeros_like(shares).index_copy(0, likely[order[:enough]], ordered[:enough])


def _min_p(shares: Tensor, p: float) -> Tensor:
    """Only tokens with at least the share p of the best one's probability."""
    return shares.where(shares >= p * (1 - ROUNDING), 0.0)


def _draw(chances: Tensor, generator: torch.Generator) -> int:
    """One id, drawn from `chances` [V] float64; never one whose chance is 0."""
    assert generator.device.type == "cpu", "draws are made on the CPU, whatever the device"
    reached = chances.cumsum(0)  # [V]
    mark = torch.rand((), generator=generator, dtype=torch.float64) * reached[-1]
    token_id = int(torch.searchsorted(reached, mark, right=True))
    if token_id == chances.numel():  # the product was rounded up to the sum itself
        token_id = int(chances.nonzero()[-1])
    return token_id
