"""The account of a position in a few plain sentences, each with its numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nextword.errors import LossError
from nextword.interpret.contributions import Contribution, quoted
from nextword.interpret.logit_attribution import Account, make_account
from nextword.interpret.points import check_place
from nextword.interpret.reference import softmax
from nextword.interpret.verdicts import NOT_FINITE, most_likely

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace

LEAST = 0.005  # an amount that two decimals show
MOST_WORDS = 2  # named in one sentence


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of a sentence.

    Attributes:
        name: which: `account.NAME`, `account_against.by_word.3`, `probabilities[i,token]`,
            `blocks.L.attention.attention_weights[h,i,j]`.
        value: as it is.
        shown: as the sentence has it; without its sign where the words say up or down.
    """

    name: str
    value: float
    shown: str


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence and the numbers that it says."""

    text: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True, kw_only=True)
class Narration:
    """The account of a position in plain sentences."""

    position: int
    sentences: tuple[Sentence, ...]


@torch.no_grad()
def narrate(trace: "Trace", position: int = -1) -> Narration:
    """Tell where the prediction at a position comes from, always in the same words.

    The account is that of the most likely word against the runner-up.

    Args:
        trace: of the sentence.
        position: from 0, or from the end when below 0.

    Raises:
        ConfigError: no such position, or the trace is out of date.
        LossError: the logits are not finite.
    """
    position = check_place("position", position, len(trace.token_ids))
    shares = softmax(trace.logits([position]))[0]  # [V]
    if shares.isnan().any():
        raise LossError(NOT_FINITE)
    best = most_likely(shares, 2)
    rival = best[1] if len(best) > 1 else None
    account = make_account(trace, position, token=best[0], against=rival)
    sentences = [
        _prediction(trace, position, [(token_id, shares[token_id].item()) for token_id in best]),
        *_looks(trace, position),
        *(() if rival is None else _pushes(account, _through(trace))),
        _word_itself(account),
        *(() if rival is None else [_together(account)]),
    ]
    return Narration(position=position, sentences=tuple(sentences))


def _prediction(trace: "Trace", position: int, best: Sequence[tuple[int, float]]) -> Sentence:
    numbers = [
        Number(
            name=f"probabilities[{position},{token_id}]", value=share, shown=f"{100 * share:.1f} %"
        )
        for token_id, share in best
    ]
    text = (
        f"After {quoted(trace.tokens[position])} at position {position} the model predicts "
        f"{quoted(trace.name(best[0][0]))} with {numbers[0].shown}"
    )
    if len(best) > 1:
        rival = quoted(trace.name(best[1][0]))
        text += f"; the runner-up is {rival} with {numbers[1].shown}"
    return Sentence(text=f"{text}.", numbers=tuple(numbers))


def _looks(trace: "Trace", position: int) -> Iterator[Sentence]:
    """The words with the largest weights, each by the head that looked at it most."""
    if not trace.config.n_layers:
        return
    name = "attention.attention_weights"
    layers = range(trace.config.n_layers)
    weights = torch.stack([trace.rows(layer, position)[name] for layer in layers])  # [L, H, S]
    largest = weights.flatten(0, 1).max(dim=0)  # by word
    parts: list[str] = []
    numbers: list[Number] = []
    for word in most_likely(largest.values[: position + 1], MOST_WORDS):
        layer, head = divmod(int(largest.indices[word]), trace.config.n_heads)
        value = largest.values[word].item()
        full = f"blocks.{layer}.{name}[{head},{position},{word}]"
        number = Number(name=full, value=value, shown=_shown(value))
        what = "weight " if not parts else ""
        itself = " itself" if word == position else ""
        where = f"layer {layer} head {head}"
        parts.append(f"{quoted(trace.tokens[word])}{itself} ({what}{number.shown}, {where})")
        numbers.append(number)
    yield Sentence(text=f"It looked most at {' and '.join(parts)}.", numbers=tuple(numbers))


def _through(trace: "Trace") -> str:
    """What carries something from one word to another in this model."""
    if not trace.config.token_shift:
        return "its heads"
    return "its heads and token shift" if trace.config.n_layers else "token shift"


def _pushes(account: Account, through: str) -> Iterator[Sentence]:
    """What the words that it looked at pushed up, and what down."""
    words = [part for part in account.by_word() if part.source is not None]
    words.sort(key=lambda part: -abs(part.amount))
    token, rival = quoted(account.token), quoted(account.against or "")
    up = _numbers([part for part in words if part.amount >= LEAST])
    if up:
        yield _pushed(up, f"Through {through}, {up[0][0]} pushed {token} up", rival)
    down = _numbers([part for part in words if part.amount <= -LEAST])
    if down:
        yield _pushed(down, f"{down[0][0]} pushed {'it' if up else token} down", rival)


def _pushed(found: Sequence[tuple[str, Number]], text: str, rival: str) -> Sentence:
    """What the words of `found` pushed the same way; `text` begins it, with the first of them."""
    (_, number), *more = found
    text += f" by {number.shown}"
    text += "".join(f" and {word} by {other.shown}" for word, other in more)
    numbers = tuple(number for _, number in found)
    return Sentence(text=f"{text} against {rival}.", numbers=numbers)


def _numbers(parts: Sequence[Contribution]) -> list[tuple[str, Number]]:
    return [
        (
            part.label,
            Number(
                name=f"account_against.{part.name}",
                value=part.amount,
                shown=_shown(abs(part.amount)),
            ),
        )
        for part in parts[:MOST_WORDS]
    ]


def _word_itself(account: Account) -> Sentence:
    """What the word and its position added directly."""
    prefix = "account" if account.against_id is None else "account_against"
    amounts = {part.name: part.amount for part in account.fixed}
    numbers = [
        Number(name=f"{prefix}.{name}", value=amounts[name], shown=_shown(amounts[name]))
        for name in ("token_embedding", "position")
        if name in amounts
    ]
    text = f"The word itself counted {numbers[0].shown}"
    if len(numbers) > 1:
        text += f" and its position {numbers[1].shown}"
    return Sentence(text=f"{text}.", numbers=tuple(numbers))


def _together(account: Account) -> Sentence:
    number = Number(
        name="account_against.total", value=account.total, shown=_shown(abs(account.total))
    )
    token, rival = quoted(account.token), quoted(account.against or "")
    text = f"Together that puts {token} {number.shown} ahead of {rival}."
    return Sentence(text=text, numbers=(number,))


def _shown(value: float) -> str:
    """Two decimals, with a real minus sign; zero has none."""
    text = f"{value:.2f}".replace("-", "−")
    return text.removeprefix("−") if text == "−0.00" else text
