"""A clock and values for tests of what a run tells."""

import math

from nextword.evaluate.metrics import Scores, Update


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def update(step: int, *, steps: int = 1000, loss: float = 2.5) -> Update:
    return Update(
        step=step,
        steps=steps,
        loss=loss,
        learning_rate=0.003,
        tokens_per_second=48211.3,
        peak_share=0.43,
        seconds_left=83.2,
        gradient_norm=0.7312,
    )


def scores(loss: float = 2.0, *, bits: float | None = 1.234) -> Scores:
    return Scores(
        loss=loss, perplexity=math.exp(loss), bits_per_byte=bits, top1=0.46, top5=0.713, n_tokens=31
    )
