"""The option --columns: which columns of the data hold prompts and replies."""

from collections.abc import Sequence

import click

from nextword.errors import ConfigError

columns_option = click.option(
    "--columns",
    multiple=True,
    metavar="NAME=COLUMN,…",
    help="The columns or keys of the data, as in prompt=Frage,reply=Antwort.",
)


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """Return known name → column from `prompt=Frage,reply=Antwort`.

    Raises:
        ConfigError: a part without `=`, or a name that is given twice.
    """
    columns: dict[str, str] = {}
    for part in (part for text in given for part in text.split(",")):
        name, equals, column = (item.strip() for item in part.partition("="))
        if not (name and equals and column):
            raise ConfigError(
                f"--columns {part!r} is not NAME=COLUMN; write for example "
                "--columns prompt=Frage,reply=Antwort"
            )
        if name in columns:
            raise ConfigError(f"--columns names {name} twice: {columns[name]!r} and {column!r}")
        columns[name] = column
    return columns
