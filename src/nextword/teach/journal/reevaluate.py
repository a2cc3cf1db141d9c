"""Lessons judged again, with other weights than those that they left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nextword.hardware import adaptive_threads
from nextword.interpret.verdicts import most_likely
from nextword.model.decoder import Decoder
from nextword.teach.journal.lesson_records import Kept


@dataclass(frozen=True, kw_only=True)
class NoLonger:
    """A word of a lesson that remains, right before an undo of another one and wrong after it.

    Attributes:
        number: of the lesson that remains.
        position: the word's, from 0, in prompt and reply.
        token: the right word.
        was, now: its probability before and after the undo.
        now_predicted: the word that is the most likely now.
    """

    number: int
    prompt: tuple[str, ...]
    reply: str
    position: int
    token: str
    was: float
    now: float
    now_predicted: str


@dataclass(frozen=True)
class Judged:
    """What a model says where a lesson has a target."""

    number: int
    sentence: Mapping[str, Any]
    target: Mapping[str, Any]
    probability: float
    predicted_id: int

    @property
    def right(self) -> bool:
        """Whether the right word is the most likely one."""
        return bool(self.predicted_id == self.target["token_id"])


@adaptive_threads()
@torch.no_grad()
def judged(decoder: Decoder, lessons: Sequence[Kept]) -> list[Judged]:
    """Every target of every sentence of some lessons, in order."""
    found = []
    for kept in lessons:
        for sentence in kept.lesson["sentences"]:
            rows = decoder(torch.tensor([sentence["ids"]]))[0].float().log_softmax(-1)  # [T, V]
            for target in sentence["positions"]:
                row = rows[target["position"]]
                share = row[target["token_id"]].exp().item()
                (best,) = most_likely(row, 1)
                found.append(Judged(kept.number, sentence, target, share, best))
    return found


def no_longer(
    was: Sequence[Judged], now: Sequence[Judged], name: Callable[[int], str]
) -> tuple[NoLonger, ...]:
    """The targets that were right and are wrong."""
    return tuple(
        NoLonger(
            number=after.number,
            prompt=tuple(after.sentence["prompt"]),
            reply=after.sentence["reply"],
            position=after.target["position"],
            token=after.target["token"],
            was=before.probability,
            now=after.probability,
            now_predicted=name(after.predicted_id),
        )
        for before, after in zip(was, now, strict=True)
        if before.right and not after.right
    )
