"""A lesson made by hand: two of three words were wrong, and one way to ask differently fails."""

import dataclasses
import math
from typing import Any

from nextword.interpret.contributions import Contribution
from nextword.teach.config import TeachingConfig
from nextword.teach.lesson import (
    ChangedReply,
    CurvePoint,
    JudgedPosition,
    JudgedSentence,
    Lesson,
    Locality,
    MatrixChange,
    NewlyWrong,
    ReplyLocality,
    Side,
    TeachingStep,
    WordAccount,
)

WORDS = {1: "<|end|>", 2: "who", 3: "sat", 5: "?", 7: "a", 11: "cat", 13: "dog", 17: "tell"}
PROMPT, REPLY = "who sat?", "a cat"
TAUGHT = (2, 3, 5, 1, 7, 11, 1)  # who sat ? <|end|> a cat <|end|>
ASKED = (17, 2, 3, 1, 7, 11, 1)  # tell who sat <|end|> a cat <|end|>


def side(probability: float, said: int, *, said_probability: float, right: bool) -> Side:
    """One position as one state of the weights saw it."""
    return Side(
        probability=probability,
        rank=1 if right else 2,
        predicted_id=said,
        predicted=WORDS[said],
        predicted_probability=said_probability,
        loss=-math.log(probability),
        right=right,
    )


def right(token_id: int, probability: float) -> Side:
    """The right word is the most likely."""
    return side(probability, token_id, said_probability=probability, right=True)


def wrong(probability: float, said: int, said_probability: float) -> Side:
    """Another word is the most likely."""
    return side(probability, said, said_probability=said_probability, right=False)


def position(
    ids: tuple[int, ...], at: int, before: Side, after: Side, *, row: int = 0
) -> JudgedPosition:
    """What follows position `at` of `ids`, before and after."""
    return JudgedPosition(
        row=row,
        position=at,
        after_token=WORDS[ids[at]],
        token_id=ids[at + 1],
        token=WORDS[ids[at + 1]],
        before=before,
        after=after,
    )


def taught(**changes: Any) -> JudgedSentence:
    """The pair: the first word was right, the second and the end token were not."""
    positions = (
        position(TAUGHT, 3, right(7, 0.75), right(7, 0.875)),
        position(TAUGHT, 4, wrong(0.125, 13, 0.5), right(11, 0.625)),
        position(TAUGHT, 5, wrong(0.25, 7, 0.5), right(1, 0.9375)),
    )
    sentence = JudgedSentence(
        role="taught",
        prompt=(PROMPT,),
        reply=REPLY,
        ids=TAUGHT,
        positions=positions,
        right_before=False,
        right_after=True,
        reply_before="a dog a",
        reply_after="a cat",
        exact_before=False,
        exact_after=True,
        reply_from=4,
    )
    return dataclasses.replace(sentence, **changes)


def phrasing(**changes: Any) -> JudgedSentence:
    """Another way to ask: two of three words are right after the lesson."""
    positions = (
        position(ASKED, 3, right(7, 0.625), right(7, 0.75), row=1),
        position(ASKED, 4, wrong(0.0625, 13, 0.75), wrong(0.375, 13, 0.5), row=1),
        position(ASKED, 5, wrong(0.25, 7, 0.5), right(1, 0.75), row=1),
    )
    sentence = JudgedSentence(
        role="phrasing",
        prompt=("tell who sat",),
        reply=REPLY,
        ids=ASKED,
        positions=positions,
        right_before=False,
        right_after=False,
        reply_before="a dog",
        reply_after="a dog",
        exact_before=False,
        exact_after=False,
        reply_from=4,
    )
    return dataclasses.replace(sentence, **changes)


def account() -> WordAccount:
    """Of “cat” against “dog”: one head changed its mind."""

    def part(name: str, label: str, amount: float) -> Contribution:
        return Contribution(name=name, label=label, kind="embedding", amount=amount)

    return WordAccount(
        token="cat",
        against="dog",
        position=4,
        before=(
            part("embedding", "the word “a” itself", -1.5),
            part("blocks.0.feed_forward", "feed-forward of layer 0", 0.25),
        ),
        before_logit=-1.25,
        after=(
            part("blocks.0.feed_forward", "feed-forward of layer 0", 2.0),
            part("embedding", "the word “a” itself", -1.25),
        ),
        after_logit=0.75,
    )


def step(number: int, **changes: Any) -> TeachingStep:
    """One step of three: the loss halves, the least likely word gains."""
    least = (0.125, 0.375, 0.625)[number]
    made = TeachingStep(
        step=number,
        seconds=0.25 * number,
        loss=1.0 / 2**number,
        rehearsal_kl=0.0 if number == 0 else 0.003,
        probabilities=(0.75, least, 0.75),
        least=least,
        n_right=(1, 2, 3)[number],
        n_targets=3,
    )
    return dataclasses.replace(made, **changes)


def lesson(**changes: Any) -> Lesson:
    """The lesson, learned and not yet kept; any field can be another.

    Args:
        changes: fields of Lesson.
    """
    made = Lesson(
        learned=True,
        outcome="learned",
        why="Every word is now the most likely, with at least 50 %, after 2 steps.",
        sentences=(taught(), phrasing()),
        reliability=1.0,
        generality=2 / 3,
        known=Locality(n=4096, kept=4088, kl=0.003, was_right=3001, newly_wrong=2, newly_right=1),
        held_out=Locality(n=1021, kept=1009, kl=0.005, was_right=499, newly_wrong=1, newly_right=0),
        newly_wrong=newly_wrong(),
        n_newly_wrong=3,
        n_contradicted=0,
        rehearsal="512 sequences of its training data, 57 held out",
        loss_before=1.25,
        loss_after=0.25,
        steps=2,
        seconds=0.5,
        judging_seconds=0.75,
        curve=tuple(
            CurvePoint(
                step=each.step,
                seconds=each.seconds,
                loss=each.loss,
                least=each.least,
                rehearsal_kl=each.rehearsal_kl,
            )
            for each in map(step, range(3))
        ),
        changes=(
            MatrixChange(name="token_embedding.weight", norm=0.5, relative=0.01, largest=0.002),
            MatrixChange(
                name="blocks.0.attention.query.weight", norm=1.5, relative=0.125, largest=0.03
            ),
        ),
        account=account(),
        scope="all",
        n_taught=1_049_728,
        memory_bytes=24_000_000,
        config=TeachingConfig(),
        version_before="0123456789abcdef",
        version_after="fedcba9876543210",
        number=None,
        reply_reliability=1.0,
        reply_generality=0.0,
        known_replies=ReplyLocality(n=64, of=310, unchanged=63),
        held_out_replies=ReplyLocality(n=31, of=31, unchanged=29),
        changed_replies=changed_replies(),
        n_changed_replies=3,
    )
    return dataclasses.replace(made, **changes)


def changed_replies() -> tuple[ChangedReply, ...]:
    """Two of three replies that are others now."""
    return (
        ChangedReply(set="known", prompt="who saw?", before="a dog", after="a cat"),
        ChangedReply(set="held_out", prompt="tell me", before="a dog sat", after="a cat"),
    )


def newly_wrong() -> tuple[NewlyWrong, ...]:
    """Three words that were right and are not now."""
    return (
        NewlyWrong(
            set="known", context="who saw a", was="dog", now="cat", actual="dog",
            probability_was=0.5, probability_now=0.25,
        ),
        NewlyWrong(
            set="known", context="tell a", was="dog", now="cat", actual="dog",
            probability_was=0.625, probability_now=0.375,
        ),
        NewlyWrong(
            set="held_out", context="a cat", was="sat", now="<|end|>", actual="sat",
            probability_was=0.75, probability_now=0.125,
        ),
    )  # fmt: skip


def not_learned(**changes: Any) -> Lesson:
    """The same, stopped after one step: nothing was changed."""
    stopped = {
        "learned": False,
        "outcome": "stopped",
        "why": "You stopped it after 1 step; the weights are as they were.",
        "sentences": (
            taught(
                positions=(
                    position(TAUGHT, 3, right(7, 0.75), right(7, 0.75)),
                    position(TAUGHT, 4, wrong(0.125, 13, 0.5), wrong(0.375, 13, 0.5)),
                    position(TAUGHT, 5, wrong(0.25, 7, 0.5), right(1, 0.625)),
                ),
                right_after=False,
                reply_after="a dog",
                exact_after=False,
            ),
        ),
        "reliability": 2 / 3,
        "generality": None,
        "known": Locality(n=4096, kept=4096, kl=0.0, was_right=3001, newly_wrong=0, newly_right=0),
        "held_out": None,
        "newly_wrong": (),
        "n_newly_wrong": 0,
        "steps": 1,
        "changes": (),
        "account": None,
        "version_after": "0123456789abcdef",
        "reply_reliability": 0.0,
        "reply_generality": None,
        "known_replies": ReplyLocality(n=64, of=64, unchanged=64),
        "held_out_replies": None,
        "changed_replies": (),
        "n_changed_replies": 0,
    }
    return lesson(**(stopped | changes))
