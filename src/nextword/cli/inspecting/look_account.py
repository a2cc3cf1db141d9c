"""`nextword look --account`, `--narrate` and `--html`: where a prediction comes from."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nextword.cli.shared import drawing
from nextword.cli.shared.command import plain
from nextword.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from nextword.interpret.contributions import Contribution
    from nextword.interpret.logit_attribution import Account
    from nextword.interpret.narration import Narration
    from nextword.interpret.trace import Trace
    from nextword.language_model import LanguageModel
    from nextword.tokenizer.tokenizer import Tokenizer

View = tuple[dict[str, Any], Callable[["Console"], None]]  # for programs, and how it is printed
SHOWN = 12  # contributions that have a bar of their own
FOR_PROGRAMS = 24  # contributions in JSON, beside the groups that hold them all


def check_options(
    *, account: bool, against: str | None, narrate: bool, html: Path | None, full: bool
) -> None:
    """Refuse options that would be of no use together.

    Raises:
        ConfigError: says which.
    """
    if against is not None and not account:
        raise ConfigError("--against needs --account: it is the account against another word")
    if html is not None and (account or narrate):
        raise ConfigError("--html writes the account and the narration, too; leave the others out")
    if full and (account or narrate or html is not None):
        raise ConfigError("--full is for the numbers of a position; leave it out")


def told(
    trace: "Trace",
    tokenizer: "Tokenizer",
    position: int,
    *,
    account: bool,
    against: str | None,
    narrate: bool,
) -> View:
    """Where the prediction at a position comes from, in sentences, as an account, or both.

    Args:
        trace: of the text.
        tokenizer: of the model.
        position: from 0, or from the end when below 0.
        account: whether that of the most likely word is shown.
        against: the word that the account is against; None: none.
        narrate: whether the sentences are.

    Raises:
        ConfigError: no such position, or no such word.
    """
    narration = trace.narrate(position) if narrate else None
    if not account:
        return view(narration, None)
    other = None
    if against is not None:
        other = token_named(tokenizer, against, trace.logits([position])[0])
    return view(narration, trace.account(position, against=other))


def token_named(tokenizer: "Tokenizer", word: str, logits: "Tensor") -> int:
    """The id of the token that `word` names; spaces around it need not be given.

    Args:
        tokenizer: of the model.
        word: as the person wrote it.
        logits: [V]; of several such tokens, the most likely is meant.

    Raises:
        ConfigError: there is no such token; names the nearest.
    """
    names = [tokenizer.token(token_id) for token_id in range(len(logits))]
    for wanted, given in ((word, names), (word.strip(), [name.strip() for name in names])):
        found = [token_id for token_id, name in enumerate(given) if name == wanted]
        if found:
            return max(found, key=lambda token_id: logits[token_id].item())
    near = difflib.get_close_matches(word.strip(), [name.strip() for name in names], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{word!r} is no token of this model's vocabulary; give one that is.{hint}")


def page(
    model: "LanguageModel", ids: Sequence[int], path: Path, *, position: int, layer: int, head: int
) -> View:
    """Write the page in one file, and tell how large it is."""
    from nextword.serve.html_export import write_html

    size = write_html(model, ids, path, position=position, layer=layer, head=head)

    def show(_: "Console") -> None:
        click.echo(f"{path} is written, {size / 1e6:.1f} MB; open it in any browser")

    return {"html": path, "bytes": size}, show


def view(narration: "Narration | None", account: "Account | None") -> View:
    """What was asked for, for programs and for people."""
    found: dict[str, Any] = {}
    if narration is not None:
        found["narration"] = plain(narration)
    if account is not None:
        found["account"] = account_mapping(account)

    def show(screen: "Console") -> None:
        if narration is not None:
            show_narration(screen, narration)
        if narration is not None and account is not None:
            drawing.tell(screen, "")
        if account is not None:
            show_account(screen, account)

    return found, show


def account_mapping(account: "Account") -> dict[str, Any]:
    """The account for programs: all groups, the fixed contributions, and the largest of all."""
    from nextword.interpret.contributions import DIRECT_ONLY

    mapping: dict[str, Any] = plain(account)
    for name in ("heads", "tokens"):  # large; what they come to is in the groups
        del mapping[name]
    groups = {
        "by_word": account.by_word(),
        "by_head": account.by_head(),
        "by_layer": account.by_layer(),
        "by_kind": account.by_kind(),
        "contributions": account.contributions(FOR_PROGRAMS),
    }
    count = {"n_contributions": account.n_contributions, "note": DIRECT_ONLY}
    return mapping | count | {name: plain(parts) for name, parts in groups.items()}


def show_account(screen: "Console", account: "Account") -> None:
    """Print the contributions as signed bars, the largest first, and then by word."""
    from nextword.interpret.contributions import DIRECT_ONLY

    token = drawing.token_text(account.tokens[account.position])
    what = f"the logit of “{drawing.token_text(account.token)}”"
    if account.against is not None:
        what += f" against “{drawing.token_text(account.against)}”"
    heading = f"Position {account.position}, “{token}” · {what}: {drawing.number(account.logit)}"
    drawing.tell(screen, heading, "bold")
    drawing.tell(screen, DIRECT_ONLY)
    parts = account.contributions(SHOWN)
    rows = [(part.label, part.amount) for part in parts]
    rows += _others(account.total, parts, account.n_contributions, "the other {}")
    show_bars(screen, [*rows, ("sum = logit", account.total)])
    drawing.tell(screen, "")
    through = "all heads and token shift" if account.shifted else "all heads"
    drawing.tell(screen, f"By word, {through} together:", "bold")
    *words, rest = account.by_word()
    words = words[: account.position + 1]  # later ones are not seen
    largest = sorted(words, key=lambda part: -abs(part.amount))[:SHOWN]
    named = [part for part in words if part in largest]
    rows = [(f"{part.source} {part.label}", part.amount) for part in named]
    total = sum(part.amount for part in words)
    rows += _others(total, named, len(words), "the other {} words")
    show_bars(screen, [*rows, (rest.label, rest.amount), ("sum = logit", account.total)])


def _others(
    total: float, named: "Sequence[Contribution]", count: int, label: str
) -> list[tuple[str, float]]:
    """One row for all that are not named."""
    if count <= len(named):
        return []
    return [(label.format(count - len(named)), total - sum(part.amount for part in named))]


def show_narration(screen: "Console", narration: "Narration") -> None:
    """Print the sentences, each in a line of its own."""
    for sentence in narration.sentences:
        drawing.tell(screen, sentence.text)


def show_bars(screen: "Console", rows: Sequence[tuple[str, float]]) -> None:
    """Print labels, numbers and signed bars, those below zero in another colour."""
    from rich.text import Text

    for text in drawing.bars(rows, width=drawing.width_of(screen)):
        line = Text(text)
        line.highlight_regex("█+(?=│)", "blue")
        line.highlight_regex("(?<=│)█+", "dark_orange")
        drawing.show(screen, line)
