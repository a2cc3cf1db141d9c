"""The words that corrections want, all side by side: how likely they are, and how wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nextword.hardware import adaptive_threads
from nextword.model.decoder import Decoder
from nextword.teach.edit.correction import Correction

ROWS = 64  # sequences that are looked at together where nothing is learned


@dataclass(frozen=True)
class Look:
    """What a decoder says of the N targets of some corrections.

    Attributes:
        losses: [N], -log of each right word's probability, in nats.
        right: [N] bool, whether it is the most likely one; of equals the lowest id is.
        rows: [N], the number of each one's correction.
    """

    losses: Tensor
    right: Tensor
    rows: Tensor

    def good(self, margin: float) -> bool:
        """Whether every target is the most likely word, and as likely as the margin asks."""
        least = torch.exp(-self.losses.detach().max())
        return bool(self.right.all()) and float(least) >= margin

    def missed(self) -> list[int]:
        """The corrections of which a target is not the most likely word."""
        return sorted(set(self.rows[~self.right].tolist()))


@adaptive_threads()
def look(decoder: Decoder, corrections: Sequence[Correction]) -> Look:
    """What a decoder says of every target, in order; differentiable."""
    longest = max(len(item.ids) for item in corrections) - 1
    tokens = torch.zeros(len(corrections), longest, dtype=torch.int64)  # 0 on the right is not seen
    rows: list[int] = []
    places: list[int] = []
    wanted: list[int] = []
    for row, item in enumerate(corrections):
        tokens[row, : len(item.ids) - 1] = torch.tensor(item.ids[:-1])
        rows += [row] * len(item.learned)
        places += item.learned
        wanted += item.targets
    device = decoder.device
    right = torch.tensor(wanted, device=device)
    logits = decoder(tokens.to(device))[rows, places].float()  # [N, V]
    likely = logits.log_softmax(dim=-1)
    return Look(
        losses=-likely.gather(1, right.unsqueeze(1))[:, 0],
        right=likely.detach().argmax(dim=-1) == right,
        rows=torch.tensor(rows, device=device),
    )


@adaptive_threads()
@torch.no_grad()
def misses(decoder: Decoder, corrections: Sequence[Correction]) -> set[Correction]:
    """Those of many corrections that do not hold."""
    found: set[Correction] = set()
    for first in range(0, len(corrections), ROWS):
        part = corrections[first : first + ROWS]
        found |= {part[row] for row in look(decoder, part).missed()}
    return found


def pulled(looked: Look, *, until: float) -> Tensor:
    """The sum of the losses of those targets that are less likely than `until`, or not right."""
    open = (looked.losses.detach() > -torch.tensor(until).log()) | ~looked.right
    return (looked.losses * open).sum()
