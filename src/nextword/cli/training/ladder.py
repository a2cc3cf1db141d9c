"""`nextword ladder`: what each step from the article's model to today's does on your own data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nextword.cli.shared.command import command, console, plain
from nextword.cli.shared.numbers import Real, Whole
from nextword.common.files import write_json, write_whole
from nextword.common.formatting import count
from nextword.common.text_format import progress, time_left, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from nextword.evaluate.metrics import Update
    from nextword.ladder.result import Climb, Ladder
    from nextword.ladder.rung import Rung

PAGE, MARKDOWN, PICTURE, NUMBERS = "ladder.html", "ladder.md", "ladder.svg", "ladder.json"


class Keys(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "NAME,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """`value` as names."""
        return tuple(name.strip() for name in str(value).split(",") if name.strip())


@command(
    "ladder",
    example="""
    nextword ladder book.txt --out ladders/book
    nextword ladder nextword:dialogues --out ladders/talks --seconds 5 --seeds 2
    nextword ladder book.txt --out ladders/two --rungs article,muon
    """,
)
@click.argument("data", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where results go.")
@click.option(
    "--seconds", type=Real(above=0), help="Each rung learns so long, per seed. Default: 20."
)
@click.option("--seeds", type=Whole(1), help="Times that the ladder is climbed. Default: 3.")
@click.option("--width", type=Whole(1), help="d_model of every rung. Default: 96.")
@click.option("--layers", type=Whole(1), help="Blocks, from their rung on. Default: 3.")
@click.option("--heads", type=Whole(1), help="Heads, from their rung on. Default: 4.")
@click.option("--context", type=Whole(1), help="Tokens to look back on. Default for text: 64.")
@click.option("--batch", type=Whole(1), help="Sequences per step. Default: 1024 tokens of them.")
@click.option("--tokenizer", metavar="KIND|FOLDER", help="characters (default), words, bpe.")
@click.option("--rungs", type=Keys(), help="Only these, each with all that lies below it.")
@click.option("--device", metavar="NAME", help="auto (default), cpu, cuda or mps.")
@click.option("--skip-bad", is_flag=True, help="Pass over broken lines and count them.")
@click.option("--fresh", is_flag=True, help="Forget what an earlier start finished.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def ladder(
    data: tuple[str, ...], out: Path, skip_bad: bool, fresh: bool, quiet: bool, **options: object
) -> None:
    """Train the article's model and each step towards today's on DATA, each for the same time.

    Every rung of the ladder adds one thing to the one before: scaled scores, several heads, an
    output projection, several blocks, a feed-forward, norm, rotary position, query/key norm, a
    gate, a falling learning rate, Muon, bfloat16 or whole numbers. The folder gets a page that
    says what was not nice, what mends it and what it did on your data (ladder.html, and
    ladder.md for a repository), a picture (ladder.svg) and all numbers (ladder.json).

    Ctrl-C stops; the same command goes on with the rungs that are left.
    """
    from nextword.config import config_from
    from nextword.ladder.climb import climb
    from nextword.ladder.ladder_request import LadderRequest

    given = {name: value for name, value in options.items() if value is not None}
    places = {"data": data, "out": out, "skip_bad": skip_bad}
    request = config_from(LadderRequest, places | given)
    screen = console()
    with _watching(screen, quiet=quiet) as watcher:
        climbed = climb(request, watcher=watcher, fresh=fresh)
    write(climbed, out)
    if not quiet:
        summarise(climbed, out, screen)


def write(climbed: "Ladder", out: Path) -> None:
    """The numbers, the picture and the two pages."""
    from nextword.ladder.html_page import ladder_page
    from nextword.ladder.ladder_chart import ladder_svg
    from nextword.ladder.markdown_page import ladder_markdown

    write_json(out / NUMBERS, plain(climbed.as_json()))
    write_whole(out / PICTURE, ladder_svg(climbed))
    write_whole(out / MARKDOWN, ladder_markdown(climbed, picture=PICTURE))
    write_whole(out / PAGE, ladder_page(climbed))


def summarise(climbed: "Ladder", out: Path, screen: "Console") -> None:
    """The table, what came out, and where the page lies."""
    from rich.table import Table
    from rich.text import Text

    from nextword.ladder.findings_text import HEADINGS, lead, rows

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, heading in enumerate(HEADINGS[:-1]):  # parameters do not fit; the page has them
        table.add_column(heading, justify="left" if place in (0, 4) else "right", no_wrap=True)
    for step, row in zip(climbed.steps(), rows(climbed), strict=True):
        look = {"better": "green", "worse": "yellow"}.get(step.verdict, "")
        looks = ("", "", "", look, look, "")
        table.add_row(*map(Text, row, looks))
    screen.print()
    screen.print(table)
    screen.print()
    screen.print(Text(lead(climbed)[-1]))
    screen.print(Text(f"The page: {visible(str(out / PAGE))}"), soft_wrap=True)


class _Watcher:
    """Tells on a terminal with a bar, elsewhere in one line for each training."""

    def __init__(self, screen: "Console", bar: "Progress | None", *, quiet: bool) -> None:
        self._screen, self._bar, self._quiet = screen, bar, quiet
        self._task: TaskID | None = None
        self._label, self._number, self._of = "", 0, 0

    def note(self, text: str) -> None:
        """Something worth knowing happened."""
        self._line(f"note: {text}")

    def preparing(self, what: str, done: int, total: int) -> None:
        """Before the first rung."""
        self._show(progress(what, done, total), 0, 1)

    def begin(self, rung: "Rung", *, seed: int, number: int, of: int) -> None:
        """A training begins."""
        self._label, self._number, self._of = f"{rung.name}, seed {seed}", number, of

    def update(self, update: "Update") -> None:
        """A step of it is done."""
        part = update.step / update.steps
        words = f"{self._label} · loss {update.loss:.3f} · {time_left(update.seconds_left)}"
        self._show(words, self._number - 1 + part, self._of)

    def done(self, climb: "Climb", *, again: bool) -> None:
        """It is finished."""
        loss = "broke off" if climb.loss is None else f"held-out loss {climb.loss:.4f}"
        place = f"{self._number:>{len(str(self._of))}}/{self._of}"
        more = "  (kept from before)" if again else f"  {count(climb.steps, 'step')}"
        self._line(f"{place}  {self._label}: {loss}{more}")
        self._show(self._label, self._number, self._of)

    def _line(self, text: str) -> None:
        if not self._quiet:
            self._screen.print(visible(text), soft_wrap=True)

    def _show(self, words: str, done: float, total: float) -> None:
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=total)
        self._bar.update(self._task, description=words, completed=done, total=total)


@contextmanager
def _watching(screen: "Console", *, quiet: bool) -> Iterator[_Watcher]:
    """A watcher, with a bar where there is a terminal to draw it on."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    if quiet or not screen.is_terminal:
        yield _Watcher(screen, None, quiet=quiet)
        return
    columns = (BarColumn(24), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=screen, transient=True, refresh_per_second=4) as bar:
        yield _Watcher(screen, bar, quiet=quiet)
