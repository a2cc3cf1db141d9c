"""Numbers and texts as people like to read them."""

import math
import unicodedata

from nextword.common.formatting import size

_KEPT = "\u200c\u200d"  # the joiners that Persian and emoji are written with
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str, *, keep: str = "") -> str:
    """`text` with every control, formatting or unassigned character replaced by a visible one.

    A line end becomes ↵, other controls their pictures (␛, ␉), the rest escapes like \\u202e:
    so no text can move the cursor, colour the terminal or turn the line around.

    Args:
        text: any text, perhaps written by a model.
        keep: characters to leave as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        _picture(letter)
        if unicodedata.category(letter) in _UNSEEN and letter not in _KEPT + keep
        else letter
        for letter in text
    )


def _picture(letter: str) -> str:
    if letter == "\n":
        return "↵"
    return chr(0x2400 + ord(letter)) if letter < " " else ascii(letter)[1:-1]


def duration(seconds: float) -> str:
    """Seconds as `0:07`, `12:34`, `5:06:07` or `2 d 5 h`; `–` if not finite."""
    if not math.isfinite(seconds):
        return "–"
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def time_left(seconds: float | None) -> str:
    """Return `0:07 left`, or that it is not known yet."""
    return "time left not known yet" if seconds is None else f"{duration(seconds)} left"


def share(value: float) -> str:
    """A share of 1 as `45 %`, with a decimal below ten percent."""
    percent = value * 100
    return f"{percent:.1f} %" if percent < 9.95 else f"{percent:.0f} %"


def rate(value: float) -> str:
    """How many per second: `7.4`, `123,456` or `1.23 million`."""
    if value >= 999_999.5:
        return f"{value / 1e6:,.2f} million"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}"


def small(value: float) -> str:
    """A learning rate or a norm with three digits that count: `0.003`, `1.5e-06`."""
    return f"{value:.3g}"


def progress(what: str, done: int, total: int) -> str:
    """How far some work over bytes is: `tokenising 35 % of 5,000 MB`."""
    return f"{what} {share(done / max(total, 1))} of {size(total)}"
