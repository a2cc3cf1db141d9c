"""Prepared data: token shards, their parts, and the samples that they give."""

from dataclasses import dataclass

from nextword.common.checked_json import checksum_of
from nextword.config import Aim, Learn, ModelConfig
from nextword.data.samples.datasets import Samples, Windows
from nextword.data.samples.long_dialogues import NOTHING_CUT, CutCounts
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.split_by_content import Overlap
from nextword.data.samples.splits import Part, whole
from nextword.data.shards.token_shards import Shards
from nextword.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Prepared:
    """Data ready to be learned from.

    Attributes:
        tokenizer, shards: how the text became tokens, and the tokens.
        train, held_out: shards and part to learn from, and to be judged by (None: nothing).
        context: tokens of a sequence.
        model: of a model that goes on learning; None for a new one, which follows from the plan.
        aim: what the run is for; see `TrainRequest.aim`.
        split_rule: how data were divided and cut; see `SPLIT_RULE`.
        overlap: how much of what is held out also stands in training; None: nothing is held out.
        duplicates: documents that equal one before them.
        share: that was to be held out; None: other data were given for it.
        cut: the dialogues that are longer than the context, and what is lost by that.
    """

    tokenizer: Tokenizer
    shards: Shards
    train: Part
    held_out: tuple[Shards, Part] | None
    context: int
    model: ModelConfig | None = None
    aim: Aim = "generalize"
    split_rule: int = 1
    overlap: Overlap | None = None
    duplicates: int = 0
    share: float | None = None
    cut: CutCounts = NOTHING_CUT

    @property
    def digest(self) -> str:
        """Return a SHA-256 over all tokens: a run goes on with those that it began with."""
        held_out = None if self.held_out is None else self.held_out[0].digest
        return checksum_of({"train": self.shards.digest, "held_out": held_out})

    @property
    def learns_held_out(self) -> bool:
        """Return True if the held-out part was given to be learned, so it will be in the end."""
        apart = self.held_out is not None and self.held_out[0] is self.shards
        return self.aim == "answers" and apart

    @property
    def learned(self) -> Part:
        """Return what the model has learned in the end."""
        return whole(self.shards) if self.learns_held_out else self.train

    def all_samples(self, *, seed: int, learn: Learn, talks: float = 0.0) -> Samples:
        """Return the stream of samples of everything that was given, the held-out part, too."""
        return self._samples(self.shards, self.learned, seed=seed, learn=learn, talks=talks)

    @property
    def is_dialogue(self) -> bool:
        """Whether the model learns to reply, or to continue a text."""
        return self.shards.is_dialogue

    def samples(self, *, seed: int, learn: Learn, talks: float = 0.0) -> Samples:
        """The stream of samples to learn from; for the arguments see `Rows`."""
        return self._samples(self.shards, self.train, seed=seed, learn=learn, talks=talks)

    def held_out_samples(self, *, learn: Learn) -> Samples | None:
        """What to be judged by."""
        if self.held_out is None:
            return None
        shards, part = self.held_out
        return self._samples(shards, part, seed=0, learn=learn)

    def _samples(
        self, shards: Shards, part: Part, *, seed: int, learn: Learn, talks: float = 0.0
    ) -> Samples:
        return make_samples(
            shards,
            part,
            context=self.context,
            seed=seed,
            learn=learn,
            talks=talks,
            keep_prompts=self.split_rule >= 3,
        )


def make_samples(
    shards: Shards,
    part: Part,
    *,
    context: int,
    seed: int,
    learn: Learn = "everything",
    talks: float = 0.0,
    keep_prompts: bool = True,
) -> Samples:
    """Rows of packed documents for dialogues, windows for plain text."""
    if shards.is_dialogue:
        return Rows(
            shards,
            context_length=context,
            seed=seed,
            part=part,
            learn=learn,
            talks=talks,
            keep_prompts=keep_prompts,
        )
    return Windows(shards, context_length=context, seed=seed, part=part, learn=learn)
