"""The settings of a lesson. Their defaults were measured (docs/lab-log.md)."""

import math
from dataclasses import dataclass
from typing import Literal

from nextword.validation import above, at_least, check_choices, check_seed, within

Scope = Literal["auto", "all", "last", "adapter"]
Positions = Literal["wrong", "all"]

ADAPTER_ABOVE = 200_000_000  # parameters; of a larger model "auto" teaches an adapter
AUTO_SCOPE: Scope = "all"  # of any other
RATES: dict[Scope, float] = {"all": 0.01, "last": 0.01, "adapter": 0.003}
CLIP = 3.0  # the longest that the gradient of all taught weights may be


@dataclass(frozen=True, kw_only=True)
class TeachingConfig:
    """How a lesson goes, and what it may not do."""

    scope: Scope = "auto"  # which weights may change; auto: adapter for a large model, else all
    last_layers: int = 2  # of scope "last"; the final norm and the unembedding belong to it
    rank: int = 8  # of scope "adapter": on every matrix of the blocks
    positions: Positions = "wrong"  # learn only from targets not yet good, or from all of them
    margin: float = 0.5  # probability that every target must reach, besides being the most likely
    learning_rate: float = 0.0  # 0: the scope's own
    rehearsal_weight: float = 300.0  # of staying as before on the rehearsal; 0: not in the loss
    rehearsal_batch: int = 16  # sequences of the rehearsal per step
    largest_kl: float = 0.02  # nats per position that the rehearsal's predictions may move
    steps: int = 200  # at most so many
    seconds: float = 60.0  # at most so long
    judge_all: bool = False  # compare all replies elsewhere, not a sample of about ten seconds
    judged_tokens: int = 4096  # of rehearsal and held-out text each, to judge what else changed
    seed: int = 0  # of which rehearsal sequences come when

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("last_layers", "rank", "rehearsal_batch", "steps", "judged_tokens"):
            at_least(self, name, 1)
        within(self, "margin", 0, 1, below=True)
        within(self, "learning_rate", 0, math.inf, below=True)
        within(self, "rehearsal_weight", 0, math.inf, below=True)
        above(self, "largest_kl", 0)
        above(self, "seconds", 0)
        check_seed(self.seed)
