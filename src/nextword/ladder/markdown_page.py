"""The ladder as a Markdown page, with its picture beside it."""

import re
from collections.abc import Iterator

from nextword.ladder import findings_text
from nextword.ladder.result import Ladder

MADE = "<!-- Made by `nextword ladder`; run it again instead of changing this page. -->"


def ladder_markdown(ladder: Ladder, *, picture: str) -> str:
    """The page, with the same words as the HTML page.

    Args:
        ladder: what was measured.
        picture: the SVG's name, beside the page.
    """
    parts = [f"# {findings_text.TITLE}", MADE, *map(_inert, findings_text.lead(ladder))]
    parts += [f"![Held-out loss of each rung]({picture})", "\n".join(_table(ladder))]
    for told in findings_text.rungs(ladder):
        parts += [f"## {told.title}", *map(_inert, told.story)]
        parts.append(_fence("diff", [*(f"- {line}" for line in told.was), *_plus(told)]))
        if told.settings:
            parts.append(f"Setting: {', '.join(f'`{text}`' for text in told.settings)}")
        parts += [f"**{_inert(told.result[0])}**", *map(_inert, told.result[1:])]
        if told.sample:
            parts += ["After its time it writes:", _fence("text", told.sample.splitlines())]
    parts.append("## How it was measured")
    parts.append(
        "\n".join(f"- **{what}**: {_inert(how)}." for what, how in findings_text.method(ladder))
    )
    parts.append(_fence("console", [f"$ {findings_text.command(ladder)}"]))
    return "\n\n".join(parts) + "\n"


def _plus(told: findings_text.Told) -> list[str]:
    return [f"+ {line}" for line in told.now]


def _table(ladder: Ladder) -> Iterator[str]:
    yield f"| {' | '.join(findings_text.HEADINGS)} |"
    yield f"| --- |{' ---: |' * 3} --- |{' ---: |' * 2}"
    for row in findings_text.rows(ladder):
        yield f"| {' | '.join(_inert(cell) for cell in row)} |"


def _fence(language: str, lines: list[str]) -> str:
    """A fenced block; its fence is longer than any run of backticks inside."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def _inert(text: str) -> str:
    """Text in which nothing is Markdown: names of files and messages may hold anything.

    Only what means something inside a line is escaped, so that the page is good to read as it is.
    """
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
