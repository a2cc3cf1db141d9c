"""From the logits of one position to the probabilities of its next word, number by number."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextword.errors import LossError
from nextword.interpret.logit_attribution import token_of
from nextword.interpret.points import check_place, check_top
from nextword.interpret.verdicts import NOT_FINITE, most_likely, rank_of

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@dataclass(frozen=True, kw_only=True)
class NextWord:
    """One word that may come next.

    Attributes:
        token_id, token: which.
        logit: its number in the result vector.
        exp: exp(logit − largest logit).
        probability: that divided by the sum over all words.
        rank: its place among all words; 1 is the most likely; among equals the lowest id is first.
        actual: whether it is the one that came.
    """

    token_id: int
    token: str
    logit: float
    exp: float
    probability: float
    rank: int
    actual: bool


@dataclass(frozen=True, kw_only=True)
class NextWords:
    """The most likely next words, and all others together.

    Attributes:
        words: by rank; the actual one is always among them.
        others: how many are not named; `others_exp` and `others_probability` are their sums.
        largest: the largest logit.
        sum_exp: the sum of exp(logit − largest) over all words.
    """

    words: tuple[NextWord, ...]
    others: int
    others_exp: float
    others_probability: float
    largest: float
    sum_exp: float


def make_next_words(
    trace: "Trace", position: int = -1, *, top: int = 10, token: int | None = None
) -> NextWords:
    """The softmax of one position.

    Args:
        trace: of the sentence.
        position: from 0, or from the end when below 0.
        top: how many of the most likely words to name.
        token: a word to name in any case, beside the actual one.

    Raises:
        ConfigError: no such position or token, or top below 1.
        LossError: the logits are not finite.
    """
    check_top(top)
    position = check_place("position", position, len(trace.token_ids))
    row = trace.logits([position])[0]  # [V]
    if not row.isfinite().all():
        raise LossError(NOT_FINITE)
    named = most_likely(row, top)
    more = [] if token is None else [token_of(token, trace.config.vocab_size)]
    actual = None
    if position + 1 < len(trace.token_ids):
        actual = int(trace.token_ids[position + 1])
        more.append(actual)
    named += [token_id for token_id in dict.fromkeys(more) if token_id not in named]
    powers = (row - row.max()).double().exp()
    total = powers.sum().item()
    words = []
    for token_id in named:
        logit, power = row[token_id].item(), powers[token_id].item()
        words.append(
            NextWord(
                token_id=token_id,
                token=trace.name(token_id),
                logit=logit,
                exp=power,
                probability=power / total,
                rank=rank_of(row, token_id),
                actual=token_id == actual,
            )
        )
    powers[named] = 0
    rest = powers.sum().item()
    return NextWords(
        words=tuple(sorted(words, key=lambda word: word.rank)),
        others=len(row) - len(named),
        others_exp=rest,
        others_probability=rest / total,
        largest=row.max().item(),
        sum_exp=total,
    )
