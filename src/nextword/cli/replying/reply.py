"""`nextword reply`: a model answers prompts, each on its own."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nextword.cli.shared.command import command, echo_json, folder_argument, json_option
from nextword.cli.shared.numbers import Real, Whole
from nextword.common.formatting import count
from nextword.common.text_format import visible
from nextword.config import ReplyConfig
from nextword.errors import DataError

if TYPE_CHECKING:
    from nextword.generate.reply_stream import Reply, ReplyStream
    from nextword.language_model import LanguageModel

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def reply_options(function: FunctionT) -> FunctionT:
    """Add `--device` and, under the names of ReplyConfig's fields, how tokens are chosen."""
    options = [
        click.option(
            "--temperature", type=Real(least=0), help="0: always the most probable token."
        ),
        click.option("--top-k", type=Whole(0), help="Choose among the k most probable; 0: all."),
        click.option(
            "--top-p", type=Real(least=0), help="Choose among the fewest that reach p together."
        ),
        click.option(
            "--min-p", type=Real(least=0), help="Leave out what is below p times the best."
        ),
        click.option(
            "--repetition-penalty", type=Real(above=0), help="Above 1 avoids earlier tokens."
        ),
        click.option("--seed", type=Whole(0), help="The same seed draws the same reply."),
        click.option("--stop", multiple=True, help="End before this text; may be repeated."),
        click.option("--max-tokens", type=Whole(1), help="The longest reply. [default: what fits]"),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps or auto."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def reply_config(settings: dict[str, Any]) -> ReplyConfig:
    """The ReplyConfig of the options that were given.

    Raises:
        ConfigError: an impossible value.
    """
    return ReplyConfig(**{name: value for name, value in settings.items() if value is not None})


def open_model(folder: Path, device: str) -> "LanguageModel":
    """Open a model's folder on a device.

    Raises:
        FolderError: it is no model.
        ConfigError: there is no such device.
    """
    from nextword.hardware import pick_device
    from nextword.language_model import LanguageModel

    return LanguageModel.load(folder, device=str(pick_device(device)))


def show_stream(stream: "ReplyStream") -> str:
    """Print a reply as it is made, and a line's end; returns its text."""
    shown = ""
    for piece in stream:
        shown += piece
        shown_piece = visible(piece, keep="\n\t") if sys.stdout.isatty() else piece
        click.echo(shown_piece, nl=False)  # what a model says steers no terminal
    click.echo()
    return shown


def note_cut(reply: "Reply") -> None:
    """Say on standard error that a reply did not come to its end."""
    if reply.finish_reason == "length":
        tokens = count(len(reply.tokens), "token")
        click.echo(f"(cut after {tokens}, by --max-tokens or the context's end)", err=True)


@command(
    "reply",
    example="""
    nextword reply models/mine "where is the cat?"
    nextword reply models/mine --temperature 0.8 --seed 1 "where is the cat?" "who is she?"
    nextword reply models/mine --json < prompts.txt
    """,
)
@folder_argument
@click.argument("prompts", nargs=-1)
@reply_options
@click.option("--dialogue", "mode", flag_value="dialogue", help="Answer, after an end token.")
@click.option("--continue", "mode", flag_value="text", help="Go on with the text as it is.")
@click.option("--truncate-left", is_flag=True, help="Drop the oldest tokens of a long prompt.")
@json_option
def reply(
    folder: Path,
    prompts: tuple[str, ...],
    device: str,
    mode: str | None,
    truncate_left: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Let the model in FOLDER answer each of the PROMPTS.

    Without PROMPTS each line of standard input is one. A model that learned dialogues answers; one
    that learned a text goes on with it. --json prints one line for each prompt, with the
    probability of every token.
    """
    config = reply_config(settings)
    given = prompts_given(prompts)
    dialogue = None if mode is None else mode == "dialogue"
    model = open_model(folder, device)
    for prompt in given:
        stream = model.stream(prompt, config=config, dialogue=dialogue, truncate_left=truncate_left)
        if as_json:
            echo_json(as_mapping(prompt, stream.result, model), indent=None)
        else:
            show_stream(stream)
            note_cut(stream.result)


def prompts_given(prompts: tuple[str, ...]) -> Iterator[str]:
    """The prompts of the command line, or the lines of standard input as they come.

    Raises:
        DataError: neither is there.
    """
    if prompts:
        return iter(prompts)
    piped: Iterator[str] = iter(()) if sys.stdin.isatty() else _lines_with_text(sys.stdin)
    first = next(piped, None)
    if first is None:
        raise DataError(
            "no prompt is given; put one after the folder, in quotes, or pipe prompts in, one a "
            "line. To talk turn by turn, use: nextword chat"
        )
    return itertools.chain([first], piped)


def _lines_with_text(stream: Iterable[str]) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in stream if line.strip())


def as_mapping(prompt: str, reply: "Reply", model: "LanguageModel") -> dict[str, Any]:
    """A reply for programs."""
    tokens = [
        {
            "token_id": step.token_id,
            "token": model.tokenizer.token(step.token_id),
            "probability": step.probability,
            "kept_probability": step.kept_probability,
        }
        for step in reply.tokens
    ]
    return {
        "prompt": prompt,
        "reply": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "seconds": reply.seconds,
        "tokens": tokens,
    }
