"""`nextword chat`: talk with a model, turn by turn."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nextword.cli.replying.reply import (
    note_cut,
    open_model,
    reply_config,
    reply_options,
    show_stream,
)
from nextword.cli.shared.command import command, folder_argument
from nextword.common.formatting import count
from nextword.config import ReplyConfig
from nextword.errors import ConfigError, unknown

if TYPE_CHECKING:
    from nextword.language_model import LanguageModel

WORDS = {
    "/new": "forget what was said and start over",
    "/back": "take the last prompt and its reply back",
    "/help": "show this list",
    "/quit": "leave; so does Ctrl-D",
}
INTRODUCTION = "Say something. /help lists what else you can type; Ctrl-C stops a reply."


@command(
    "chat",
    example="""
    nextword chat models/mine
    nextword chat models/mine --temperature 0.8
    """,
)
@folder_argument
@reply_options
def chat(folder: Path, device: str, **settings: Any) -> None:
    """Talk with the model in FOLDER; it sees all that was said before.

    When the talk no longer fits the model's context, its oldest turns are forgotten.
    """
    config = reply_config(settings)
    model = open_model(folder, device)
    if model.kind != "dialogue":
        raise ConfigError(
            f"{folder} learned to go on with a text, not to take turns; "
            f'use: nextword reply {folder} "a beginning"'
        )
    if sys.stdin.isatty():
        click.echo(INTRODUCTION)
    talk(model, config)


def talk(model: "LanguageModel", config: ReplyConfig) -> None:
    """Read, answer, and again, until the end of the input."""
    turns: list[str] = []
    while (said := _read()) is not None:
        if said.startswith("/"):
            if said == "/quit":
                return
            _obey(said, turns)
        elif said:
            _answer(model, config, turns, said)


def recent(model: "LanguageModel", turns: Sequence[str]) -> list[str]:
    """The newest turns, oldest dropped in pairs until a quarter of the context is free.

    The last prompt always stays, however long it is.
    """
    kept = list(turns)
    room = model.config.context_length * 3 // 4
    while len(kept) > 2 and len(model.ids(kept, dialogue=True)) > room:
        del kept[:2]  # a prompt and its reply
    return kept


def _read() -> str | None:
    """What the person says next; None at the end of the input."""
    try:
        if sys.stdin.isatty():
            return input("you> ").strip()
        line = sys.stdin.readline()
        return line.strip() if line else None
    except EOFError:
        click.echo()
        return None


def _obey(word: str, turns: list[str]) -> None:
    """Do what a word with a slash asks for."""
    if word == "/new":
        turns.clear()
        click.echo("(a new talk)")
    elif word == "/back":
        del turns[-2:]
        click.echo(f"({count(len(turns) // 2, 'prompt')} of yours remembered)")
    elif word == "/help":
        for name, what in WORDS.items():
            click.echo(f"  {name:<6} {what}")
    else:
        click.echo(f"({unknown('word', word, WORDS)})")


def _answer(model: "LanguageModel", config: ReplyConfig, turns: list[str], said: str) -> None:
    """Reply to `said` and remember both; a reply that is stopped by Ctrl-C is not remembered."""
    kept = recent(model, [*turns, said])
    if len(kept) <= len(turns):
        click.echo("(the oldest turns no longer fit and are forgotten)", err=True)
        turns[:] = kept[:-1]
    stream = model.stream(kept, config=config, dialogue=True, truncate_left=True)
    try:
        turns += [said, show_stream(stream)]
    except KeyboardInterrupt:
        click.echo("\n(stopped; not remembered)", err=True)
    else:
        note_cut(stream.result)
