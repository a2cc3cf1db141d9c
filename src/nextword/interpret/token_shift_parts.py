"""What token shift mixes into a word, taken apart by the word that it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier word: its position, how far back it is, its share and own vector, [M] each."""

    source: int
    back: int
    share: Tensor
    vector: Tensor


def earlier_words(trace: "Trace", position: int) -> Iterator[Earlier]:
    """The words whose own vectors token shift mixes into the one at `position`, nearest first."""
    shift = trace.decoder.token_shift
    if shift is None:
        return
    for back, share in enumerate(shift.weight.detach().float()[:position], start=1):
        source = position - back
        vector = trace.row("token_embedding", source)
        yield Earlier(source=source, back=back, share=share, vector=vector)
