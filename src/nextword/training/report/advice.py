"""One line of advice at the end of a run: the first row of a table whose condition holds.

docs/advice.md shows the table; a test holds the two together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

ENOUGH_GIVEN = 0.99  # of the given replies are exact
ENOUGH_PHRASINGS = 0.8  # of other phrasings are answered right
MUCH_SHARED = 0.5  # of the held-out documents
FEW_TOKENS = 500  # held out; with fewer the loss says little
ENOUGH_EXACT = 0.95  # of the replies are the data's
RISE = 0.02  # of the held-out loss over its lowest value in the run
WIDE, NARROW = 0.10, 0.05  # gap: by how much the held-out loss is above the training loss
LEAST_GAP = 0.05  # nats per token; smaller ones are not wide, however low the losses
COPIES = 0.20  # of the outputs stand in the training text, above those of real text
ENOUGH_STOPPED = 0.90  # of the replies end by themselves
ENOUGH_TOKENS = 20.0  # learned from, for each parameter (arXiv 2203.15556)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the advice follows from.

    Attributes:
        n_held_out: tokens that the held-out loss was measured on; 0: nothing is held out.
        held_out_loss, training_loss: nats per token, measured in the same way.
        copied, usual: shares of outputs, and of real text, that stand in the training text.
        exact, stopped: shares of replies that are the data's, and that ended; None for text.
        per_parameter: tokens learned from for each parameter, repetitions counted.
        given, given_ended: shares of the given replies that are exact, and of those generated that
            ended; None unless the aim is to answer and there were some to measure.
        n_too_long, n_contradictory: given replies that cannot be exact, and are not in `given`.
        n_no_room: replies that could not be measured because the context has no room for them;
            0 where any could.
        n_shared, n_compared: held-out documents that stand in training too, and all of them.
        n_phrasings, phrasings: other phrasings that were asked, and the share answered right.
        minutes_needed: about how many would suffice, where the time did not.
        lowest_at: the step at which the held-out loss was lowest.
        rise: from there to the last time it was measured on the way, as a share.
    """

    n_held_out: int
    held_out_loss: float = 0.0
    training_loss: float = 0.0
    copied: float = 0.0
    usual: float = 0.0
    exact: float | None = None
    stopped: float | None = None
    per_parameter: float = 0.0
    given: float | None = None
    given_ended: float | None = None
    n_too_long: int = 0
    n_contradictory: int = 0
    n_no_room: int = 0
    n_shared: int = 0
    n_compared: int = 0
    n_phrasings: int = 0
    phrasings: float = 0.0
    minutes_needed: float | None = None
    lowest_at: int = 0
    rise: float = 0.0

    @property
    def gap(self) -> float:
        """The share by which the held-out loss is above the training loss."""
        return self.held_out_loss / max(self.training_loss, 1e-9) - 1

    @property
    def wide(self) -> bool:
        """Whether it does much better on what it has seen."""
        return self.gap > WIDE and self.held_out_loss - self.training_loss > LEAST_GAP

    @property
    def copies(self) -> bool:
        """Whether it repeats the training text more than real text does."""
        return self.copied - self.usual > COPIES


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    when: str
    advice: str
    holds: Callable[[Numbers], bool]
    because: Callable[[Numbers], str]


def _gap(numbers: Numbers) -> str:
    side = "above" if numbers.gap >= 0 else "below"
    return f"the held-out loss is {abs(numbers.gap):.1%} {side} the training loss"


def _copies(numbers: Numbers) -> str:
    return (
        f"{numbers.copied:.0%} of its outputs stand word for word in the training text, of real "
        f"text {numbers.usual:.0%}"
    )


def _minutes(numbers: Numbers) -> str:
    learned = f"{numbers.given or 0.0:.1%} of the given replies are as given"
    if numbers.minutes_needed is None:
        return learned
    return f"{learned}; about {math.ceil(numbers.minutes_needed)} minutes would suffice for all"


TABLE = (
    Row(
        "no reply could be measured, because none fits into the context",
        "a longer context (--context)",
        lambda n: n.n_no_room > 0,
        lambda n: f"none of {n.n_no_room:,} replies fits into it after its prompt",
    ),
    Row(
        "no reply could be measured, because every prompt stands with several",
        "one reply to each prompt in the data",
        lambda n: n.given is None and n.n_contradictory > 0,
        lambda n: f"{n.n_contradictory:,} replies stand after prompts that have others, too",
    ),
    Row(
        "the aim is to answer, and fewer than 99 % of the given replies are as given",
        "more time (--minutes, --steps)",
        lambda n: n.given is not None and n.given < ENOUGH_GIVEN,
        _minutes,
    ),
    Row(
        "the aim is to answer, and some replies do not fit into the context",
        "a longer context (--context)",
        lambda n: n.given is not None and n.n_too_long > 0,
        lambda n: f"{n.n_too_long:,} replies do not fit into it",
    ),
    Row(
        "the aim is to answer, and fewer than 80 % of other phrasings are answered right",
        "more phrasings of each prompt in the data",
        lambda n: n.given is not None and n.n_phrasings > 0 and n.phrasings < ENOUGH_PHRASINGS,
        lambda n: f"{n.phrasings:.0%} of {n.n_phrasings:,} other phrasings were answered right",
    ),
    Row(
        "the aim is to answer",
        "nothing to mend",
        lambda n: n.given is not None,
        lambda n: f"{n.given:.1%} of the given replies are as given",
    ),
    Row(
        "nothing was held out",
        "hold something out (--held-out 0.1, or more different dialogues)",
        lambda n: not n.n_held_out,
        lambda n: "nobody can tell what it learned from what it repeats",
    ),
    Row(
        "at least half of what was held out stands in training, too",
        "other data to evaluate on (--held-out FILE)",
        lambda n: n.n_shared > 0 and n.n_shared >= MUCH_SHARED * n.n_compared,
        lambda n: (
            f"{n.n_shared:,} of {n.n_compared:,} held-out documents stand in training, too, so "
            "nobody can tell what it learned from what it repeats"
        ),
    ),
    Row(
        "fewer than 500 tokens were held out",
        "more to evaluate on (--held-out, or more data)",
        lambda n: n.n_held_out < FEW_TOKENS,
        lambda n: f"only {n.n_held_out:,} tokens were held out, too few to judge by",
    ),
    Row(
        "at least 95 % of the replies are word for word the data's",
        "nothing to mend",
        lambda n: n.exact is not None and n.exact >= ENOUGH_EXACT,
        lambda n: f"{n.exact:.0%} of the replies are word for word the data's",
    ),
    Row(
        "the held-out loss rose again by more than 2 %",
        "fewer steps (--steps, --minutes)",
        lambda n: n.rise > RISE,
        lambda n: (
            f"the held-out loss was lowest after step {n.lowest_at:,} and has risen by "
            f"{n.rise:.1%} since"
        ),
    ),
    Row(
        "the gap is wide, and it copies",
        "a smaller model (--depth, --width)",
        lambda n: n.wide and n.copies,
        lambda n: f"it has room to learn the text by heart: {_gap(n)}, and {_copies(n)}",
    ),
    Row(
        "the gap is wide",
        "more data",
        lambda n: n.wide,
        _gap,
    ),
    Row(
        "it copies",
        "more data",
        lambda n: n.copies,
        _copies,
    ),
    Row(
        "fewer than 90 % of the replies end by themselves",
        "more steps (--steps, --minutes)",
        lambda n: n.stopped is not None and n.stopped < ENOUGH_STOPPED,
        lambda n: f"only {n.stopped:.0%} of the replies end by themselves",
    ),
    Row(
        "the gap is narrow, and it learned from fewer than 20 tokens for each parameter",
        "more steps (--steps, --minutes)",
        lambda n: n.gap < NARROW and n.per_parameter < ENOUGH_TOKENS,
        lambda n: f"it learned from only {n.per_parameter:.1f} tokens for each parameter",
    ),
    Row(
        "the gap is narrow",
        "a larger model (--depth, --width)",
        lambda n: n.gap < NARROW,
        lambda n: f"after {n.per_parameter:.0f} tokens for each parameter {_gap(n)}",
    ),
    Row(
        "none of these",
        "nothing to mend",
        lambda n: True,
        _gap,
    ),
)


def advise(numbers: Numbers) -> str:
    """The advice and its grounds, in one line without a full stop."""
    row = next(row for row in TABLE if row.holds(numbers))
    return f"{row.advice}: {row.because(numbers)}"
