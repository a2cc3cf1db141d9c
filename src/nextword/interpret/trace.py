"""One forward, remembered: look values up by name, in whole or for one position.

A trace holds what it was asked to keep, and always the basis (`rows.py`), from which every other
value is worked out when it is asked for. So a long sentence's attention is never held as a whole.
"""

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor

from nextword.config import ModelConfig
from nextword.errors import ConfigError, unknown
from nextword.interpret.attention_overview import Overview, make_overview
from nextword.interpret.explained_numbers import make_equation
from nextword.interpret.explained_terms import Equation
from nextword.interpret.logit_attribution import Account, make_account
from nextword.interpret.logit_gradients import gradients
from nextword.interpret.logit_lens import Lens, make_lens
from nextword.interpret.narration import Narration, narrate
from nextword.interpret.next_token_probabilities import NextWords, make_next_words
from nextword.interpret.points import (
    ENTRY,
    EXIT,
    check_place,
    check_point,
    matching_names,
    points_of,
    split_name,
)  # fmt: skip
from nextword.interpret.recompute import MAPS, Basis, block_rows, kept, look_back_of, whole_value
from nextword.interpret.reference import read_off, softmax, word_vectors
from nextword.interpret.verdicts import TOP, Verdicts, verdicts_of
from nextword.model.decoder import Block, Decoder
from nextword.model.fingerprint import stamp_of

WHOLE_BYTES = 256 * 2**20  # of a value worked out as a whole
_EXIT = tuple(point.name for point in EXIT)
_ENTRY = tuple(point.name for point in ENTRY)
UNDER_AN_EDIT = (
    "this trace was made under an edit; only what it keeps, its verdicts and the chain can be "
    "seen: name what you need in keep, or trace the text outside of the edit"
)
CHANGED = "the weights have changed since this trace was made; trace the text again"


class Trace:
    """The values of one forward by stable name; `trace["blocks.0.attention.query"]`.

    Attributes:
        decoder: the model, and `config` its settings.
        token_ids: the sentence, [T].
        name: what a token is called, and `tokens` the names of the sentence's.
        sharing: so many heads share one key/value head.
        values: name → value of what is kept, float32, in the order in which they were computed.
        heads: the heads that kept values with an axis of heads hold; None: all.
        fast_difference: the largest difference between the logits here and the fast decoder's;
            for a long text with a large vocabulary, at the last position; None under an edit.
    """

    def __init__(
        self,
        decoder: Decoder,
        token_ids: Tensor,
        values: dict[str, Tensor],
        *,
        name: Callable[[int], str] = str,
        basis: Basis | None,
        heads: tuple[int, ...] | None = None,
        fast_difference: float | None = None,
    ) -> None:
        self.decoder = decoder
        self.config: ModelConfig = decoder.config
        self.token_ids = token_ids
        self.name = name
        self.tokens = tuple(name(token_id) for token_id in token_ids.tolist())
        self.values = values
        self.heads = heads
        self.fast_difference = fast_difference
        self._held = basis
        self._stamp = stamp_of(decoder)
        self._points = points_of(decoder.config)
        self.sharing = decoder.config.n_heads // decoder.config.kv_heads

    @property
    def n_bytes(self) -> int:
        """The memory that kept values and the basis take."""
        held = 0 if self._held is None else self._held.n_bytes
        return held + sum(value.numel() * value.element_size() for value in self.values.values())

    @property
    def basis(self) -> Basis:
        """What everything else is worked out from.

        Raises:
            ConfigError: the trace was made under an edit, or the weights have changed since.
        """
        if self._held is None:
            raise ConfigError(UNDER_AN_EDIT)
        if stamp_of(self.decoder) != self._stamp:
            raise ConfigError(CHANGED)
        return self._held

    def __contains__(self, name: object) -> bool:
        """Whether the model has this point."""
        return name in self._points

    def __getitem__(self, name: str) -> Tensor:
        """A whole value by name, kept or worked out.

        Args:
            name: of a point; with `*`, the values of all that match, stacked in a new first axis:
                those that are kept, or where none is, all of the model's.

        Raises:
            ConfigError: the model has no such point (the message has the nearest); or the value is
                not kept, and too large to be worked out as a whole, or no longer can be (`basis`).
        """
        if name in self.values:
            return self.values[name]
        names = matching_names(name, self._points)
        hits = [hit for hit in names if hit in self.values] or names
        self._check_size(name, [hit for hit in hits if hit not in self.values])
        found = [self.values[hit] if hit in self.values else self._whole(hit) for hit in hits]
        return torch.stack(found) if "*" in name else found[0]

    def _check_size(self, name: str, names: Collection[str]) -> None:
        tokens = len(self.token_ids)
        size = sum(4 * math.prod(self._points[hit].sizes(self.config, tokens)) for hit in names)
        if size > WHOLE_BYTES:
            raise ConfigError(
                f"{name} has {size / 2**20:.0f} MiB, and at most {WHOLE_BYTES // 2**20} MiB are "
                "worked out as a whole; ask for a row, or the map of one head"
            )

    @torch.no_grad()
    def _whole(self, name: str) -> Tensor:
        """A value that is not kept, at all positions."""
        found: dict[str, Tensor] = {}
        keep = partial(kept, found, (name,))
        if name in _ENTRY:
            _ = self.basis  # refused where the weights have changed
            word_vectors(self.decoder, self.token_ids, keep)
        elif name in _EXIT:
            self._exit(self.basis.last, keep)
        else:
            layer, short = split_name(name)
            block, basis = self.block(layer), self.basis.layers[layer]
            return whole_value(block, self.config, layer, basis, short)
        return found[name]

    def _exit(self, residual: Tensor, tap: Callable[[str, Tensor], Tensor]) -> None:
        tap("probabilities", softmax(read_off(self.decoder, residual, tap)))

    def block(self, layer: int) -> Block:
        """The block of a layer."""
        return cast(Block, self.decoder.blocks[layer])

    def residual_at(self, layer: int) -> Tensor:
        """What enters a layer, [T, M]; for `n_layers`, what leaves the last one."""
        basis = self.basis
        return basis.last if layer == len(basis.layers) else basis.layers[layer].residual_pre

    def row(self, name: str, position: int, *, head: int | None = None) -> Tensor:
        """A value at one position: the point's shape without T (for keys and values without S).

        Args:
            name: of a point.
            position: from 0, or from the end when below 0.
            head: of a value with an axis of heads, only this one's; of keys and values, those
                that this head uses.

        Raises:
            ConfigError: there is no such point, position or head; or the value is not kept and can
                no longer be worked out (`basis`).
        """
        check_point(name, self._points)
        position = check_place("position", position, len(self.token_ids))
        letter = self._points[name].shape[0]
        row = self._row(name, position, letter)
        if head is None:
            return row
        if letter not in "HK":
            raise ConfigError(f"{name} has no heads: leave head out")
        head = check_place("head", head, self.config.n_heads)
        return row[head // self.sharing if letter == "K" else head]

    def _row(self, name: str, position: int, letter: str) -> Tensor:
        if name in self.values and (self.heads is None or letter != "H"):
            return self.values[name].select(1 if letter in "HK" else 0, position)
        if name in _ENTRY:
            return self._whole(name)[position]
        if name in _EXIT:
            found: dict[str, Tensor] = {}
            with torch.no_grad():
                self._exit(self.basis.last[position : position + 1], partial(kept, found, (name,)))
            return found[name][0]
        layer, short = split_name(name)
        return self.rows(layer, position)[short]

    def rows(self, layer: int, position: int) -> dict[str, Tensor]:
        """Every value of a layer at one position, by short name (`attention.query`, …)."""
        layer = check_place("layer", layer, self.config.n_layers)
        position = check_place("position", position, len(self.token_ids))
        found = self.rows_at(layer, [position])
        return {
            name: value.squeeze(1 if self._points[f"blocks.{layer}.{name}"].shape[0] in "HK" else 0)
            for name, value in found.items()
        }

    @torch.no_grad()
    def rows_at(self, layer: int, positions: Sequence[int]) -> dict[str, Tensor]:
        """The same for t positions, T being t in their shapes."""
        found: dict[str, Tensor] = {}
        basis = self.basis.layers[layer]
        places = torch.tensor(list(positions), device=self.token_ids.device)  # [t]
        block_rows(
            self.block(layer), self.config, layer, basis.residual_pre[places], places,
            basis.key_used, basis.value, found.setdefault,
        )  # fmt: skip
        return found

    @torch.no_grad()
    def head_map(self, layer: int, head: int, *, name: str = "attention_weights") -> Tensor:
        """The values of one head for all pairs of words, [T, S].

        Args:
            layer, head: from 0, or from the end when below 0.
            name: `scores`, `scaled_scores`, `masked_scores` or `attention_weights`.

        Raises:
            ConfigError: there is no such layer, head or value.
        """
        layer = check_place("layer", layer, self.config.n_layers)
        head = check_place("head", head, self.config.n_heads)
        allowed = [
            short.removeprefix("attention.") for short in MAPS if f"blocks.{layer}.{short}" in self
        ]
        if name not in allowed:
            raise ConfigError(unknown("value of a head", name, allowed))
        basis = self.basis.layers[layer]
        return look_back_of(basis, self.config, layer, [head], f"attention.{name}")[0]

    def past(self, layer: int, head: int) -> dict[str, Tensor]:
        """What a head looks back on: `key` as it was made, `key_used`, and `value`, [S, D] each."""
        layer = check_place("layer", layer, self.config.n_layers)
        head = check_place("head", head, self.config.n_heads)
        basis, shared = self.basis.layers[layer], head // self.sharing
        key = self[f"blocks.{layer}.attention.key"][shared]
        return {"key": key, "key_used": basis.key_used[shared], "value": basis.value[shared]}

    @torch.no_grad()
    def logits(self, positions: Sequence[int] | slice) -> Tensor:
        """The logits at some positions, [t, V]."""
        if isinstance(positions, slice):
            positions = range(*positions.indices(len(self.token_ids)))
        places = [check_place("position", place, len(self.token_ids)) for place in positions]
        if "logits" in self.values:
            return self.values["logits"][places]
        return read_off(self.decoder, self.basis.last[places])

    def account(
        self, position: int = -1, token: int | None = None, against: int | None = None
    ) -> Account:
        """A logit as a sum of named contributions; see `make_account`."""
        return make_account(self, position, token=token, against=against)

    def narrate(self, position: int = -1) -> Narration:
        """The account of a position in plain sentences."""
        return narrate(self, position)

    def lens(self, positions: Sequence[int] | None = None, *, top: int = 1) -> Lens:
        """The next word as it would be read off at each stage; see `make_lens`."""
        return make_lens(self, positions, top=top)

    def gradients(
        self,
        names: Sequence[str],
        *,
        position: int = -1,
        token: int | None = None,
        against: int | None = None,
    ) -> dict[str, Tensor]:
        """How a logit changes with each number of a value; see `gradients.gradients`."""
        return gradients(self, names, position=position, token=token, against=against)

    def equation(self, name: str, index: Sequence[int]) -> Equation:
        """How one number comes about; see `make_equation`."""
        return make_equation(self, name, index)

    def overview(self, *, size: int = 48) -> Overview:
        """Every head of every layer as a small picture and three numbers; see `make_overview`."""
        return make_overview(self, size=size)

    def next_words(
        self, position: int = -1, *, top: int = 10, token: int | None = None
    ) -> NextWords:
        """From the logits to the probabilities of the next word; see `make_next_words`."""
        return make_next_words(self, position, top=top, token=token)

    def verdicts(self, *, top: int = TOP) -> Verdicts:
        """What was predicted at every position, and whether it was right."""
        return verdicts_of(self, top=top)
