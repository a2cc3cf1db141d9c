"""From files to samples: tokenizer, shards, what is held out, and how long a sequence is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextword.config import Aim, Learn, ModelConfig
from nextword.errors import ConfigError, DataError, TokenizerError
from nextword.learn.held_out import (
    SPLIT_RULE,
    HeldOut,
    hold_out,
    hold_out_other,
    share_to_hold_out,
    tell_held_out,
)
from nextword.learn.request import TrainRequest
from nextword.text.corpus import Corpus, open_corpus
from nextword.text.dialogue import Dialogue
from nextword.text.learn_tokenizer import KINDS
from nextword.text.long_dialogues import NOTHING_CUT, CutCounts, cut_dialogues
from nextword.text.parts import ENOUGH_DOCUMENTS, Part, whole
from nextword.text.rows import Rows
from nextword.text.samples import Samples, Windows
from nextword.text.shards import Shards, prepare
from nextword.text.split_by_content import Overlap
from nextword.text.tokenizer import Tokenizer

TEXT_CONTEXT = 256  # tokens of a sequence of plain text, unless asked otherwise
LEAST_CONTEXT = 16  # the shortest that is chosen for a small text
DIALOGUE_CONTEXTS = (128, 1024)  # the bounds within which it follows the dialogues' lengths
FITTING_SHARE = 0.995  # of the dialogues that the context should hold whole

Progress = Callable[[int, int], None]


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


def find_tokenizer(
    request: TrainRequest, corpus: Corpus, *, progress: Progress | None = None
) -> Tokenizer:
    """Read the tokenizer that was asked for, or learn one from the corpus.

    Raises:
        TokenizerError: neither a kind nor a folder with a tokenizer.
    """
    for kind in KINDS:
        if request.tokenizer == kind:
            return Tokenizer.learn(
                _texts(corpus, progress, whole_words=kind == "words"),
                kind=kind,
                vocab_size=request.vocab_size,
            )
    folder = Path(request.tokenizer)
    if not folder.is_dir():
        allowed = f"{', '.join(KINDS)}, or a folder with a tokenizer.json"
        raise TokenizerError(f"the tokenizer {request.tokenizer!r} is not one of {allowed}")
    return Tokenizer.read(folder)


def prepare_data(
    request: TrainRequest,
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    warn: Callable[[str], None],
    progress: Progress | None = None,
    model: ModelConfig | None = None,
    split_rule: int = SPLIT_RULE,
) -> Prepared:
    """Tokenise into `folder` (once), set a part aside, and settle the context.

    Args:
        model: of a model that goes on learning: no sequence is longer than its context.
        split_rule: how data are divided and cut; see `SPLIT_RULE`.

    Raises:
        DataError: too little text, or broken data.
        ConfigError: an aim that the data does not have.
    """
    exact = split_rule >= 3
    # in a folder of their own: what a killed process leaves lies beside them, hidden
    place = folder / "data"
    shards = prepare(corpus, tokenizer, place / "train", progress=progress, exact_cuts=exact)
    aim = _aim(request, shards, split_rule)
    judged, share = None, None
    if isinstance(request.held_out, str):
        other = open_corpus(
            [request.held_out], skip_bad=request.skip_bad, warn=warn, leave_out=request.out
        )
        judged = prepare(other, tokenizer, place / "held-out", progress=progress, exact_cuts=exact)
        _check_kinds(shards, judged, request.held_out)
        context = _context(request, shards, min(shards.n_tokens, judged.n_tokens), model, aim)
        held = hold_out_other(shards, judged, tokenizer)
    else:
        share = share_to_hold_out(request, shards, aim=aim)
        shortest = int(shards.n_tokens * (min(share, 1 - share) if share else 1))
        context = _context(request, shards, shortest, model, aim)
        held = hold_out(
            request, shards, tokenizer, aim=aim, context=context, rule=split_rule, share=share
        )
    _tell_too_few(request, shards, aim, warn)
    tell_held_out(held, shards, aim=aim, share=share, warn=warn)
    cut = _count_cut(shards, context, rule=split_rule)
    if cut.dialogues:
        warn(cut_line(cut, shards.n_documents, context=context, model=model))
    return Prepared(
        tokenizer=tokenizer,
        shards=shards,
        train=held.train,
        held_out=_held_out(held, judged or shards),
        context=context,
        model=model,
        aim=aim,
        split_rule=split_rule,
        overlap=held.overlap,
        duplicates=held.duplicates,
        share=share,
        cut=cut,
    )


def _held_out(held: HeldOut, shards: Shards) -> tuple[Shards, Part] | None:
    return None if held.held_out is None else (shards, held.held_out)


def _check_kinds(shards: Shards, judged: Shards, name: str) -> None:
    if judged.is_dialogue != shards.is_dialogue:
        raise DataError(
            f"the data are {_kind(shards)} and the held-out data {name} are {_kind(judged)}; both "
            "must be of one kind"
        )


def _tell_too_few(
    request: TrainRequest, shards: Shards, aim: Aim, warn: Callable[[str], None]
) -> None:
    """Say that a handful of dialogues leaves none to be held out."""
    few = shards.is_dialogue and shards.n_documents < ENOUGH_DOCUMENTS
    if few and request.held_out is None and aim == "generalize":
        warn(
            f"{shards.n_documents} dialogues are too few to hold any out ({ENOUGH_DOCUMENTS} would "
            "do), so all are learned and none is left to judge by"
        )


def _count_cut(shards: Shards, context: int, *, rule: int) -> CutCounts:
    """Count the dialogues that do not fit into the context, and what they lose."""
    if not shards.is_dialogue:
        return NOTHING_CUT
    _, cut = cut_dialogues(shards, whole(shards), context)
    return cut if rule >= 3 else CutCounts(dialogues=cut.dialogues, longest=cut.longest)


def cut_line(cut: CutCounts, n_documents: int, *, context: int, model: ModelConfig | None) -> str:
    """Say how many dialogues are longer than the context, what is lost, and how to mend it."""
    losses = (
        (cut.prompts, "prompt loses its beginning", "prompts lose their beginning"),
        (cut.turns, "reply does not see the oldest turns", "replies do not see the oldest turns"),
        (cut.replies, "reply is divided", "replies are divided"),
    )
    lost = [f"{n:,} {one if n == 1 else several}" for n, one, several in losses if n]
    line = (
        f"longer than the context of {context} tokens: {cut.dialogues:,} of {n_documents:,} "
        f"dialogues, which are cut; {', '.join(lost) or 'nothing is lost but earlier turns'}"
    )
    needed = 1 << (cut.longest - 1).bit_length()
    if model is None or needed <= model.context_length:
        return f"{line}. --context {needed} holds all of them whole"
    return f"{line}. The model's own context holds no more than {model.context_length}"


def _aim(request: TrainRequest, shards: Shards, split_rule: int) -> Aim:
    """Return what was asked for, or what suits the data; version 0.1 had one aim only."""
    if request.aim == "answers" and not shards.is_dialogue:
        raise ConfigError(
            "--aim answers is for dialogues, and the data is plain text; give prompts with "
            "replies, or --aim generalize"
        )
    if request.aim is not None:
        return request.aim
    return "answers" if shards.is_dialogue and split_rule > 1 else "generalize"


def _context(
    request: TrainRequest, shards: Shards, shortest: int, model: ModelConfig | None, aim: Aim
) -> int:
    """The tokens of a sequence: what was asked for, or what suits the data and the model."""
    fitting = 1.0 if aim == "answers" else FITTING_SHARE
    context = request.context or default_context(shards, shortest, fitting=fitting)
    return context if model is None else min(context, model.context_length)


def default_context(shards: Shards, shortest: int, *, fitting: float = FITTING_SHARE) -> int:
    """How long a sequence is when nobody says: a power of two that suits the data.

    Dialogues: the shortest that holds the share `fitting` of them whole. Plain text: TEXT_CONTEXT,
    or less where the smaller part, of about `shortest` tokens, has less.
    """
    if shards.is_dialogue:
        lengths = np.diff(shards.document_starts.astype(np.int64))
        low, high = DIALOGUE_CONTEXTS
        needed = float(np.quantile(lengths, fitting))
        return int(min(max(1 << max(int(needed) - 1, 0).bit_length(), low), high))
    context = TEXT_CONTEXT
    while context > LEAST_CONTEXT and shortest < 2 * context:
        context //= 2
    return context


def _texts(
    corpus: Corpus, progress: Progress | None, *, whole_words: bool = False
) -> Iterator[str]:
    """Every piece of text, for a tokenizer to learn from.

    Args:
        corpus: read once.
        progress: is told how far it is.
        whole_words: cut the pieces of a long text at a space, which is left out, so that the first
            word of a piece had a space before it in the text, too.
    """
    rest = ""
    for piece in corpus.pieces():
        if progress is not None:
            progress(piece.read, corpus.size_bytes)
        if isinstance(piece.document, Dialogue):
            yield from piece.document.turns
            continue
        text, rest = rest + piece.document.text, ""
        if whole_words and not piece.ends and (cut := text.rfind(" ")) >= 0:
            text, rest = text[:cut], text[cut + 1 :]
        yield text


def _kind(shards: Shards) -> str:
    return "dialogues" if shards.is_dialogue else "plain text"
