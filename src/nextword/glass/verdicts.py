"""The verdict at every position: which next token was predicted, which came, right or wrong."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nextword.text.tokenizer import Tokenizer

TOP = 5  # in-top-5 is shown beside right


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
        top: the five most likely.
        actual: the token that came next; None at the last position.
        rank: how many tokens were thought at least as likely as the actual one: 1 is right.
    """

    position: int
    token_id: int
    token: str
    predicted: Guess
    top: tuple[Guess, ...]
    actual: Guess | None
    rank: int | None

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

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """The verdict at a position."""
        return self.items[index]

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
        known = [item.actual.probability for item in self.items if item.actual is not None]
        if not known:
            return None
        return sum(-math.log(max(share, 1e-45)) for share in known) / len(known)


def make_verdicts(logits: Tensor, token_ids: Sequence[int], tokenizer: Tokenizer) -> Verdicts:
    """Judge every position of a text.

    Args:
        logits: [T, V].
        token_ids: the T tokens.
        tokenizer: names them.
    """
    shares = logits.float().softmax(dim=-1)  # [T, V]
    order = torch.sort(shares, dim=-1, descending=True, stable=True)  # lowest id first among equals
    best, ids = order.values[:, :TOP].tolist(), order.indices[:, :TOP].tolist()
    items = []
    for position, token_id in enumerate(token_ids):
        top = tuple(
            Guess(token_id=other, token=tokenizer.token(other), probability=share)
            for other, share in zip(ids[position], best[position], strict=True)
        )
        actual = rank = None
        if position + 1 < len(token_ids):
            coming = token_ids[position + 1]
            share = shares[position, coming].item()
            actual = Guess(token_id=coming, token=tokenizer.token(coming), probability=share)
            rank = int((order.indices[position] == coming).nonzero()[0, 0]) + 1
        items.append(
            Verdict(
                position=position,
                token_id=token_id,
                token=tokenizer.token(token_id),
                predicted=top[0],
                top=top,
                actual=actual,
                rank=rank,
            )
        )
    return Verdicts(tuple(items))
