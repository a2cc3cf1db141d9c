"""The reference for some positions of one layer, from what every trace holds: the basis.

The whole attention of a long sentence would be far too much to hold. But once keys and values of
a layer are known, any row of it can be worked out again for itself. Everything here goes through
the functions of `reference.py`, so a row is the same as in the whole forward.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nextword.config import ModelConfig
from nextword.interpret.points import BLOCK
from nextword.interpret.reference import Tap, look_back, run_block, untouched, within, word_vectors
from nextword.model.decoder import Block, Decoder

GROUP_BYTES = 32 * 2**20  # of scores [h, T, S] worked out at a time
MAPS = tuple(point.name for point in BLOCK if point.shape == "H T S")


@dataclass(frozen=True, kw_only=True)
class LayerBasis:
    """What of one layer is always held.

    Attributes:
        residual_pre: [T, M], what enters.
        query_used: [H, T, D]; key_used, value: [K, S, D]; after norm and rotation.
    """

    residual_pre: Tensor
    query_used: Tensor
    key_used: Tensor
    value: Tensor

    @property
    def n_bytes(self) -> int:
        """How much memory it takes."""
        parts = (self.residual_pre, self.query_used, self.key_used, self.value)
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a trace needs to work out any value: each layer's basis, the last residual [T, M]."""

    layers: tuple[LayerBasis, ...]
    last: Tensor

    @property
    def n_bytes(self) -> int:
        """How much memory it takes."""
        last = self.last.numel() * self.last.element_size()
        return last + sum(layer.n_bytes for layer in self.layers)


def make_basis(
    decoder: Decoder, token_ids: Tensor, tap: Tap = untouched, *, wanted: Collection[str] = ()
) -> Basis:
    """Run the blocks over a sentence and hold what is needed to work out the rest later.

    Args:
        decoder: the model.
        token_ids: [T] int64.
        tap: called for every point before the exit; for those of the scores' shape only where
            they are `wanted`.
        wanted: full names.
    """
    residual = word_vectors(decoder, token_ids, tap)  # [T, M]
    layers = []
    for number, block in enumerate(decoder.blocks):
        assert isinstance(block, Block)
        used: list[Tensor] = []
        maps = [name for name in MAPS if f"blocks.{number}.{name}" in wanted]

        def attend(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            tap: Tap,
            layer: int = number,
            used: list[Tensor] = used,
            maps: list[str] = maps,
        ) -> Tensor:
            used.extend(part.contiguous() for part in (query, key, value))
            return in_groups(query, key, value, decoder.config, layer, tap, maps=maps)

        entering = residual
        residual = run_block(
            block, residual, decoder.config, number, within(number, tap), attend=attend
        )
        query, key, value = used
        layers.append(
            LayerBasis(residual_pre=entering, query_used=query, key_used=key, value=value)
        )
    return Basis(layers=tuple(layers), last=residual)


def in_groups(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    config: ModelConfig,
    layer: int,
    tap: Tap,
    *,
    maps: Collection[str] = (),
) -> Tensor:
    """`look_back` for a few heads at a time, so that little memory is needed.

    Args:
        query, key, value, config, layer: as for `look_back`.
        tap: called for context, and for the values of the scores' shape that `maps` names.
        maps: points of a block, of `MAPS`.
    """
    heads, sharing = len(query), len(query) // len(key)
    size = max(1, GROUP_BYTES // max(1, 4 * query.shape[1] * key.shape[1]))
    parts: dict[str, list[Tensor]] = {name: [] for name in (*maps, "attention.context")}

    def collect(name: str, part: Tensor) -> Tensor:
        if name in parts:
            parts[name].append(part)
        return part

    for first in range(0, heads, size):
        group = torch.arange(first, min(first + size, heads), device=query.device)
        shared = group // sharing
        look_back(query[group], key[shared], value[shared], config, layer, collect)
    for name in maps:
        tap(name, torch.cat(parts[name]))  # [H, T, S]
    return tap("attention.context", torch.cat(parts["attention.context"]))  # [H, T, D]


def block_rows(
    block: Block,
    config: ModelConfig,
    layer: int,
    residual_pre: Tensor,
    places: Tensor,
    key_used: Tensor,
    value: Tensor,
    tap: Tap,
) -> Tensor:
    """One block for some positions, which look back on keys and values already known.

    Args:
        block, config, layer: whose weights, the model's settings, the block's number.
        residual_pre: [t, M], what enters at these positions.
        places: [t], the positions.
        key_used, value: [K, S, D], of all positions.
        tap: called by the names of the points of a block; keys and values are those of the
            positions.

    Returns:
        [t, M], what leaves.
    """

    def attend(query: Tensor, _: Tensor, __: Tensor, tap: Tap) -> Tensor:
        return look_back(query, key_used, value, config, layer, tap, places=places)

    return run_block(block, residual_pre, config, layer, tap, places=places, attend=attend)


def whole_value(
    block: Block, config: ModelConfig, layer: int, basis: LayerBasis, name: str
) -> Tensor:
    """A value of one block at all positions, by its short name."""
    used = "_rotated" if config.position == "rotary" else "_norm" if config.query_key_norm else ""
    held = {
        "residual_pre": basis.residual_pre,
        f"attention.query{used}": basis.query_used,
        f"attention.key{used}": basis.key_used,
        "attention.value": basis.value,
    }
    if name in held:
        return held[name]

    def attend(query: Tensor, key: Tensor, value: Tensor, tap: Tap) -> Tensor:
        maps = [name] if name in MAPS else []
        return in_groups(query, key, value, config, layer, tap, maps=maps)

    found: dict[str, Tensor] = {}
    keep = partial(kept, found, (name,))
    run_block(block, basis.residual_pre, config, layer, keep, attend=attend)
    return found[name]


def kept(found: dict[str, Tensor], names: Collection[str], name: str, value: Tensor) -> Tensor:
    """A tap that puts the values of these names into `found`."""
    if name in names:
        found[name] = value
    return value


def look_back_of(
    basis: LayerBasis, config: ModelConfig, layer: int, heads: Sequence[int], name: str
) -> Tensor:
    """One value of the attention of some heads: `name` of the scores' shape, [h, T, S]."""
    group = torch.tensor(list(heads), device=basis.value.device)
    shared = group // (config.n_heads // config.kv_heads)
    found: dict[str, Tensor] = {}
    look_back(
        basis.query_used[group], basis.key_used[shared], basis.value[shared], config, layer,
        partial(kept, found, (name,)),
    )  # fmt: skip
    return found[name]
