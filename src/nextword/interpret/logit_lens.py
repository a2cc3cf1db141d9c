"""The next word as it would be read off after each layer (the logit lens): approximate.

The last norm and the fully connected layer were learned for the last residual; read off earlier
ones, they only tell roughly where the model is heading.
Source: nostalgebraist, "interpreting GPT: the logit lens", 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nextword.errors import ConfigError, LossError
from nextword.interpret.points import check_place, check_top
from nextword.interpret.reference import read_off, softmax
from nextword.interpret.verdicts import NOT_FINITE, Guess, most_likely

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace

MOST = 32  # positions in one call


@dataclass(frozen=True, kw_only=True)
class LensCell:
    """What would be predicted at one stage of one position.

    Attributes:
        guesses: the most likely words, best first.
        actual: the probability of the word that came; None where none has come.
    """

    guesses: tuple[Guess, ...]
    actual: float | None


@dataclass(frozen=True, kw_only=True)
class Lens:
    """The cells of all stages [stage][position], and which those are."""

    stages: tuple[str, ...]
    positions: tuple[int, ...]
    cells: tuple[tuple[LensCell, ...], ...]


@torch.no_grad()
def make_lens(trace: "Trace", positions: Sequence[int] | None = None, *, top: int = 1) -> Lens:
    """Read the next word off the residual at each stage of the forward; approximate.

    Args:
        trace: of the sentence.
        positions: from 0, or from the end when below 0; None: the last.
        top: how many words to name.

    Raises:
        ConfigError: no such position, more than 32 of them, or top below 1.
        LossError: the numbers are not finite.
    """
    check_top(top)
    places = [
        check_place("position", place, len(trace.token_ids))
        for place in ([-1] if positions is None else positions)
    ]
    if len(places) > MOST:
        raise ConfigError(f"{len(places)} positions are asked for; at most {MOST} at a time")
    stages, cells = [], []
    for stage, residual in _stages(trace, places):
        shares = softmax(read_off(trace.decoder, residual))  # [t, V]
        if shares.isnan().any():
            raise LossError(NOT_FINITE)
        stages.append(stage)
        pairs = zip(shares, places, strict=True)
        cells.append(tuple(_cell(trace, row, place, top) for row, place in pairs))
    return Lens(stages=tuple(stages), positions=tuple(places), cells=tuple(cells))


def _stages(trace: "Trace", places: list[int]) -> list[tuple[str, Tensor]]:
    """The residual at each stage, [t, M], with the stage's name."""
    found = [("residual", trace.residual_at(0)[places])]
    for layer in range(trace.config.n_layers):
        rows = trace.rows_at(layer, places)
        for part in ("residual_mid", "residual_post"):
            found.append((f"blocks.{layer}.{part}", rows[part]))
    return found


def _cell(trace: "Trace", row: Tensor, position: int, top: int) -> LensCell:
    guesses = tuple(
        Guess(token_id=token_id, token=trace.name(token_id), probability=row[token_id].item())
        for token_id in most_likely(row, top)
    )
    actual = None
    if position + 1 < len(trace.token_ids):
        actual = row[trace.token_ids[position + 1]].item()
    return LensCell(guesses=guesses, actual=actual)
