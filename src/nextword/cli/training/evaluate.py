"""`nextword evaluate`: how well a model predicts a text, and how its replies compare."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nextword.cli.replying.reply import open_model
from nextword.cli.shared.columns import columns_option, parse_columns
from nextword.cli.shared.command import (
    command,
    console,
    echo_json,
    folder_argument,
    json_option,
    plain,
)
from nextword.cli.shared.drawing import wrapped
from nextword.cli.shared.numbers import Whole
from nextword.common.formatting import count
from nextword.common.text_format import share, visible

if TYPE_CHECKING:
    from nextword.evaluate.evaluation import Judgement, ReplyJudgement, Tell
    from nextword.language_model import LanguageModel

REPLIES = 200  # prompts that are replied to, unless asked otherwise
NAMES = 23  # columns for what a number is


class HowMany(click.ParamType[Any]):
    """A whole number, or `all`, which becomes None."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`value` as a number or None."""
        if value == "all":
            return None
        try:
            return Whole(0).convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message}, nor is it all", param, ctx)


@command(
    "evaluate",
    example="""
    nextword evaluate models/mine held-out.jsonl
    nextword evaluate models/book chapter.txt --json
    nextword evaluate models/self nextword:phrasings --replies all
    """,
)
@folder_argument
@click.argument("data", nargs=-1, required=True)
@click.option("--limit", type=Whole(1), help="Predict only so many windows, or rows of dialogues.")
@click.option("--context", type=Whole(1), help="Tokens to look back on.  [default: the model's]")
@click.option(
    "--replies",
    type=HowMany(),
    metavar="N|all",
    default=str(REPLIES),
    show_default=True,
    help="Prompts to reply to; 0: none.",
)
@click.option("--skip-bad", is_flag=True, help="Pass over broken lines.")
@columns_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@json_option
def evaluate(
    folder: Path,
    data: tuple[str, ...],
    limit: int | None,
    context: int | None,
    replies: int | None,
    skip_bad: bool,
    columns: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Measure how well the model in FOLDER knows DATA: files or folders of text or dialogues.

    Prints the loss, the perplexity, the bits per byte and how often the next token was right or
    among the five most likely. In dialogues the model also replies to the prompts, always with the
    most probable word: how many replies are those of the data, and how many end by themselves?

    `-` reads from standard input.
    """
    from nextword.data.corpus import open_corpus
    from nextword.data.records.read_report import reading_lines
    from nextword.data.shards.token_shards import prepare
    from nextword.evaluate.evaluation import judge

    model = open_model(folder, device)
    notes: list[str] = []
    corpus = open_corpus(data, skip_bad=skip_bad, warn=notes.append, columns=parse_columns(columns))
    temporary = tempfile.TemporaryDirectory(prefix="nextword-", ignore_cleanup_errors=True)
    with temporary as place, _noting(notes), _progress() as tell:
        shards = prepare(
            corpus,
            model.tokenizer,
            Path(place) / "data",
            template=model.chat_template,
            progress=lambda done, of: tell("encoding", done, of),
        )
        found = judge(
            model.decoder,
            model.tokenizer,
            shards,
            context=context,
            limit=limit,
            replies=replies,
            tell=tell,
        )
        is_dialogue, reading = shards.is_dialogue, shards.reading_report()
    notes += reading_lines([report for report in reading if not report.is_plain])
    notes += _remarks(found, model, is_dialogue=is_dialogue, limit=limit, context=context)
    described = corpus.describe()
    if as_json:
        files = [report.as_json() for report in reading]
        head = {"model": folder, "data": described, "reading": files, "notes": notes}
        echo_json(head | plain(found))
        return
    lines = [*described, "", *_numbers(found, is_dialogue=is_dialogue)]
    if found.replies is not None:
        lines += ["", *_replies(found.replies)]
    screen = console()
    width = max(screen.width, 30) if screen.is_terminal else None
    for line in lines:
        click.echo("\n".join(wrapped(visible(line), width, more=" " * 2)))
    if notes:
        click.echo()
    for note in notes:
        click.echo("\n".join(wrapped(f"note: {visible(note)}", width, more=" " * 6)))


def _numbers(found: "Judgement", *, is_dialogue: bool) -> Iterator[str]:
    """What was measured, line by line."""
    scores, documents = found.scores, "dialogues" if is_dialogue else "documents"
    yield _line(documents, f"{found.n_documents:,} ({count(found.n_tokens, 'token')})")
    yield _line("predicted tokens", f"{scores.n_tokens:,}")
    yield _line("loss", f"{scores.loss:.4f} nats/token")
    if found.reply_tokens is not None:
        yield _line("loss on replies alone", f"{found.reply_tokens.loss:.4f} nats/token")
    yield _line("perplexity", f"{scores.perplexity:,.2f}")
    if scores.bits_per_byte is not None:
        yield _line("bits per byte", f"{scores.bits_per_byte:.4f}")
    yield _line("next token right", share(scores.top1))
    yield _line("in the top 5", share(scores.top5))


def _replies(found: "ReplyJudgement") -> Iterator[str]:
    """How the replies compare."""
    scores = found.scores
    if scores is None:
        yield _line("replies", "none could be measured")
        return
    count = scores.n_replies
    exact, ended = round(scores.exact * count), round(scores.stopped * count)
    yield _line("replies", f"{count:,}")
    yield _line("same as the data's", f"{share(scores.exact)} ({exact:,} of {count:,})")
    yield _line("ended by end token", f"{share(scores.stopped)} ({ended:,} of {count:,})")


def _line(name: str, value: str) -> str:
    return f"{name:<{NAMES}}{value}"


def _remarks(
    found: "Judgement",
    model: "LanguageModel",
    *,
    is_dialogue: bool,
    limit: int | None,
    context: int | None,
) -> Iterator[str]:
    """What a person has to know to read the numbers right."""
    if is_dialogue != (model.kind == "dialogue"):
        kinds = ("dialogues", "plain text") if is_dialogue else ("plain text", "dialogues")
        yield f"the data are {kinds[0]}, but the model learned from {kinds[1]}"
    usual = model.config.context_length
    if context is None and not is_dialogue and found.context == found.n_tokens - 1 < usual:
        yield (
            f"the data are shorter than the model's context of {usual:,} tokens; they are measured "
            f"as one window of {found.context:,}"
        )
    elif context is None and found.context < usual:
        yield (
            f"measured with a context of {found.context:,} of the model's {usual:,} tokens; "
            "--context sets another"
        )
    if found.n_cut:
        yield (
            f"{found.n_cut:,} of {found.n_documents:,} dialogues are longer than {found.context:,} "
            "tokens and were predicted in pieces"
        )
    if limit is not None and found.share < 1:
        yield f"only {share(found.share)} of the data was predicted, because of --limit"
    if found.replies is not None:
        yield from _reply_remarks(found.replies, usual)


def _reply_remarks(found: "ReplyJudgement", context: int) -> Iterator[str]:
    made = 0 if found.scores is None else found.scores.n_replies
    if found.n_left_out:
        yield (
            f"{found.n_left_out:,} of {found.n_prompts:,} prompts were left out: they leave no "
            f"room for a reply in the context of {context:,} tokens"
        )
    if found.n_cut:
        limits = f"the context of {context:,} tokens was full"
        limits += "" if found.longest is None else f" or {found.longest:,} tokens were made"
        yield f"{found.n_cut:,} of {made:,} replies had not ended when {limits}"
    if found.n_no_room:
        yield (
            f"in {found.n_no_room:,} of {made:,} cases the data's reply does not fit into the "
            "context after its prompt, so the model's cannot be the same"
        )


@contextmanager
def _noting(notes: list[str]) -> Iterator[None]:
    """Warnings become notes, each of them once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes += dict.fromkeys(str(warning.message) for warning in caught)


@contextmanager
def _progress() -> Iterator["Tell"]:
    """Tells how far it is on standard error, on a terminal, where it takes longer than a moment."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda what, done, of: None
        return
    with screen.status("starting …") as status:
        yield lambda what, done, of: status.update(f"{what} … {100 * done // max(of, 1)} %")
