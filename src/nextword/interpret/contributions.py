"""What a logit is made of: named contributions, and how they are grouped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from nextword.interpret.points import check_top

Kind = Literal["embedding", "position", "head", "feed_forward", "bias", "soft_cap"]
KINDS: dict[Kind, str] = {
    "embedding": "the word itself",
    "position": "its position",
    "head": "heads",
    "feed_forward": "feed-forward",
    "bias": "biases",
    "soft_cap": "soft cap",
}
NO_HEAD = "carried by no head"
_SIGNS = str.maketrans({"\n": "↵", "\t": "⇥"})
WORDS_THEMSELVES = "the word itself and those just before it"  # with token shift
DIRECT_ONLY = (
    "Direct contributions only: what a head wrote into the residual and a later layer read there "
    "is counted with the later layer."
)


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """One part of a logit.

    Attributes:
        name: stable, for programs.
        label: for people.
        kind: what it came through.
        layer, head: of which, where it is one's.
        source: position of the word that it came from, where a head or token shift carried it.
        amount: what it adds to the logit.
    """

    name: str
    label: str
    kind: Kind
    layer: int | None = None
    head: int | None = None
    source: int | None = None
    amount: float


def quoted(token: str) -> str:
    """Return a token in quotation marks, with signs for line ends, tabs and spaces at its ends."""
    n_left = len(token) - len(token.lstrip(" "))
    n_right = len(token) - len(token.rstrip(" ")) if n_left < len(token) else 0
    inner = token[n_left : len(token) - n_right].translate(_SIGNS)
    return f"“{'␣' * n_left}{inner}{'␣' * n_right}”"


def all_parts(
    fixed: Sequence[Contribution], heads: Tensor, tokens: Sequence[str], position: int
) -> Iterator[Contribution]:
    """Every contribution in the order of the forward, heads split by word."""
    n_layers = len(heads)
    for layer in (None, *range(n_layers)):
        if layer is not None:
            amounts = heads[layer, :, : position + 1].tolist()
            for head, row in enumerate(amounts):
                for source, amount in enumerate(row):
                    yield head_part(layer, head, source, tokens[source], amount)
        yield from (part for part in fixed if part.layer == layer and not is_exit(part))
    yield from (part for part in fixed if is_exit(part))


def head_part(layer: int, head: int, source: int, token: str, amount: float) -> Contribution:
    """What one head carried from one word."""
    return Contribution(
        name=f"blocks.{layer}.attention.head.{head}.word.{source}",
        label=f"head {head} of layer {layer} ← {quoted(token)}",
        kind="head",
        layer=layer,
        head=head,
        source=source,
        amount=amount,
    )


def is_exit(part: Contribution) -> bool:
    """Whether it comes after the last block."""
    return part.layer is None and part.kind in ("bias", "soft_cap")


def place_of(part: Contribution, order: dict[str, int]) -> tuple[int, int, int, int]:
    """Where a contribution stands in the forward."""
    if part.head is not None:
        assert part.layer is not None
        assert part.source is not None
        return part.layer, 0, part.head, part.source
    if part.layer is not None:
        return part.layer, 1, order[part.name], 0
    return (10**9 if is_exit(part) else -1), 0, order[part.name], 0


def largest(parts: Sequence[Contribution], top: int | None) -> list[Contribution]:
    """The largest first, whatever their sign; equals in the order of the forward.

    Raises:
        ConfigError: top below 1.
    """
    if top is not None:
        check_top(top)
    return sorted(parts, key=lambda part: -abs(part.amount))[:top]


def group(
    name: str,
    label: str,
    kind: Kind,
    amount: float,
    *,
    layer: int | None = None,
    head: int | None = None,
    source: int | None = None,
) -> Contribution:
    """Several contributions as one."""
    return Contribution(
        name=name, label=label, kind=kind, layer=layer, head=head, source=source, amount=amount
    )
