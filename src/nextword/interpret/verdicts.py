"""The verdict at every position: which next token was predicted, which came, right or wrong."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from torch import Tensor

from nextword.errors import LossError
from nextword.interpret.points import check_top

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace
    from nextword.tokenizer.tokenizer import Tokenizer

TOP = 5  # in-top-5 is shown beside right
_ROWS = 64  # positions worked out at a time: bounds the memory where the vocabulary is large
NOT_FINITE = (
    "the model's logits are not finite numbers; its weights are damaged or its training diverged: "
    "load an earlier checkpoint, or train anew with a lower learning rate"
)


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A token and how likely it was thought to be."""

    token_id: int
    token: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the model said at one position.

    Attributes:
        position: counted from 0.
        token_id, token: the token that stands there.
        predicted: the token thought most likely to come next.
        top: the most likely ones, best first; among equals the lowest id comes first.
        actual: the token that came next; None at the last position.
        rank: the place of the actual one among all tokens in that order: 1 is right.
        loss: -log of the actual one's probability, in nats.
    """

    position: int
    token_id: int
    token: str
    predicted: Guess
    top: tuple[Guess, ...]
    actual: Guess | None
    rank: int | None
    loss: float | None

    @property
    def right(self) -> bool | None:
        """Whether the predicted token is the one that came; None while none has come."""
        return None if self.rank is None else self.rank == 1

    @property
    def in_top5(self) -> bool | None:
        """Whether the token that came was among the five most likely."""
        return None if self.rank is None else self.rank <= TOP


@dataclass(frozen=True)
class Verdicts(Sequence[Verdict]):
    """The verdicts of a text, position by position."""

    items: tuple[Verdict, ...]

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> "Verdicts": ...
    def __getitem__(self, index: int | slice) -> "Verdict | Verdicts":
        """The verdict at a position, or those of a stretch."""
        found = self.items[index]
        return found if isinstance(found, Verdict) else Verdicts(found)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.items)

    @property
    def judged(self) -> list[Verdict]:
        """Those with an actual next token: all but the last."""
        return [item for item in self.items if item.actual is not None]

    @property
    def n_right(self) -> int:
        """How many were right."""
        return sum(item.right is True for item in self.items)

    @property
    def n_in_top5(self) -> int:
        """How many had the actual token among the five most likely."""
        return sum(item.in_top5 is True for item in self.items)

    @property
    def loss(self) -> float | None:
        """The mean of -log p(actual token), in nats; None where nothing is judged."""
        known = [item.loss for item in self.items if item.loss is not None]
        return sum(known) / len(known) if known else None


def make_verdicts(
    logits: Tensor, token_ids: Sequence[int], tokenizer: "Tokenizer", *, top: int = TOP
) -> Verdicts:
    """Judge every position of a text.

    Args:
        logits: [T, V].
        token_ids: the T tokens.
        tokenizer: names them.
        top: how many of the most likely tokens to name at each position.

    Raises:
        ConfigError: top below 1.
        LossError: the logits are not finite.
    """
    parts = (logits[first : first + _ROWS] for first in range(0, len(token_ids), _ROWS))
    return _judged(parts, token_ids, tokenizer.token, top)


def verdicts_of(trace: "Trace", *, top: int = TOP) -> Verdicts:
    """Judge every position of a traced text, a few rows of logits at a time.

    Raises:
        ConfigError: top below 1, or a trace of an edited forward that keeps no logits.
        LossError: the logits are not finite.
    """
    tokens = len(trace.token_ids)
    parts = (trace.logits(slice(first, first + _ROWS)) for first in range(0, tokens, _ROWS))
    return _judged(parts, trace.token_ids.tolist(), trace.name, top)


def _judged(
    parts: Iterable[Tensor], token_ids: Sequence[int], name: Callable[[int], str], top: int
) -> Verdicts:
    """The verdicts, from logits [t, V] part by part."""
    check_top(top)
    items: list[Verdict] = []
    for part in parts:
        rows = part.float().log_softmax(dim=-1).cpu()  # [t, V]
        if rows.isnan().any():
            raise LossError(NOT_FINITE)
        for row in rows:
            items.append(_verdict(row, len(items), token_ids, name, top))
    return Verdicts(tuple(items))


def _verdict(
    row: Tensor, position: int, token_ids: Sequence[int], name: Callable[[int], str], top: int
) -> Verdict:
    """The verdict at one position; `row` [V] holds the logarithms of the probabilities."""
    guesses = tuple(_guess(row, token_id, name) for token_id in most_likely(row, top))
    actual = rank = loss = None
    if position + 1 < len(token_ids):
        coming = token_ids[position + 1]
        actual = _guess(row, coming, name)
        rank = rank_of(row, coming)
        loss = -row[coming].item()
    return Verdict(
        position=position,
        token_id=token_ids[position],
        token=name(token_ids[position]),
        predicted=guesses[0],
        top=guesses,
        actual=actual,
        rank=rank,
        loss=loss,
    )


def _guess(row: Tensor, token_id: int, name: Callable[[int], str]) -> Guess:
    share = row[token_id].exp().item()
    return Guess(token_id=token_id, token=name(token_id), probability=share)


def rank_of(row: Tensor, token_id: int) -> int:
    """The place of a token among all by their numbers in `row` [V]; among equals by their id."""
    number = row[token_id]
    return int((row > number).sum() + (row[:token_id] == number).sum()) + 1


def most_likely(row: Tensor, top: int) -> list[int]:
    """The ids of the `top` largest numbers of `row` [V], largest first; equals by their id.

    A plain top-k would choose among equals as it likes; a whole sort is slow for large V.
    """
    least = row.topk(min(top, len(row))).values[-1]
    candidates = (row >= least).nonzero()[:, 0]  # in the order of their ids
    order = row[candidates].argsort(descending=True, stable=True)
    return candidates[order][:top].tolist()
