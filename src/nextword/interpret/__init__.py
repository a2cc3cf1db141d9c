"""The same forward, written out, every value named and open to be looked at or replaced."""

from nextword.interpret.points import Point, points_of
from nextword.interpret.recording import record
from nextword.interpret.reference import forward
from nextword.interpret.trace import Trace

__all__ = ["Point", "Trace", "forward", "points_of", "record"]
