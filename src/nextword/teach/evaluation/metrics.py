"""What a lesson measures: its steps, its targets before and after, and what else moved."""

from dataclasses import dataclass
from typing import Literal

from nextword.interpret.contributions import Contribution

Outcome = Literal["learned", "already", "steps", "seconds", "stopped", "kl", "not_finite"]
SUCCESS: tuple[Outcome, ...] = ("learned", "already")


@dataclass(frozen=True, kw_only=True)
class TeachingStep:
    """Where a lesson stands after a step; step 0 is before any change.

    Attributes:
        seconds: since the lesson's first step began.
        loss: the mean of -log p(right word) over all targets, in nats.
        rehearsal_kl: how far this step's rehearsal moved, nats per position.
        probabilities: of the targets, in order; of more than 64 only the 64 least likely.
        least: the smallest of all.
        n_right: targets that are the most likely word.
    """

    step: int
    seconds: float
    loss: float
    rehearsal_kl: float
    probabilities: tuple[float, ...]
    least: float
    n_right: int
    n_targets: int


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A step as it is kept; see `TeachingStep`."""

    step: int
    seconds: float
    loss: float
    least: float
    rehearsal_kl: float


@dataclass(frozen=True, kw_only=True)
class Side:
    """What the model said at one target, before or after the lesson.

    Attributes:
        probability, rank, loss: of the right word.
        predicted_id, predicted, predicted_probability: the word thought most likely.
        right: whether the two are one.
    """

    probability: float
    rank: int
    predicted_id: int
    predicted: str
    predicted_probability: float
    loss: float
    right: bool


@dataclass(frozen=True, kw_only=True)
class JudgedPosition:
    """One target: a position and the word that should follow it.

    Attributes:
        row: the number of its sentence.
        position: from 0, of the word that it follows, `after_token`.
        token_id, token: the right word.
    """

    row: int
    position: int
    after_token: str
    token_id: int
    token: str
    before: Side
    after: Side


@dataclass(frozen=True, kw_only=True)
class JudgedSentence:
    """All targets of one correction or phrasing, before and after.

    Attributes:
        prompt, reply, ids: see `Correction`.
        right_before, right_after: whether every target was the most likely word.
        reply_before, reply_after: what the model says to the prompt; None for a single word.
        exact_before, exact_after: whether that is the reply, token for token and ended; None for a
            single word, and in records of older versions.
        reply_from: see `Correction`.
    """

    role: Literal["taught", "phrasing"]
    prompt: tuple[str, ...]
    reply: str
    ids: tuple[int, ...]
    positions: tuple[JudgedPosition, ...]
    right_before: bool
    right_after: bool
    reply_before: str | None
    reply_after: str | None
    exact_before: bool | None = None
    exact_after: bool | None = None
    reply_from: int = 0


@dataclass(frozen=True, kw_only=True)
class NewlyWrong:
    """A next word elsewhere that was right before the lesson and is wrong after it.

    Attributes:
        set: of the rehearsal, or of text that was never rehearsed.
        context: the last words before it.
        was, now: what was predicted, and is now.
        actual: what follows there.
        probability_was, probability_now: of the actual word.
    """

    set: Literal["known", "held_out"]
    context: str
    was: str
    now: str
    actual: str | None
    probability_was: float
    probability_now: float


@dataclass(frozen=True, kw_only=True)
class Locality:
    """How much of what the model predicts elsewhere stayed.

    Attributes:
        n: positions that were looked at.
        kept: those with the same most likely word as before.
        kl: how far the predictions moved, the mean in nats.
        was_right: those that were right before.
        newly_wrong, newly_right: those that were right and are wrong, and the other way round.
    """

    n: int
    kept: int
    kl: float
    was_right: int
    newly_wrong: int
    newly_right: int

    @property
    def share(self) -> float:
        """Of the positions, those that kept their most likely word."""
        return self.kept / self.n if self.n else 1.0


@dataclass(frozen=True, kw_only=True)
class ReplyLocality:
    """How many whole replies elsewhere, generated without the right answer, stayed the same.

    Attributes:
        n: prompts that were replied to before and after.
        of: prompts that there are; where it is more, the n are a seeded sample.
        unchanged: replies that are the same, token for token.
    """

    n: int
    of: int
    unchanged: int

    @property
    def share(self) -> float:
        """Return the share of the replies that are unchanged."""
        return self.unchanged / self.n if self.n else 1.0


@dataclass(frozen=True, kw_only=True)
class ChangedReply:
    """A reply elsewhere that is another one after the lesson.

    Attributes:
        set: whether the prompt is of the rehearsal, or of text that was never rehearsed.
        prompt: its last turn; of a text its beginning.
        before, after: the generated replies.
    """

    set: Literal["known", "held_out"]
    prompt: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class MatrixChange:
    """How far one of the model's parameters moved.

    Attributes:
        norm: the length of the difference (Frobenius).
        relative: to its length before; 0 where that was 0.
        largest: the most that one number moved.
    """

    name: str
    norm: float
    relative: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class WordAccount:
    """Where the logit of the right word less that of the one predicted before comes from.

    Attributes:
        position: the target's.
        before, after: the largest contributions.
        before_logit, after_logit: the difference itself.
    """

    token: str
    against: str
    position: int
    before: tuple[Contribution, ...]
    before_logit: float
    after: tuple[Contribution, ...]
    after_logit: float
