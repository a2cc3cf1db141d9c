"""The same forward, written out, every value named and open to be looked at or replaced."""

from nextword.glass.points import Point, points_of
from nextword.glass.reference import forward
from nextword.glass.trace import Trace, record

__all__ = ["Point", "Trace", "forward", "points_of", "record"]
