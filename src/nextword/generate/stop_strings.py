"""Stop strings over a stream of text: the reply ends before the first of them."""

from collections.abc import Sequence


class StopAt:
    """Passes text on until a stop string comes, and never a part of that string.

    A stop string may span pieces: text that could be the start of one is held back until it is
    known. The stop string that is complete first wins, so the result does not depend on how the
    text is cut into pieces; of two complete at the same character, the longer.

    Args:
        stops: the stop strings, none of them empty; without any, all text passes at once.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        assert all(stops), "an empty stop string stops everything; ReplyConfig refuses it"
        self.stops = tuple(stops)
        self.done = False
        self._held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """Take the next piece; returns the text now safe to show, and whether the reply is over."""
        if self.done:
            return "", True
        text = self._held + piece
        cut = self._first_stop(text)
        if cut is not None:
            self.done, self._held = True, ""
            return text[:cut], True
        safe = len(text) - self._possible_start(text)
        self._held = text[safe:]
        return text[:safe], False

    def finish(self) -> str:
        """The text still held back, once no more is to come."""
        rest, self._held = self._held, ""
        return rest

    def _first_stop(self, text: str) -> int | None:
        """Where the stop string that is complete first begins in `text`."""
        starts = ((text.find(stop), len(stop)) for stop in self.stops)
        found = [(start + length, start) for start, length in starts if start >= 0]
        return min(found)[1] if found else None

    def _possible_start(self, text: str) -> int:
        """How many of the last characters could be the start of a stop string."""
        longest = max(map(len, self.stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self.stops):
                return length
        return 0
