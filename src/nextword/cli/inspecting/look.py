"""`nextword look`: what a model predicts at every word, and every number on the way there."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len

from nextword.cli.inspecting import look_account
from nextword.cli.replying.reply import open_model
from nextword.cli.shared import drawing
from nextword.cli.shared.command import (
    command,
    console,
    echo_json,
    folder_argument,
    json_option,
    plain,
)
from nextword.cli.shared.numbers import Whole
from nextword.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from nextword.interpret.verdicts import Verdict, Verdicts
    from nextword.interpret.walkthrough import Chain

STACKED_BELOW = 56  # columns; a narrower terminal has two or three lines for each position
WORDS_FROM = 80  # columns from which the verdict is spelled out
STYLES = {"✓": "green", "✗": "red"}


@command(
    "look",
    example="""
    nextword look models/mine "where is the cat?"
    nextword look models/mine "where is the cat?" "on the mat"
    nextword look models/mine "where is the cat?" --position 2 --layer 1 --head 0
    nextword look models/mine "where is the cat?" --narrate --account --against dog
    nextword look models/mine "where is the cat?" --html cat.html
    """,
)
@folder_argument
@click.argument("texts", nargs=-1, required=True, metavar="TEXT [REPLY]...")
@click.option("--dialogue", "mode", flag_value="dialogue", help="Put the end token after the text.")
@click.option("--continue", "mode", flag_value="text", help="Read the text as it is.")
@click.option(
    "--top", type=Whole(0), default=5, show_default=True, help="Most likely words to show."
)
@click.option("--position", type=Whole(), help="Show every number at this position; -1: the last.")
@click.option("--layer", type=Whole(), help="Of this layer.  [default: 0]")
@click.option("--head", type=Whole(), help="Of this head.  [default: 0]")
@click.option("--full", is_flag=True, help="All numbers of long vectors, not only the first.")
@click.option("--account", is_flag=True, help="Show what each part added to the logit, as bars.")
@click.option("--against", metavar="WORD", help="With --account: what it added against WORD's.")
@click.option("--narrate", is_flag=True, help="Tell in sentences where the prediction comes from.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page to look at, all in one file, which needs no network.",
)
@json_option
def look(
    folder: Path,
    texts: tuple[str, ...],
    mode: str | None,
    top: int,
    position: int | None,
    layer: int | None,
    head: int | None,
    full: bool,
    account: bool,
    against: str | None,
    narrate: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """See what the model in FOLDER predicts after every word of TEXT.

    Each position shows the next word that was predicted, the one that came, and whether that is
    right. Several texts are the turns of a dialogue. `-` reads a text from standard input.

    With --position, shows every number there, from the word's vector through query, keys, weights
    and values to the next word. With --account or --narrate, shows where the prediction at the
    position comes from. With --html, writes a page that opens on position, layer and head.
    """
    look_account.check_options(
        account=account, against=against, narrate=narrate, html=html, full=full
    )
    prompt = texts_given(texts)
    model = open_model(folder, "cpu")
    dialogue = None if mode is None and len(prompt) == 1 else mode != "text"
    read = "dialogue" if dialogue or (dialogue is None and model.kind == "dialogue") else "text"
    at = {"position": -1 if position is None else position, "layer": layer or 0, "head": head or 0}
    if html is not None:
        view = look_account.page(model, model.ids(prompt, dialogue=dialogue), html, **at)
    elif account or narrate:
        trace = model.trace(prompt, dialogue=dialogue)
        view = look_account.told(
            trace, model.tokenizer, at["position"],
            account=account, against=against, narrate=narrate,
        )  # fmt: skip
    elif full or any(number is not None for number in (position, layer, head)):
        full = full or model.config.d_model <= drawing.SHORT_WIDTH
        view = _chain_view(model.chain(prompt, top=top, dialogue=dialogue, **at), full=full)
    else:
        view = _verdicts_view(model.verdicts(prompt, dialogue=dialogue, top=top))
    mapping, show = view
    if as_json:
        echo_json({"model": folder, "read_as": read} | mapping)
    else:
        show(console())


def _chain_view(chain: "Chain", *, full: bool) -> look_account.View:
    return chain_mapping(chain), lambda screen: show_chain(screen, chain, full=full)


def _verdicts_view(verdicts: "Verdicts") -> look_account.View:
    return verdicts_mapping(verdicts), lambda screen: show_verdicts(screen, verdicts)


def texts_given(texts: Sequence[str]) -> list[str]:
    """The texts, with standard input in the place of `-`, without its last line end.

    Raises:
        DataError: `-` is given twice.
    """
    if list(texts).count("-") > 1:
        raise DataError("standard input (-) is given twice; it can be read only once")
    return [_standard_input() if text == "-" else text for text in texts]


def _standard_input() -> str:
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def verdicts_mapping(verdicts: "Verdicts") -> dict[str, Any]:
    """The verdicts for programs."""
    judged = len(verdicts.judged)
    return {
        "n_judged": judged,
        "n_right": verdicts.n_right,
        "n_in_top5": verdicts.n_in_top5,
        "loss": verdicts.loss,
        "positions": [
            plain(item) | {"right": item.right, "in_top5": item.in_top5} for item in verdicts
        ],
    }


def chain_mapping(chain: "Chain") -> dict[str, Any]:
    """The chain for programs; what a line does not have is left out."""
    mapping: dict[str, Any] = plain(chain)
    for step in mapping["steps"]:
        step["lines"] = [
            {key: value for key, value in line.items() if value not in (None, "", [])}
            for line in step["lines"]
        ]
    return mapping


def show_verdicts(screen: "Console", verdicts: "Verdicts") -> None:
    """Print a line for each position, and what they come to."""
    from rich.text import Text

    width = drawing.width_of(screen)
    stacked = width is not None and width < STACKED_BELOW
    lines = _stacked(verdicts) if stacked else _table(verdicts, width)
    for text in lines:
        line = Text(drawing.clipped(text, width))
        for mark, style in STYLES.items():
            line.highlight_regex(f"{mark} [a-z]+.*$", style)
        drawing.show(screen, line)
    for text in _summary(verdicts):
        drawing.tell(screen, text)
    for guess in verdicts[-1].top:
        share = f"{drawing.percent(guess.probability):>9}"
        drawing.show(screen, Text(f"{share}  {drawing.token_text(guess.token)}"))


def _table(verdicts: "Verdicts", width: int | None) -> Iterator[str]:
    """One line for each position."""
    spelled = width is None or width >= WORDS_FROM
    place = len(str(len(verdicts)))
    ranks = max([len(f"#{item.rank}") for item in verdicts.judged] or [0])
    ranks = max(ranks, len("rank"))
    mark = len("✗ wrong, top 5" if spelled else "✗ wrong")
    fixed = place + 2 + 2 * 9 + 2 + ranks + 2 + mark  # and the gaps
    room = None if width is None else max((width - fixed - 4) // 3, 4)
    names = [
        [drawing.token_text(item.token) for item in verdicts],
        [drawing.token_text(item.predicted.token) for item in verdicts],
        [drawing.token_text(item.actual.token) if item.actual else "–" for item in verdicts],
    ]
    titles = ("token", "predicted", "actual")
    sizes = [
        min(max(map(cell_len, [title, *column])), room or sys.maxsize)
        for title, column in zip(titles, names, strict=True)
    ]
    first, second, third = (
        drawing.fitted(title, size) for title, size in zip(titles, sizes, strict=True)
    )
    yield f"{'':>{place}}  {first}  {second}{'':9}  {third}{'':9}  {'rank':>{ranks}}"
    for item, *row in zip(verdicts, *names, strict=True):
        token, guess, actual = (
            drawing.fitted(text, size) for text, size in zip(row, sizes, strict=True)
        )
        share = drawing.percent(item.predicted.probability)
        came = "" if item.actual is None else drawing.percent(item.actual.probability)
        rank = "" if item.rank is None else f"#{item.rank}"
        yield (
            f"{item.position:>{place}}  {token}  {guess}{share:>9}  {actual}{came:>9}  "
            f"{rank:>{ranks}}  {_mark(item, spelled=spelled)}"
        ).rstrip()


def _stacked(verdicts: "Verdicts") -> Iterator[str]:
    """Two or three short lines for each position, for narrow terminals."""
    place = len(str(len(verdicts)))
    for item in verdicts:
        yield f"{item.position:>{place}}  {drawing.token_text(item.token)}"
        share = drawing.percent(item.predicted.probability)
        guess = drawing.token_text(item.predicted.token)
        yield f"{'':{place}}  → {share:>7} {drawing.fitted(guess, 12)} {_mark(item)}".rstrip()
        if item.actual is not None and not item.right:
            came = drawing.percent(item.actual.probability)
            actual = drawing.fitted(drawing.token_text(item.actual.token), 12)
            yield f"{'':{place}}  ≠ {came:>7} {actual} #{item.rank}"


def _mark(item: "Verdict", *, spelled: bool = False) -> str:
    """Right or wrong, in a sign and a word."""
    if item.right is None:
        return "no answer yet" if spelled else "open"
    if item.right:
        return "✓ right"
    if item.in_top5:
        return "✗ wrong, top 5" if spelled else "✗ top 5"
    return "✗ wrong"


def _summary(verdicts: "Verdicts") -> Iterator[str]:
    """What the verdicts come to."""
    judged, loss = len(verdicts.judged), verdicts.loss
    yield ""
    if loss is not None:
        right, near = verdicts.n_right, verdicts.n_in_top5
        yield (
            f"{right} of {judged} right ({100 * right / judged:.0f} %), "
            f"{near} of {judged} in the top 5 ({100 * near / judged:.0f} %), "
            f"loss {loss:.4f} nats per token"
        )
    last = drawing.token_text(verdicts[-1].token)
    yield f"No answer yet after the last token, {last}; predicted next:"


def show_chain(screen: "Console", chain: "Chain", *, full: bool) -> None:
    """Print the steps of a chain, each with its sentence, formula and numbers."""
    from rich.text import Text

    width, tell = drawing.width_of(screen), partial(drawing.tell, screen)
    tell(_heading(chain), "bold")
    shortened = False
    for number, step in enumerate(chain.steps, start=1):
        tell("")
        tell(f"{number}. {step.title}", "bold cyan")
        tell(step.sentence)
        if step.formula:
            tell(step.formula, "italic")
        for text in drawing.step_lines(step, width=width, full=full):
            drawing.show(screen, Text(text))
            shortened = shortened or "‖" in text
    tell("")
    tell("Rounded to four decimals: the last digit of a sum may be off by one.")
    if shortened:
        tell("‖ ‖ is the length of a vector of which only the first numbers are shown; see --full.")
    if chain.fast_difference is not None:
        tell(f"Largest difference to the fast decoder: {chain.fast_difference:.1g}")


def _heading(chain: "Chain") -> str:
    """Where in the model this is."""
    heading = f"Position {chain.position}, “{drawing.token_text(chain.token)}”"
    if chain.layer is None:
        return f"{heading} · a model without blocks"
    heading += f" · layer {chain.layer} of {chain.n_layers}"
    heading += f" · head {chain.head} of {chain.n_heads} (counted from 0)"
    others = [str(head) for head in chain.shared_by if head != chain.head]
    if others:
        heads = f"head{'s' if len(others) > 1 else ''} {', '.join(others)}"
        heading += f" · key/value head {chain.key_value_head}, shared with {heads}"
    return heading
