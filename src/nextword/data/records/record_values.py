"""Single values of a record, checked; and the ways in which a record fails."""

from typing import Any

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class ShapeError(Exception):
    """A record that is broken; its caller knows the file and the line."""


class LeftOutError(Exception):
    """A record that is sound and no data; the message is the reason."""


def kind_of(value: Any) -> str:
    """Return the type of a JSON value, in words."""
    return _KINDS.get(type(value), type(value).__name__)


def text(value: Any, name: str) -> str:
    """Return `value` if it is text, or raise a ShapeError that names it."""
    if not isinstance(value, str):
        raise ShapeError(f"{name} is {kind_of(value)}; it must be a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        half = ascii(value[error.start])
        raise ShapeError(f"{name} holds {half}, which is half a character") from None
    return value


def filled(value: Any, name: str) -> str:
    """Return `value` if it is text with at least one character that is no space."""
    if not text(value, name).strip():
        raise ShapeError(f"{name} is empty")
    return str(value)


def is_filled(value: Any) -> bool:
    """Return True unless a value is null, a blank string, or an empty list or object."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value not in ([], {}, ())


def is_zero(weight: Any) -> bool:
    """Return True if a weight is zero, as a number or written in a cell."""
    if isinstance(weight, str):
        try:
            return float(weight) == 0
        except ValueError:
            return False
    return isinstance(weight, int | float) and weight == 0
