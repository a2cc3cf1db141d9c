"""What a lesson is measured by: its sentences, and the next words elsewhere, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nextword.common.text_format import share, small
from nextword.model.decoder import Decoder
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.correction import Correction
from nextword.teach.edit.rehearsal import Rehearsal
from nextword.teach.evaluation.before_after import Role, said, sentences
from nextword.teach.evaluation.locality import Known, compare, known, newly_wrong
from nextword.teach.evaluation.reply_changes import Replies
from nextword.teach.lesson import (
    ChangedReply,
    CurvePoint,
    JudgedSentence,
    Locality,
    NewlyWrong,
    Outcome,
    ReplyLocality,
    Student,
    TeachingStep,
)

CURVE = 100  # steps that a lesson remembers
NAMED = 50  # next words newly wrong that are named


@dataclass(frozen=True)
class Elsewhere:
    """What else became another.

    Attributes:
        known, held_out: how much stayed, of the rehearsal and of text never rehearsed.
        known_replies, held_out_replies: the same of generated replies; None without prompts.
        changed_replies: at most NAMED of the replies that are others, and `n_changed` in all.
        wrong: at most NAMED of the next words that are newly wrong, and `n_wrong` in all.
    """

    known: Locality
    held_out: Locality | None
    wrong: tuple[NewlyWrong, ...]
    n_wrong: int
    known_replies: ReplyLocality | None = None
    held_out_replies: ReplyLocality | None = None
    changed_replies: tuple[ChangedReply, ...] = ()

    @property
    def n_changed(self) -> int:
        """Return how many replies changed."""
        both = (self.known_replies, self.held_out_replies)
        return sum(found.n - found.unchanged for found in both if found is not None)


class Measures:
    """A model before a lesson, with which any decoder can be compared.

    Attributes:
        before: the sentences as the model says them; `after` is the same.
    """

    def __init__(
        self,
        student: Student,
        corrections: Sequence[Correction],
        phrasings: Sequence[Correction],
        rehearsal: Rehearsal,
        *,
        whole: Rehearsal,
        config: TeachingConfig,
    ) -> None:
        """Measure everything as it is before a lesson.

        Args:
            student: the model.
            corrections, phrasings: what is taught, and other ways to ask.
            rehearsal: what must stay, without the words that the lesson is about.
            whole: the same with them.
            config: of the lesson.
        """
        self._student, self._rehearsal = student, rehearsal
        judged_tokens = self._most = config.judged_tokens
        self._all = (*corrections, *phrasings)
        roles: tuple[Role, Role] = ("taught", "phrasing")
        counts = (len(corrections), len(phrasings))
        self._roles = [role for role, n in zip(roles, counts, strict=True) for _ in range(n)]
        decoder, tokenizer = student.decoder, student.tokenizer
        self._said = said(decoder, self._all, tokenizer)
        self.before = sentences(self._all, self._roles, self._said, self._said, tokenizer)
        self._known = known(decoder, rehearsal.known, most=judged_tokens)
        self._held_out: Known | None = None
        if rehearsal.held_out is not None:
            self._held_out = known(decoder, rehearsal.held_out, most=judged_tokens)
        self._replies = Replies(student, whole, self._all, config)

    def sentences(self, decoder: Decoder) -> tuple[JudgedSentence, ...]:
        """The sentences before, and as a decoder says them."""
        tokenizer = self._student.tokenizer
        now = said(decoder, self._all, tokenizer)
        return sentences(self._all, self._roles, self._said, now, tokenizer)

    def stayed(self, decoder: Decoder) -> Locality:
        """How much of what is rehearsed a decoder predicts as before."""
        now = known(decoder, self._rehearsal.known, most=self._most, before=self._known)
        return compare(self._known, now)

    def changed(self, decoder: Decoder) -> tuple[list[Correction], float]:
        """Return the known replies that a decoder would change, and the share that it would not."""
        return self._replies.changed(decoder)

    def elsewhere(self, decoder: Decoder) -> Elsewhere:
        """What else a decoder predicts and replies otherwise."""
        replies = self._replies.compared(decoder, most=NAMED)
        return replace(self._next_words(decoder), **replies)

    def _next_words(self, decoder: Decoder) -> Elsewhere:
        tokenizer, rehearsal, most = self._student.tokenizer, self._rehearsal, self._most
        now = known(decoder, rehearsal.known, most=most, before=self._known)
        stayed = compare(self._known, now)
        wrong = newly_wrong(self._known, now, rehearsal.known, tokenizer, which="known", most=NAMED)
        if rehearsal.held_out is None or self._held_out is None:
            return Elsewhere(stayed, None, wrong, stayed.newly_wrong)
        now = known(decoder, rehearsal.held_out, most=most, before=self._held_out)
        held_out = compare(self._held_out, now)
        more = newly_wrong(
            self._held_out, now, rehearsal.held_out, tokenizer, which="held_out", most=NAMED
        )
        named = (*wrong[: max(NAMED // 2, NAMED - len(more))], *more)[:NAMED]
        return Elsewhere(stayed, held_out, named, stayed.newly_wrong + held_out.newly_wrong)


def curve(steps: Sequence[TeachingStep]) -> tuple[CurvePoint, ...]:
    """At most CURVE of the steps, evenly spread, the first and the last among them."""
    last = len(steps) - 1
    picked = sorted({round(number * last / (CURVE - 1)) for number in range(CURVE)})
    return tuple(
        CurvePoint(
            step=step.step,
            seconds=step.seconds,
            loss=step.loss,
            least=step.least,
            rehearsal_kl=step.rehearsal_kl,
        )
        for step in (steps[number] for number in picked)
    )


def why(outcome: Outcome, step: TeachingStep, config: TeachingConfig) -> str:
    """An outcome as a whole sentence."""
    n, margin = step.n_targets, share(config.margin)
    words = "The word was" if n == 1 else f"All {n} words were"
    reached = f"{step.n_right} of {n} words are right, the least likely at {share(step.least)}"
    steps = f"{step.step} step" if step.step == 1 else f"{step.step} steps"
    left = "the weights are as they were."
    return {
        "learned": f"Learned in {steps}.",
        "already": f"{words} right already, each at {margin} or more; nothing was changed.",
        "steps": f"Not learned in {steps}: {reached}; {left}",
        "seconds": f"Not learned in {step.seconds:.1f} seconds: {reached}; {left}",
        "stopped": f"Stopped after {steps}: {reached}; {left}",
        "kl": f"Not learned in {steps}: what the model knows elsewhere would have moved by more "
        f"than {small(config.largest_kl)} nats per word; {left}",
        "not_finite": f"Stopped after {steps}, as the loss was no finite number; {left}",
    }[outcome]
