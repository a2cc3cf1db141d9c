"""What a person asks for when they climb the ladder."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextword.errors import ConfigError
from nextword.ladder.rungs import choose
from nextword.training.request import TrainRequest
from nextword.validation import above, at_least

HELD_OUT_SHARE = 0.1
TEXT_CONTEXT = 64  # tokens: the time is short, and a short context learns faster at first


@dataclass(frozen=True, kw_only=True)
class LadderRequest:
    """One ladder, on one person's data.

    Attributes:
        data: files, folders, or names of bundled data.
        out: the folder for results and for what a later start goes on from.
        seconds: how long each rung learns, per seed.
        seeds: how many times the ladder is climbed, each with first weights and order of its own.
        width: d_model of every rung.
        layers, heads: from the rungs on that bring them.
        context: tokens that the models can look back on; None: what suits dialogues, and
            TEXT_CONTEXT for plain text.
        batch: sequences per step; None: about BATCH_TOKENS tokens.
        tokenizer: "characters", "words", "bpe", or a folder that has one.
        rungs: keys of those to climb; None: all. Each holds what is below it, climbed or not.
        device: "auto", "cpu", "cuda" or "mps".
        skip_bad: pass over broken lines.
    """

    data: tuple[str, ...]
    out: Path
    seconds: float = 20.0
    seeds: int = 3
    width: int = 96
    layers: int = 3
    heads: int = 4
    context: int | None = None
    batch: int | None = None
    tokenizer: str = "characters"
    rungs: tuple[str, ...] | None = None
    device: str = "auto"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        above(self, "seconds", 0)
        for name in ("seeds", "layers", "heads"):
            at_least(self, name, 1)
        if self.batch is not None:
            at_least(self, "batch", 1)
        if self.width < 1 or self.width % (2 * self.heads):
            raise ConfigError(
                f"width {self.width} is not a multiple of 2 × heads = {2 * self.heads}; every head "
                "takes an equal and even part of it. Change --width or --heads"
            )
        choose(self.rungs)

    @property
    def sizes(self) -> dict[str, int]:
        """What the settings become that a rung brings to the ladder's size."""
        return {"n_heads": self.heads, "n_layers": self.layers}

    def preparing(self, *, is_dialogue: bool) -> TrainRequest:
        """The request for the data that every rung shares: one tokenizer, one part held out."""
        context = self.context or (None if is_dialogue else TEXT_CONTEXT)
        return TrainRequest(
            data=self.data,
            out=self.out,
            context=context,
            tokenizer=self.tokenizer,
            held_out=HELD_OUT_SHARE,
            aim="generalize",
            skip_bad=self.skip_bad,
        )

    def settings(self) -> dict[str, Any]:
        """What another start must agree with to go on: all but places, and how much is climbed."""
        values = dataclasses.asdict(self)
        for name in ("data", "out", "rungs", "seeds"):
            del values[name]
        return values
