"""Pieces of Markdown: tables, sections, numbers with their units, a person's text as text."""

import re
from collections.abc import Iterable

# a dot or dash between digits, as in a version or a date, means nothing to Markdown
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$^:=@]|(?<!\d)[-.]|[-.](?!\d))")


def escape(text: str) -> str:
    """A person's text as one line of Markdown that shows exactly that text."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def section(title: str, lines: Iterable[str]) -> str:
    """A heading and what stands under it; nothing where there is nothing."""
    text = "\n".join(lines)
    return f"## {title}\n\n{text}" if text else ""


def table(rows: Iterable[tuple[str, str | None]], *, heads: tuple[str, str]) -> list[str]:
    """The rows that have a value."""
    shown = [f"| {name} | {value} |" for name, value in rows if value is not None]
    return [f"| {heads[0]} | {heads[1]} |", "|---|---|", *shown] if shown else []


def enumerated(parts: list[str]) -> str:
    """One, two and three."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def text_or_none(value: str | None) -> str | None:
    """A person's text, escaped; None stays None, here and in the next three."""
    return None if value is None else escape(value)


def count(value: int | None) -> str | None:
    """As 1,234,567."""
    return None if value is None else f"{value:,}"


def number(value: float | None) -> str | None:
    """With the digits that a loss or a perplexity deserves."""
    return None if value is None else f"{value:.4g}" if value >= 1000 else f"{value:.4f}"


def percent(value: float | None) -> str | None:
    """A share of 1 as 87.6 %."""
    return None if value is None else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """In the largest units that say something: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
