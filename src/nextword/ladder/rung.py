"""What a rung of the ladder is: one change, and the words for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nextword.config import Precision


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of the ladder.

    Attributes:
        key: its name for programs and for `--rungs`.
        name: its name for people.
        not_nice: what is amiss on the rung before, to be read after "But wait,"; empty for the
            first, which is the article's own.
        mend: what mends it, to be read after "So,"; of the first, what it does.
        was, now: the formulas that change, before and after.
        beside: what comes with it because it cannot be had without; empty: nothing.
        model, training: the settings that change, of ModelConfig and TrainingConfig.
        sizes: settings of ModelConfig that from here on have the ladder's size, and were 1.
        fast_in: only where products are faster in this precision, bfloat16 or int16; None: always.
    """

    key: str
    name: str
    not_nice: str
    mend: str
    was: tuple[str, ...] = ()
    now: tuple[str, ...]
    beside: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[str, ...] = ()
    fast_in: Precision | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of everything that it changes."""
        return (*self.model, *self.sizes, *self.training)
