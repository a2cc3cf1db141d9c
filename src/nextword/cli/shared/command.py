"""What every command shares: its shape, its options, and how it prints."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])  # a command, or what becomes one

HELP = ["-h", "--help"]
DEBUG = "nextword.debug"  # where a context's meta remembers --debug


class Command(click.Command):
    """A command whose help ends in an example, shown as it is written."""

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example below the options."""
        write_example(self.example, formatter)


def write_example(example: str, formatter: click.HelpFormatter) -> None:
    """Write `example` under its heading, line by line."""
    title = "Example" if len(example.strip().splitlines()) == 1 else "Examples"
    with formatter.section(title):
        for line in example.strip().splitlines():
            formatter.write(f"{'':{formatter.current_indent}}{line.strip()}\n")


def command(name: str, *, example: str) -> Callable[[Callable[..., Any]], Command]:
    """Make a function the command `name`: its docstring is the help, `example` ends it.

    Args:
        name: as typed after `nextword`.
        example: one or more command lines, shown as they are.
    """

    def make(function: Callable[..., Any]) -> Command:
        settings = {"help_option_names": HELP}
        made = click.command(name, cls=Command, example=example, context_settings=settings)
        return debug_option(made(function))

    return make


def debug_option(function: FunctionT) -> FunctionT:
    """Add `--debug`: an error shows its traceback. It is no argument of the function."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.meta[DEBUG] = value or context.meta.get(DEBUG, False)

    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,  # an error in another option is to be shown in full, too
        expose_value=False,
        callback=remember,
        help="Show the traceback of an error.",
    )(function)


def folder_argument(function: FunctionT) -> FunctionT:
    """Add the argument FOLDER, a model's folder, as `folder: Path`."""
    return click.argument("folder", type=click.Path(file_okay=False, path_type=Path))(function)


def json_option(function: FunctionT) -> FunctionT:
    """Add `--json`, as `as_json: bool`; print with `echo_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        function
    )


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """Print `value` as JSON on standard output.

    Args:
        value: plain values, dataclasses, paths, arrays and tensors, nested as you like; a number
            that is not finite becomes null, since JSON has no word for it.
        indent: spaces per level; None prints one line.
    """
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(plain(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False))


def plain(value: Any) -> Any:
    """`value` in the types that JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch, scalars included
        return plain(value.tolist())
    return value


def console(*, stderr: bool = False) -> "Console":
    """A rich console on standard output, or standard error, on which texts are inert.

    Square brackets and emoji codes in a text stay as they are. Colours come only on a terminal,
    and not where NO_COLOR is set.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
