"""What a training run measures: at a step, and on text held out from it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Update:
    """How training goes at one step."""

    step: int  # steps done, 1 … steps
    steps: int
    loss: float  # nats per token, of this step's batch
    learning_rate: float
    tokens_per_second: float
    peak_share: float | None  # 0 … 1 of the machine's matrix peak; None: not measured
    seconds_left: float | None  # None: after too few steps to tell
    gradient_norm: float  # before clipping


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a decoder predicts the tokens of a text."""

    loss: float  # nats per token
    perplexity: float  # e to the loss
    bits_per_byte: float | None  # per UTF-8 byte of the text; None where it has no bytes of its own
    top1: float  # share, 0 … 1, of tokens that were the most probable one
    top5: float  # share of tokens among the five most probable
    n_tokens: int  # how many were predicted
