"""`nextword try`: from nothing to a transformer that explains itself, in about a minute."""

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nextword.cli.inspecting.look import show_verdicts
from nextword.cli.replying.reply import show_stream
from nextword.cli.shared.command import command, console
from nextword.cli.training.train import run
from nextword.common.formatting import count
from nextword.config import ReplyConfig

if TYPE_CHECKING:
    from nextword.language_model import LanguageModel

DIALOGUES, PHRASINGS = "nextword:dialogues", "nextword:phrasings"
LOOKED_AT = "what is a query?"
SHOWN = 40  # tokens of its reply that are judged, should it not end by itself
QUESTIONS = ("what is a transformer?", "why divide by the square root?", "what can you do?")
DEPTH, STEPS = 3, 650  # measured: docs/lab-log.md, "What was given is answered"


@command("try", example="nextword try --out out/try")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/try"),
    show_default=True,
    help="The model's folder.",
)
@click.option("--fresh", is_flag=True, help="Train again, though the folder has a model.")
def try_(out: Path, fresh: bool) -> None:
    """Teach a tiny transformer the dialogues that come with Nextword, and talk to it.

    It learns from scratch on this machine, in about a minute; then you see its verdict at every
    position of one prompt, and its answers to three.
    """
    started = time.monotonic()
    from nextword.language_model import LanguageModel
    from nextword.training.request import TrainRequest

    request = TrainRequest(
        data=(DIALOGUES,),
        held_out=PHRASINGS,
        out=out,
        depth=DEPTH,
        steps=STEPS,
    )
    run(request, fresh=fresh, advice=False, started=started)
    model = LanguageModel.load(out)
    heading(f'Every next word of "{LOOKED_AT}" and its reply, predicted and judged')
    reply = model.reply(LOOKED_AT, config=ReplyConfig(max_tokens=SHOWN))
    show_verdicts(console(), model.verdicts([LOOKED_AT, reply.text]))
    heading("Three questions")
    for question in QUESTIONS:
        ask(model, question)
    heading("What next")
    for what, how in next_steps(out):
        click.echo(f"  {what}\n      {how}")


def heading(text: str) -> None:
    """Print a heading with room above it."""
    click.echo(f"\n{text}\n")


def ask(model: "LanguageModel", question: str) -> None:
    """Print a question and the reply as it is made, and how it ended."""
    click.echo(f"  you       {question}")
    click.echo("  nextword  ", nl=False)
    stream = model.stream(question)
    show_stream(stream)
    result = stream.result
    ended = "the end token" if result.finish_reason == "stop" else "the length of the context"
    click.echo(f"            ({count(len(result.tokens), 'token')}, ended by {ended})\n")


def next_steps(out: Path) -> list[tuple[str, str]]:
    """What a person may do now, and the command for it."""
    name = program()
    return [
        ("talk with it", f"{name} chat {out}"),
        ("see every number of one position", f'{name} look {out} "{LOOKED_AT}" --position 3'),
        ("see all of them in the browser", f"{name} serve {out}"),
        (
            "correct a reply, and take it back",
            f'{name} teach {out} "who are you?" "i am a decoder"',
        ),
        (
            "teach a new one your own text or dialogues",
            f"{name} train my.jsonl --out models/mine --minutes 3",
        ),
        ("all commands", f"{name} --help"),
    ]


def program() -> str:
    """How `nextword` is called here: by its name, or by its path where the name is not found."""
    called = Path(sys.argv[0])
    if shutil.which("nextword") or called.name != "nextword":
        return "nextword"
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)
