"""A logit as a sum of named contributions, which add up to it.

Direct contributions only: what a head wrote into the residual and a later layer read there is
counted with the later layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nextword.errors import ConfigError, LossError
from nextword.interpret.contributions import (
    KINDS,
    NO_HEAD,
    WORDS_THEMSELVES,
    Contribution,
    all_parts,
    group,
    head_part,
    is_exit,
    largest,
    place_of,
    quoted,
)
from nextword.interpret.logit_directions import (
    Directions,
    carried_by_heads,
    make_directions,
    of_bias,
)
from nextword.interpret.points import check_place, norm_after
from nextword.interpret.token_shift_parts import earlier_words
from nextword.interpret.verdicts import NOT_FINITE, most_likely

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where a logit, or the difference of two, comes from.

    Attributes:
        position: whose next word it is about.
        token_id, token: the word whose logit it is.
        against_id, against: the word whose logit is taken off; None: none.
        logit: as the reference computed it.
        total: the sum of all contributions.
        fixed: all contributions but those of heads, in the order of the forward.
        heads: [L, H, S], what each head carried from each word; 0 where nothing was seen.
        tokens: the words of the sentence.
    """

    position: int
    token_id: int
    token: str
    against_id: int | None
    against: str | None
    logit: float
    total: float
    fixed: tuple[Contribution, ...]
    heads: Tensor
    tokens: tuple[str, ...] = field(repr=False)

    @property
    def n_contributions(self) -> int:
        """How many there are."""
        n_layers, n_heads, _ = self.heads.shape
        return len(self.fixed) + n_layers * n_heads * (self.position + 1)

    @property
    def shifted(self) -> tuple[Contribution, ...]:
        """Those of token shift: what each earlier word's own vector added."""
        return tuple(part for part in self.fixed if part.source is not None)

    def contributions(self, top: int | None = None) -> list[Contribution]:
        """The contributions, largest first, whatever their sign; `top`: only so many."""
        if top is None or self.heads.numel() == 0:
            parts = all_parts(self.fixed, self.heads, self.tokens, self.position)
            return largest(list(parts), top)
        best = largest(self.fixed, top)
        sizes = self.heads[:, :, : self.position + 1].abs()  # [L, H, i + 1]
        least = sizes.flatten().topk(min(top, sizes.numel())).values[-1]
        larger, equal = (sizes > least).nonzero(), (sizes == least).nonzero()  # in order
        for layer, head, source in (*larger.tolist(), *equal[:top].tolist()):
            amount = self.heads[layer, head, source].item()
            best.append(head_part(layer, head, source, self.tokens[source], amount))
        order = {part.name: number for number, part in enumerate(self.fixed)}
        best.sort(key=lambda part: place_of(part, order))
        return largest(best, top)

    def by_word(self) -> list[Contribution]:
        """By the word that it came from: all heads together, and token shift; then the rest."""
        amounts = self.heads.double().sum(dim=(0, 1)).tolist()
        for part in self.shifted:
            assert part.source is not None
            amounts[part.source] += part.amount
        words = [
            group(f"by_word.{j}", quoted(token), "head", amount, source=j)
            for j, (token, amount) in enumerate(zip(self.tokens, amounts, strict=True))
        ]
        label = NO_HEAD if not self.shifted else f"{NO_HEAD} or token shift"
        rest = _sum(self.fixed) - _sum(self.shifted)
        return [*words, group("by_word.rest", label, "embedding", rest)]

    def by_head(self) -> list[Contribution]:
        """By head, all words together; what no head carried is the rest."""
        heads = [
            group(
                f"by_head.{layer}.{head}",
                f"head {head} of layer {layer}",
                "head",
                amount,
                layer=layer,
                head=head,
            )
            for layer, row in enumerate(self.heads.double().sum(dim=-1).tolist())
            for head, amount in enumerate(row)
        ]
        return [*heads, group("by_head.rest", NO_HEAD, "embedding", _sum(self.fixed))]

    def by_layer(self) -> list[Contribution]:
        """By layer, with what comes before the first and after the last."""
        entry = [part for part in self.fixed if part.layer is None and not is_exit(part)]
        after = [part for part in self.fixed if is_exit(part)]
        layers = [
            group(
                f"by_layer.{layer}",
                f"layer {layer}",
                "head",
                amount + _sum([part for part in self.fixed if part.layer == layer]),
                layer=layer,
            )
            for layer, amount in enumerate(self.heads.double().sum(dim=(1, 2)).tolist())
        ]
        return [
            group("by_layer.entry", "the word vector", "embedding", _sum(entry)),
            *layers,
            group("by_layer.exit", "after the last layer", "bias", _sum(after)),
        ]

    def by_kind(self) -> list[Contribution]:
        """By what it came through."""
        found = []
        for kind, label in KINDS.items():
            parts = [part for part in self.fixed if part.kind == kind]
            if kind == "head" and self.heads.numel():
                amount = self.heads.double().sum().item()
                found.append(group("by_kind.head", label, kind, amount))
            elif parts:
                label = WORDS_THEMSELVES if kind == "embedding" and self.shifted else label
                found.append(group(f"by_kind.{kind}", label, kind, _sum(parts)))
        return found


def _sum(parts: "list[Contribution] | tuple[Contribution, ...]") -> float:
    return sum(part.amount for part in parts)


@torch.no_grad()
def make_account(
    trace: "Trace", position: int = -1, *, token: int | None = None, against: int | None = None
) -> Account:
    """Split a logit, or the difference of two, into what each part of the model adds to it.

    Args:
        trace: of the sentence.
        position: whose next word it is about; from 0, or from the end when below 0.
        token: whose logit; None: the most likely token's.
        against: whose logit is taken off; None: none is.

    Raises:
        ConfigError: there is no such position or token, or the trace is out of date.
        LossError: the logits are not finite.
    """
    config = trace.config
    position = check_place("position", position, len(trace.token_ids))
    logits = trace.logits([position])[0].double()  # [V]
    if not logits.isfinite().all():
        raise LossError(NOT_FINITE)
    token = most_likely(logits, 1)[0] if token is None else token_of(token, config.vocab_size)
    unembedding = trace.decoder.unembedding
    exit, logit = unembedding.weight[token].double(), logits[token].item()
    if against is not None:
        against = token_of(against, config.vocab_size)
        exit = exit - unembedding.weight[against].double()
        logit -= logits[against].item()
    directions = make_directions(trace, position, exit)
    carried = [carried_by_heads(trace, *pair) for pair in enumerate(directions.layers)]
    empty = torch.zeros(0, config.n_heads, len(trace.token_ids), dtype=torch.float64)
    heads = torch.stack(carried).cpu() if carried else empty  # [L, H, S]
    fixed = [*_entry(trace, position, directions), *_layers(trace, directions)]
    fixed += _exit(trace, directions, token, against)
    fixed += _soft_cap(trace, position, token, against, logit)
    return Account(
        position=position,
        token_id=token,
        token=trace.name(token),
        against_id=against,
        against=None if against is None else trace.name(against),
        logit=logit,
        total=heads.sum().item() + _sum(fixed),
        fixed=tuple(fixed),
        heads=heads.float(),
        tokens=trace.tokens,
    )


def token_of(token: int, vocab_size: int) -> int:
    """A token's id, refused where the vocabulary has none such.

    Raises:
        ConfigError: there is none.
    """
    if not 0 <= token < vocab_size:
        raise ConfigError(f"there is no token {token}; ids are 0 to {vocab_size - 1}")
    return token


def _entry(trace: "Trace", position: int, directions: Directions) -> Iterator[Contribution]:
    """The word vector."""
    u = directions.entry
    embedding = (u @ trace.row("token_embedding", position).double()).item()
    label = f"the word {quoted(trace.tokens[position])} itself"
    yield group("token_embedding", label, "embedding", embedding)
    for word in earlier_words(trace, position):
        amount = (u @ (word.share.double() * word.vector.double())).item()
        label = f"token shift ← {quoted(trace.tokens[word.source])}, {word.back} before"
        name = f"token_shift.word.{word.source}"
        yield group(name, label, "embedding", amount, source=word.source)
    if "position" in trace:
        place = (u @ trace.row("position", position).double()).item()
        yield group("position", f"its position, {position}", "position", place)


def _layers(trace: "Trace", directions: Directions) -> Iterator[Contribution]:
    """What the layers add beside their heads."""
    after = norm_after(trace.config)
    for layer, found in enumerate(directions.layers):
        block, name = trace.block(layer), f"blocks.{layer}."
        output, label = block.attention.output, f"bias of the output of layer {layer}"
        yield from _bias(f"{name}attention.output", label, output, found.attention, layer=layer)
        if after:
            label, u = f"bias of the norm after attention in layer {layer}", found.after_attention
            yield from _bias(f"{name}attention_norm", label, block.attention_norm, u, layer=layer)
        if block.feed_forward is None:
            continue
        amount = (found.feed_forward @ found.rows["feed_forward.output"].double()).item()
        label = f"feed-forward of layer {layer}"
        yield group(f"{name}feed_forward", label, "feed_forward", amount, layer=layer)
        if after:
            norm, u = block.feed_forward_norm, found.after_feed_forward
            label = f"bias of the norm after the feed-forward in layer {layer}"
            yield from _bias(f"{name}feed_forward_norm", label, norm, u, layer=layer)


def _bias(
    name: str, label: str, module: nn.Module | None, u: Tensor, *, layer: int | None = None
) -> Iterator[Contribution]:
    """The bias of a layer or norm, where it has one."""
    amount = of_bias(module, u)
    if amount is not None:
        yield group(f"{name}.bias", label, "bias", amount, layer=layer)


def _exit(
    trace: "Trace", directions: Directions, token: int, against: int | None
) -> Iterator[Contribution]:
    """The biases after the last block."""
    norm = trace.decoder.final_norm
    yield from _bias("final_norm", "bias of the final norm", norm, directions.exit)
    bias = trace.decoder.unembedding.bias
    if bias is not None:
        amount = bias[token].item() - (0.0 if against is None else bias[against].item())
        yield group("unembedding.bias", "bias of the fully connected layer", "bias", amount)


def _soft_cap(
    trace: "Trace", position: int, token: int, against: int | None, logit: float
) -> Iterator[Contribution]:
    """What the soft cap over the logits takes off."""
    if trace.config.logit_soft_cap is None:
        return
    before = uncapped(trace, position, token)
    if against is not None:
        before -= uncapped(trace, position, against)
    yield group("logit_soft_cap", "soft cap of the logits", "soft_cap", logit - before)


def uncapped(trace: "Trace", position: int, token: int) -> float:
    """A logit before the soft cap, worked out in float64."""
    layer = trace.decoder.unembedding
    x = trace.row("final_norm", position) if trace.config.final_norm else trace.basis.last[position]
    logit = (layer.weight[token].double() @ x.double()).item()
    return logit if layer.bias is None else logit + layer.bias[token].item()
