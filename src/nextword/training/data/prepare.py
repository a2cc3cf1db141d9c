"""From files to samples: tokenizer, shards, what is held out, and how long a sequence is."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from nextword.config import Aim, ModelConfig
from nextword.data.corpus import Corpus, open_corpus
from nextword.data.dialogue import Dialogue
from nextword.data.prepared import Prepared
from nextword.data.records.read_report import reading_lines
from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards, prepare
from nextword.errors import ConfigError, DataError, TokenizerError
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.tokenizer.training import KINDS
from nextword.training.data.context_length import context_for, count_cut, cut_line
from nextword.training.data.held_out import (
    SPLIT_RULE,
    HeldOut,
    hold_out,
    hold_out_other,
    share_to_hold_out,
    tell_held_out,
)
from nextword.training.request import TrainRequest

Progress = Callable[[int, int], None]


def find_tokenizer(
    request: TrainRequest, corpus: Corpus, *, progress: Progress | None = None
) -> Tokenizer:
    """Read the tokenizer that was asked for, or learn one from the corpus.

    Raises:
        DataError: the corpus holds no document.
        TokenizerError: neither a kind nor a folder with a tokenizer.
    """
    for kind in KINDS:
        if request.tokenizer == kind:
            texts = _texts(corpus, progress, whole_words=kind == "words")
            try:
                return Tokenizer.learn(texts, kind=kind, vocab_size=request.vocab_size)
            except TokenizerError:
                if not any(report.documents for report in corpus.reading_report()):
                    raise corpus.no_document() from None
                raise
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
    template: str | None = None,
    split_rule: int = SPLIT_RULE,
    begun: bool = False,
) -> Prepared:
    """Tokenise into `folder` (once), set a part aside, and settle the context.

    Args:
        model: of a model that goes on learning: no sequence is longer than its context.
        template: its chat template, by which dialogues are encoded; None: Nextword's own.
        split_rule: how data are divided and cut; see `SPLIT_RULE`.
        begun: whether the run has taken steps on what is in the folder.

    Raises:
        DataError: too little text, or broken data.
        ConfigError: an aim that the data does not have.
    """
    exact = split_rule >= 3
    # in a folder of their own: what a killed process leaves lies beside them, hidden
    place = folder / "data"
    encode = partial(
        prepare, template=template, progress=progress, warn=warn, exact_cuts=exact, begun=begun
    )
    shards = encode(corpus, tokenizer, place / "train")
    for line in reading_lines(shards.reading_report()):
        warn(line)
    aim = _aim(request, shards, split_rule)
    judged, share = None, None
    if isinstance(request.held_out, str):
        other = open_corpus(
            [request.held_out],
            skip_bad=request.skip_bad,
            warn=warn,
            leave_out=request.out,
            columns=request.columns,
        )
        judged = encode(other, tokenizer, place / "held-out")
        for line in reading_lines(judged.reading_report()):
            warn(f"held out: {line}")
        _check_kinds(shards, judged, request.held_out)
        shortest = min(shards.n_tokens, judged.n_tokens)
        context = context_for(request, shards, shortest, model, aim, rule=split_rule)
        held = hold_out_other(shards, judged, tokenizer)
    else:
        share = share_to_hold_out(request, shards, aim=aim)
        shortest = int(shards.n_tokens * (min(share, 1 - share) if share else 1))
        context = context_for(request, shards, shortest, model, aim, rule=split_rule)
        held = hold_out(
            request, shards, tokenizer, aim=aim, context=context, rule=split_rule, share=share
        )
    tell_held_out(held, request, shards, aim=aim, share=share, warn=warn)
    cut = count_cut(shards, context, rule=split_rule)
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
