"""Token ids back to text, one at a time, as a reply is being made.

A stream never shows half a character: what a token leaves unfinished waits for the next one.
Each push costs the same however long the reply already is.
"""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"  # what Unicode shows for bytes that are no character
_LONGEST_WAIT = 64  # tokens a WindowStream holds back before it shows them as they are


class TextStream(ABC):
    """The text of a reply as it grows; all pushed pieces and the last one join to the whole."""

    @abstractmethod
    def push(self, id: int) -> str:
        """The text that this token completes; often one word, sometimes nothing yet."""

    @abstractmethod
    def finish(self) -> str:
        """What is left at the end; bytes that never became a character show as U+FFFD."""


class ByteStream(TextStream):
    """For byte-level tokenizers: a token is some bytes, a character may span several tokens."""

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        return self._decoder.decode(self._piece(id))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class PieceStream(TextStream):
    """For words and characters: a token is its text; words drop the space before the first."""

    def __init__(self, piece: Callable[[int], str], *, drop_first_space: bool) -> None:
        self._piece = piece
        self._drop_space = drop_first_space

    def push(self, id: int) -> str:
        piece = self._piece(id)
        if piece and self._drop_space:
            self._drop_space = False
            return piece.removeprefix(" ")
        return piece

    def finish(self) -> str:
        return ""


class WindowStream(TextStream):
    """For any other decoder: decode the last few tokens again and show what the new one adds.

    The tokens shown last stay in the window, because some decoders treat the first token
    differently from those that follow it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._n_shown = 0  # how many of the window's tokens are already shown

    def push(self, id: int) -> str:
        self._window.append(id)
        new = self._new_text()
        waiting = len(self._window) - self._n_shown
        if (not new or new.endswith(REPLACEMENT)) and waiting < _LONGEST_WAIT:
            return ""
        self._window = self._window[self._n_shown :]
        self._n_shown = len(self._window)
        return new

    def finish(self) -> str:
        new = self._new_text()
        self._n_shown = len(self._window)
        return new

    def _new_text(self) -> str:
        shown = self._decode(self._window[: self._n_shown])
        return self._decode(self._window)[len(shown) :]
