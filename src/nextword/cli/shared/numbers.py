"""The numbers that options take: whole ones, finite ones, and those between bounds."""

import contextlib
import math
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from nextword.validation import LARGEST

UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
MAX_DIGITS = 40  # of a number; more are no number that anybody means
SHOWN = 40  # characters of a wrong value that its message repeats


class Whole(click.ParamType[int]):
    """A whole number.

    Args:
        least, most: the bounds, themselves allowed; None: none below, LARGEST above.
        units: allow `k`, `M` and `G` for thousands, millions and billions.
    """

    name = "N"

    def __init__(
        self, least: int | None = None, most: int | None = None, *, units: bool = False
    ) -> None:
        self.least = least
        self.most = most
        self.units = units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return `value` as an int."""
        number = _decimal(_expand(str(value)) if self.units else str(value))
        if number is None or not number.is_finite() or number != number.to_integral_value():
            self.fail(f"{_shown(value)} is not {self._allowed()}", param, ctx)
        whole = int(number)
        low = -LARGEST if self.least is None else self.least
        if not low <= whole <= (LARGEST if self.most is None else self.most):
            self.fail(f"{_shown(value)} is not {self._allowed()}", param, ctx)
        return whole

    def _allowed(self) -> str:
        """Return which numbers are allowed, in words."""
        kind = f"a whole number{_bounds(self.least, self.most)}"
        return f"{kind}; write for example 2000, 500k or 1.5M" if self.units else kind


class Real(click.ParamType[float]):
    """A finite number.

    Args:
        least: the smallest allowed; None: none.
        above: what it must be larger than; None: nothing.
    """

    name = "NUMBER"

    def __init__(self, *, least: float | None = None, above: float | None = None) -> None:
        self.least = least
        self.above = above

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return `value` as a float."""
        number = math.nan
        with contextlib.suppress(ValueError):
            number = float(value)
        low = -math.inf if self.least is None else self.least
        above = -math.inf if self.above is None else self.above
        if not (above < number < math.inf and number >= low):
            bounds = "" if self.above is None else f" above {self.above:g}"
            bounds = bounds if self.least is None else f" from {self.least:g} on"
            self.fail(f"{_shown(value)} is not a finite number{bounds}", param, ctx)
        return number


def _decimal(text: str) -> Decimal | None:
    """Return the number that a text holds; None if it holds none that can be meant."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    if number.is_finite() and number.adjusted() >= MAX_DIGITS:  # 1e999999999 would fill the memory
        return None
    return number


def _expand(text: str) -> str:
    """Write `1.5M` and `2,000` as plain numbers; what is none stays."""
    plain = text.strip().lower().replace(",", "")
    unit = UNITS.get(plain[-1:])
    number = _decimal(plain[:-1]) if unit is not None else None
    return plain if unit is None or number is None else str(number * unit)


def _bounds(least: int | None, most: int | None) -> str:
    if most is not None:
        return f" from {0 if least is None else least:,} to {most:,}"
    if least == 1:
        return " above 0"
    return "" if least is None else f" from {least:,} on"


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
