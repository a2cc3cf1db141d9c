"""From files to samples: tokenizer, shards, what is held out, and how long a sequence is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextword.config import Aim, Learn, ModelConfig
from nextword.errors import ConfigError, DataError, TokenizerError
from nextword.learn.request import TrainRequest
from nextword.text.corpus import Corpus, open_corpus
from nextword.text.dialogue import Dialogue
from nextword.text.learn_tokenizer import KINDS
from nextword.text.parts import ENOUGH_DOCUMENTS, Part, split, split_phrasings, whole
from nextword.text.reading import reading_lines
from nextword.text.rows import Rows
from nextword.text.samples import Samples, Windows
from nextword.text.shards import Shards, prepare
from nextword.text.tokenizer import Tokenizer

TEXT_CONTEXT = 256  # tokens of a sequence of plain text, unless asked otherwise
LEAST_CONTEXT = 16  # the shortest that is chosen for a small text
DIALOGUE_CONTEXTS = (128, 1024)  # the bounds within which it follows the dialogues' lengths
HELD_OUT_SHARE = 0.1  # unless asked otherwise
FITTING_SHARE = 0.995  # of the dialogues that the context should hold whole
SPLIT_RULE = 2  # 1: version 0.1; 2: the aim "answers" holds out other phrasings alone

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
        split_rule: how the held-out part was chosen; see `prepare_data`.
    """

    tokenizer: Tokenizer
    shards: Shards
    train: Part
    held_out: tuple[Shards, Part] | None
    context: int
    model: ModelConfig | None = None
    aim: Aim = "generalize"
    split_rule: int = 1

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
        return make_samples(
            self.shards,
            self.learned,
            context=self.context,
            seed=seed,
            learn=learn,
            talks=talks,
        )

    @property
    def is_dialogue(self) -> bool:
        """Whether the model learns to reply, or to continue a text."""
        return self.shards.is_dialogue

    def samples(self, *, seed: int, learn: Learn, talks: float = 0.0) -> Samples:
        """The stream of samples to learn from; for the arguments see `Rows`."""
        return make_samples(
            self.shards, self.train, context=self.context, seed=seed, learn=learn, talks=talks
        )

    def held_out_samples(self, *, learn: Learn) -> Samples | None:
        """What to be judged by."""
        if self.held_out is None:
            return None
        shards, part = self.held_out
        return make_samples(shards, part, context=self.context, seed=0, learn=learn)


def make_samples(
    shards: Shards,
    part: Part,
    *,
    context: int,
    seed: int,
    learn: Learn = "everything",
    talks: float = 0.0,
) -> Samples:
    """Rows of packed documents for dialogues, windows for plain text."""
    if shards.is_dialogue:
        return Rows(shards, context_length=context, seed=seed, part=part, learn=learn, talks=talks)
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
                _texts(corpus, progress), kind=kind, vocab_size=request.vocab_size
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
    begun: bool = False,
) -> Prepared:
    """Tokenise into `folder` (once), set a part aside, and settle the context.

    Args:
        model: of a model that goes on learning: no sequence is longer than its context.
        split_rule: how a part is held out; runs of version 0.1 keep rule 1.
        begun: whether the run has taken steps on what is in the folder.

    Raises:
        DataError: too little text, or broken data.
        ConfigError: an aim that the data does not have.
    """
    # in a folder of their own: what a killed process leaves lies beside them, hidden
    shards = prepare(corpus, tokenizer, folder / "data" / "train", progress=progress, begun=begun)
    for line in reading_lines(shards.reading_report()):
        warn(line)
    aim = _aim(request, shards, split_rule)
    if isinstance(request.held_out, str):
        other = open_corpus(
            [request.held_out],
            skip_bad=request.skip_bad,
            warn=warn,
            leave_out=request.out,
            columns=request.columns,
        )
        place = folder / "data" / "held-out"
        judged = prepare(other, tokenizer, place, progress=progress, begun=begun)
        for line in reading_lines(judged.reading_report()):
            warn(f"held out: {line}")
        if judged.is_dialogue != shards.is_dialogue:
            raise DataError(
                f"the data are {_kind(shards)} and the held-out data {request.held_out} are "
                f"{_kind(judged)}; both must be of one kind"
            )
        shortest = min(shards.n_tokens, judged.n_tokens)
        context = _context(request, shards, shortest, model, aim)
        held = (judged, whole(judged))
        return Prepared(tokenizer, shards, whole(shards), held, context, model, aim, split_rule)
    if aim == "answers":
        context = _context(request, shards, shards.n_tokens, model, aim)
        train, rest = hold_out_phrasings(request, shards, tokenizer)
    else:
        share = request.held_out if request.held_out is not None else default_share(shards, warn)
        shortest = int(shards.n_tokens * (min(share, 1 - share) if share else 1))
        context = _context(request, shards, shortest, model, aim)
        seed = int(request.training.get("seed", 0))
        train, rest = split(shards, share=share, seed=seed, context_length=context)
    held_out = None if rest is None else (shards, rest)
    return Prepared(tokenizer, shards, train, held_out, context, model, aim, split_rule)


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


def hold_out_phrasings(
    request: TrainRequest, shards: Shards, tokenizer: Tokenizer
) -> tuple[Part, Part | None]:
    """Hold out other phrasings of what is learned anyway: a tenth, or the share asked for.

    Prompts are equal that differ in case, punctuation or spaces alone.
    """
    share = HELD_OUT_SHARE if request.held_out is None else float(request.held_out)

    def prompt_key(ids: list[int]) -> str:
        return "".join(filter(str.isalnum, tokenizer.decode(ids).casefold()))

    seed = int(request.training.get("seed", 0))
    return split_phrasings(shards, share=share, seed=seed, prompt_key=prompt_key)


def _context(
    request: TrainRequest, shards: Shards, shortest: int, model: ModelConfig | None, aim: Aim
) -> int:
    """The tokens of a sequence: what was asked for, or what suits the data and the model."""
    fitting = 1.0 if aim == "answers" else FITTING_SHARE
    context = request.context or default_context(shards, shortest, fitting=fitting)
    return context if model is None else min(context, model.context_length)


def default_share(shards: Shards, warn: Callable[[str], None]) -> float:
    """How much is held out when nobody says: nothing of a handful of dialogues."""
    if not shards.is_dialogue or shards.n_documents >= ENOUGH_DOCUMENTS:
        return HELD_OUT_SHARE
    warn(
        f"{shards.n_documents} dialogues are too few to hold any out ({ENOUGH_DOCUMENTS} would "
        "do), so all are learned and none is left to judge by"
    )
    return 0.0


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


def _texts(corpus: Corpus, progress: Progress | None) -> Iterator[str]:
    """Every piece of text, for a tokenizer to learn from."""
    for piece in corpus.pieces():
        if progress is not None:
            progress(piece.read, corpus.size_bytes)
        if isinstance(piece.document, Dialogue):
            yield from piece.document.turns
        else:
            yield piece.document.text


def _kind(shards: Shards) -> str:
    return "dialogues" if shards.is_dialogue else "plain text"
