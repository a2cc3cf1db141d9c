"""The same forward, written out, every value named and open to be looked at or replaced."""

from nextword.glass.points import Point, points_of
from nextword.glass.recording import record
from nextword.glass.reference import forward
from nextword.glass.trace import Trace

__all__ = ["Point", "Trace", "forward", "points_of", "record"]
