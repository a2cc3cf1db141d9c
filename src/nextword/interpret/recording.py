"""Running the reference with a recorder: what is kept at once, and how much that may be."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from nextword.errors import ConfigError
from nextword.interpret.interventions import Changes, edited
from nextword.interpret.points import check_place, chosen, points_of
from nextword.interpret.recompute import Basis, make_basis
from nextword.interpret.reference import Tap, forward, norm, read_off, softmax
from nextword.interpret.trace import Trace
from nextword.model.decoder import Decoder

KEPT_BYTES = 2**30
_COMPARED = 2**24  # logits that are compared with the fast decoder's; of more, the last position's
_ROWS = 64  # positions worked out at a time


@torch.no_grad()
def record(
    decoder: Decoder,
    token_ids: Tensor,
    *,
    keep: Iterable[str] = ("*",),
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    name: Callable[[int], str] = str,
    changes: Sequence[Changes] = (),
) -> Trace:
    """Run one sentence through the reference forward and keep what `keep` names.

    Args:
        decoder: the model.
        token_ids: [T] int64.
        keep: names of points, `*` for any part; fewer bound the memory.
        layers: points of other layers are not kept; None: all layers'.
        heads: of values with an axis of heads, only these are kept, in this order.
        name: what a token is called (`Tokenizer.token`).
        changes: of edits, outer ones first; the trace of an edited forward has no basis.

    Raises:
        ConfigError: a name that this model has no point for, no such layer or head, layers or
            heads without keep, or more than a gigabyte to keep.
        ContextError: more tokens than learned positions.
    """
    config, keep = decoder.config, tuple(keep)
    if not keep and (layers is not None or heads is not None):
        raise ConfigError("layers and heads limit what is kept; name the points in keep, too")
    if layers is not None:
        layers = [check_place("layer", layer, config.n_layers) for layer in layers]
    if heads is not None:
        heads = [check_place("head", head, config.n_heads) for head in heads]
    wanted = chosen(keep, config, layers)
    _check_size(decoder, wanted, len(token_ids), heads)
    values: dict[str, Tensor] = {}
    points = points_of(config)

    def recorder(point: str, value: Tensor) -> Tensor:
        if point in wanted:
            some = heads is not None and points[point].shape.startswith("H")
            values[point] = value[heads] if some else value
        return value

    made = partial(
        Trace, decoder, token_ids, values, name=name, heads=None if heads is None else tuple(heads)
    )
    if changes:
        forward(decoder, token_ids, edited(changes, config, after=recorder))
        return made(basis=None)
    basis = make_basis(decoder, token_ids, recorder, wanted=wanted)
    _read_off(decoder, basis, recorder, wanted)
    return made(basis=basis, fast_difference=_difference(decoder, token_ids, basis))


def _read_off(decoder: Decoder, basis: Basis, recorder: Tap, wanted: set[str]) -> None:
    """The values after the last block, as far as they are wanted: logits [T, V] may be large."""
    if wanted & {"logits", "probabilities"}:
        recorder("probabilities", softmax(read_off(decoder, basis.last, recorder)))
    elif "final_norm" in wanted:
        recorder("final_norm", norm(decoder.final_norm, basis.last, decoder.config))


def _check_size(
    decoder: Decoder, wanted: Iterable[str], tokens: int, heads: Sequence[int] | None
) -> None:
    points, config = points_of(decoder.config), decoder.config
    size = 0
    for name in wanted:
        numbers = 4 * math.prod(points[name].sizes(config, tokens))
        if heads is not None and points[name].shape.startswith("H"):
            numbers = numbers * len(heads) // config.n_heads
        size += numbers
    if size > KEPT_BYTES:
        raise ConfigError(
            f"what is to be kept of {tokens} tokens takes {size / 2**30:.1f} GiB, and at most "
            f"{KEPT_BYTES // 2**30} GiB is; leave keep empty: values are then worked out when "
            "asked for"
        )


def _difference(decoder: Decoder, token_ids: Tensor, basis: Basis) -> float:
    """The largest difference between the logits of the two forwards."""
    if not len(token_ids):
        return 0.0
    whole = len(token_ids) * decoder.config.vocab_size <= _COMPARED
    was_training = decoder.training
    fast = decoder.eval()(token_ids.unsqueeze(0), last_only=not whole)[0].float()  # [t, V]
    decoder.train(was_training)
    last = basis.last if whole else basis.last[-1:]
    parts = [
        (fast[first : first + _ROWS] - read_off(decoder, last[first : first + _ROWS])).abs().max()
        for first in range(0, len(fast), _ROWS)
    ]
    return torch.stack(parts).max().item()
