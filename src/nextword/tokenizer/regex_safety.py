"""Regular expressions from a stranger: which of them could take forever."""

import re

MAX_PATTERN = 10_000  # characters
_SKIP = re.compile(
    r"\\[pPxuo]\{[^}]*\}"  # a property or a code point in braces
    r"|\\."  # any other escape
    r"|\(\?(?:[a-zA-Z-]*[:)]|[=!>]|<[=!]|<\w+>)",  # the head of a group with a mark
    re.DOTALL,
)
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_MANY = 100  # a bounded repetition longer than this counts as unbounded


def slow_pattern(pattern: str) -> str | None:
    """Why a pattern may take exponential time, or None if nothing shows that it does.

    It finds the classic: an endless repetition inside another, such as `(a+)*`, which tries
    every way to share a text between the two.
    """
    if len(pattern) > MAX_PATTERN:
        return f"has {len(pattern)} characters (at most {MAX_PATTERN} are allowed)"
    endless = [False]  # per open group: whether something in it repeats endlessly
    closed = False  # whether the item just read is a group with an endless repetition inside
    place = 0
    while place < len(pattern):
        if pattern[place] == "[":
            place, closed = _after_class(pattern, place), False
        elif width := _repetition(pattern, place):
            if closed:
                return "repeats a repetition without end"
            endless[-1] = True
            place += width
        elif match := _SKIP.match(pattern, place):
            place, closed = match.end(), False
            if match[0].startswith("(") and not match[0].endswith(")"):
                endless.append(False)
        elif pattern[place] == "(":
            place, closed = place + 1, False
            endless.append(False)
        elif pattern[place] == ")" and len(endless) > 1:
            place, closed = place + 1, endless.pop()
            endless[-1] |= closed
        else:
            # a lone `?` or a short count does not end the item that it belongs to
            count = _COUNT.match(pattern, place)
            closed = closed and (pattern[place] == "?" or count is not None)
            place = count.end() if count else place + 1
    return None


def _repetition(pattern: str, place: int) -> int:
    """The width of an endless repetition mark at `place`; 0 if there is none."""
    if pattern[place] in "*+":
        return 1 + pattern.startswith(("?", "+"), place + 1)  # lazy or possessive
    if match := _COUNT.match(pattern, place):
        low, comma, high = match.groups()
        most = int(high) if high else _MANY + 1 if comma else int(low or 0)
        return len(match[0]) if most > _MANY else 0
    return 0


def _after_class(pattern: str, start: int) -> int:
    """The place after the character class that opens at `start`; classes may nest."""
    depth, place = 0, start
    while place < len(pattern):
        if pattern[place] == "\\":
            place += 1
        elif pattern[place] == "[":
            depth += 1
            first = place + 1 + pattern.startswith("^", place + 1)
            if pattern.startswith("]", first):  # a bracket in the first place stands for itself
                place = first
        elif pattern[place] == "]":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return place
