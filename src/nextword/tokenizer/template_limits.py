"""How large a value of a chat template may be, and what would grow too large, told beforehand."""

from collections.abc import Collection, Iterable, Iterator, Mapping, MappingView
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace

MAX_TEXT = 1 << 20  # characters of a text, the rendered one among them
MAX_WEIGHT = 1 << 21  # of a value: its characters, and ITEM for each item in it
ITEM = 16
MAX_PRODUCT = 1 << 27  # of the lengths of a text and of what is looked for in it
LARGEST_NUMBER = 1 << 63


def bounded(pieces: Iterable[str]) -> Iterator[str]:
    """Pass pieces of a text on, up to MAX_TEXT characters."""
    size = 0
    for piece in pieces:
        size += len(piece)
        check_size(size)
        yield piece


def weight(value: Any) -> int:
    """Return how many characters and items a value holds, each as often as it stands in it.

    Raises:
        SecurityError: more than MAX_WEIGHT, a text or a number too large.
    """
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            check_size(len(item))
            total += len(item)
        elif isinstance(item, int) and abs(item) > LARGEST_NUMBER:
            raise SecurityError("a number too large")
        elif isinstance(item, Namespace):
            waiting.append(item._Namespace__attrs)
            total += ITEM
        elif isinstance(item, Mapping):
            total += 2 * ITEM * len(item)
            waiting += [*item, *item.values()]
        elif isinstance(item, MappingView):
            waiting.append(list(item))  # type: ignore[call-overload]
        elif isinstance(item, list | tuple):
            total += ITEM * len(item)
            if total <= MAX_WEIGHT:
                waiting += item
        else:
            total += 1
        if total > MAX_WEIGHT:
            raise SecurityError("a value too large")
    return total


def check_size(size: int) -> None:
    """Refuse a text of more than MAX_TEXT characters."""
    if size > MAX_TEXT:
        raise SecurityError(f"a text of more than {MAX_TEXT} characters")


def check_replaced(text: str, old: Any, new: Any, *_: Any) -> None:
    """Refuse a replacement that grows too large."""
    if isinstance(old, str) and isinstance(new, str):
        times = text.count(old) if old else len(text) + 1
        check_size(len(text) + times * max(0, len(new) - len(old)))


def check_joined(separator: str, items: Any) -> None:
    """Refuse to join items to a text that is too long."""
    if isinstance(items, Collection):
        total = sum(len(item) for item in items if isinstance(item, str))
        check_size(total + len(separator) * len(items))


def check_product(*values: Any) -> None:
    """Refuse to look for a long text in a long one: some ways of it take quadratic time."""
    lengths = sorted(len(value) for value in values if isinstance(value, str))[-2:]
    if len(lengths) == 2 and lengths[0] * lengths[1] > MAX_PRODUCT:
        raise SecurityError("looking for a text too long")


def is_number(value: Any) -> bool:
    """Return True for whole numbers and fractions."""
    return isinstance(value, int | float)
