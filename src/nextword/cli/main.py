"""The command `nextword`: finds its commands, loads only the one that runs, reports errors."""

import importlib
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from nextword import __version__
from nextword.cli.shared.command import DEBUG, HELP, debug_option, write_example
from nextword.cli.shared.streams import make_printable, open_missing_streams
from nextword.common.interrupts import Interrupts, raise_on_signals
from nextword.common.text_format import visible
from nextword.errors import NextwordError, unknown

# name: (module in nextword.cli:attribute, what it does)
COMMANDS = {
    "train": (
        "training.train:train",
        "Teach a new transformer your text or dialogues.",
    ),
    "look": (
        "inspecting.look:look",
        "See every number between a prompt and its next token.",
    ),
    "reply": ("replying.reply:reply", "Let a model answer prompts."),
    "teach": (
        "teaching.teach:teach",
        "Correct what a model says, and see what that changed.",
    ),
    "lessons": (
        "teaching.lessons:lessons",
        "List what a model was taught, and undo it.",
    ),
    "chat": ("replying.chat:chat", "Talk with a model, turn by turn."),
    "evaluate": (
        "training.evaluate:evaluate",
        "Measure how well a model knows a text.",
    ),
    "ladder": (
        "training.ladder:ladder",
        "Climb from the article's model to today's, on data.",
    ),
    "serve": (
        "replying.serve:serve",
        "Open a model in the browser, every number of it.",
    ),
    "doctor": (
        "machine.doctor:doctor",
        "Check this machine, or a model's files: what is amiss.",
    ),
    "try": (
        "training.try_:try_",
        "Teach a tiny model and talk to it, in about a minute.",
    ),
}

EXAMPLE = """
nextword train dialogues.jsonl --out models/mine
nextword reply models/mine "where is the cat?"
"""

FAILED, BUG = 1, 70  # exit codes; 70 is sysexits' EX_SOFTWARE
INTERRUPTED, TERMINATED = 130, 143  # 128 + the number of SIGINT, of SIGTERM


class FatalError(Exception):
    """What ends the program: one line on standard error, and the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def fatal(error: BaseException) -> FatalError:
    """What to tell a person of `error`."""
    name, text = type(error).__name__, str(error)
    if isinstance(error, NextwordError):
        return FatalError(text, error.exit_code)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return FatalError(f"{where}{error.strerror or text}", FAILED)
    if isinstance(error, UnicodeDecodeError):  # files are read by readers that say which one
        byte = error.object[error.start]
        problem = f"standard input is not UTF-8 (byte 0x{byte:02X} at {error.start:,})"
        return FatalError(f"{problem}; convert it, for example with iconv -t utf-8", FAILED)
    if isinstance(error, MemoryError) or "OutOfMemory" in name or "allocate memory" in text:
        return FatalError("out of memory; a smaller batch, context or model needs less", FAILED)
    if isinstance(error, ImportError) and not (error.name or "").startswith("nextword"):
        return FatalError(f"{text}; see what is missing with: nextword doctor", FAILED)
    what = " ".join(f"{name}: {text}".split())
    return FatalError(f"this is a bug in Nextword ({what}); --debug shows the traceback", BUG)


class Main(click.Group):
    """The group of commands; it loads a command's module when the command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, as the help lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        loaded: click.Command = getattr(
            importlib.import_module(f"nextword.cli.{module}"), attribute
        )
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is refused with the nearest match."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(unknown("command", args[0], COMMANDS), ctx)
        try:
            return super().resolve_command(ctx, args)
        except Exception:  # its module does not load, so nobody will read its options
            ctx.meta[DEBUG] = ctx.meta.get(DEBUG, False) or "--debug" in args
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, loading none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example below the commands."""
        write_example(EXAMPLE, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever goes wrong becomes a FatalError."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # a closed pipe or a full disk shows itself here, not at exit
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.meta.get(DEBUG):
                traceback.print_exc()
            interrupted = (ctx.obj or Interrupts()).explain(error)
            if interrupted is not None:
                raise FatalError(str(interrupted), interrupted.exit_code) from error
            raise fatal(error) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and leave with the exit code; click's own errors take one line, too."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        open_missing_streams()
        make_printable(sys.stdout)
        usual, warnings.showwarning = warnings.showwarning, note  # type: ignore[assignment]
        try:
            with raise_on_signals() as interrupts:
                extra["obj"] = interrupts
                code = super().main(args, prog_name, complete_var, False, **extra)
                sys.stdout.flush()
        except click.Abort:  # Ctrl-C before a command ran
            sys.exit(INTERRUPTED)
        except (FatalError, click.ClickException) as error:
            click.echo(f"nextword: {message(error)}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:  # help or version could not be printed
            click.echo(f"nextword: {message(fatal(error))}", err=True)
            sys.exit(FAILED)
        finally:
            warnings.showwarning = usual
        sys.exit(code if type(code) is int else 0)


def note(warning: Warning | str, *_: Any) -> None:
    """A warning in one line on standard error, without the code that raised it."""
    click.echo(f"note: {visible(str(warning))}", err=True)


def message(error: FatalError | click.ClickException) -> str:
    """An error's text, and where to read how a command is used if it was misused."""
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text = f"{text} See: {error.ctx.command_path} --help"
    return visible(text, keep="\n")  # a file's name or a line of data steers no terminal


@click.group(
    "nextword",
    cls=Main,
    invoke_without_command=True,
    context_settings={"help_option_names": HELP},
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.version_option(__version__, prog_name="nextword", message="%(prog)s %(version)s")
@debug_option
@click.pass_context
def main(context: click.Context) -> None:
    """Nextword: a transformer to teach, see through, talk to and put to work."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
