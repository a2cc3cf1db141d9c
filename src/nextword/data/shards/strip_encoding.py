"""Encode a long text in strips, with the tokens that it has as a whole.

A tokenizer may look beyond a cut: a normalizer puts a space before every text that it is given, a
merge joins characters on both sides. So neighbouring strips overlap by MARGIN characters on each
side of a cut, and their tokens are joined in the middle of the longest run that both agree on.
Where they do not agree on SURE tokens in a row, the two strips are encoded as one.

        ┌──────────── strip ───────────┐
   … the cat sat on the mat. │ The dog sat …        │: the cut
                   └──────────── next strip ───
                      └ overlap ┘

A tokenizer that is known to begin anew at a line break between words needs no overlap there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextword.data.records.readers import LONGEST_PIECE, good_cut
from nextword.tokenizer.byte_counts import CountedIds

if TYPE_CHECKING:
    from tokenizers import Encoding

    from nextword.tokenizer.tokenizer import Tokenizer

STRIP = 1 << 16  # characters: long texts are encoded in strips, which the cores share
MARGIN = 1024  # characters on each side of a cut that both strips have
SURE = 16  # tokens in a row that both must agree on

_Token = tuple[int, int, int]  # where it begins and stops in the overlap, and its id


@dataclass(frozen=True)
class Strip:
    """A stretch of a document.

    Attributes:
        text: with the margins.
        left, right: characters of it before the first cut, and after the second one; 0: none.
        ends: whether the document ends with it.
        read: bytes of the corpus read so far.
    """

    text: str
    left: int
    right: int
    ends: bool
    read: int


class StripCutter:
    """Cuts a document into strips, piece by piece as it is read."""

    def __init__(self, *, at_line_breaks: bool) -> None:
        """Begin a document; after its last piece the next one may follow.

        Args:
            at_line_breaks: the tokenizer begins anew at a line break between words, so a cut there
                needs no margin.
        """
        self._at_line_breaks = at_line_breaks
        self._text = ""
        self._left = 0  # characters of the text that the strip before had, too

    def push(self, text: str, *, ends: bool, read: int) -> Iterator[Strip]:
        """Take the next piece of the document; yields the strips that are complete."""
        self._text += text
        while len(self._text) - self._left > STRIP + MARGIN:
            window = self._text[self._left : self._left + STRIP + 1]
            found = good_cut(window, STRIP)
            margin = 0 if found and self._at_line_breaks else MARGIN
            at = self._left + (found or STRIP)
            yield Strip(self._text[: at + margin], self._left, margin, False, read)
            begin = max(at - margin, 0)
            self._text, self._left = self._text[begin:], at - begin
        if ends:
            yield Strip(self._text, self._left, 0, True, read)
            self._text, self._left = "", 0


class StripJoiner:
    """Joins the tokens of strips to those of their document."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._text = ""  # of the strip whose last tokens are not sure yet
        self._encoding: Encoding | None = None
        self._begin = 0  # of its tokens, those before are written

    def push(self, strip: Strip, encoding: "Encoding") -> list[CountedIds]:
        """Take the next strip with its tokens; returns the tokens that are sure by now."""
        done: list[CountedIds] = []
        text, begin = strip.text, 0
        if self._encoding is not None:
            done, text, encoding, begin = self._join(strip, encoding)
        if strip.right:
            self._text, self._encoding, self._begin = text, encoding, begin
            return done
        self._text, self._encoding, self._begin = "", None, 0
        return [*done, self._used(text, encoding, begin, len(encoding))]

    def _join(
        self, strip: Strip, encoding: "Encoding"
    ) -> tuple[list[CountedIds], str, "Encoding", int]:
        """Return the sure tokens of the strip before, and what is to be gone on with."""
        before, margin = self._encoding, strip.left
        assert before is not None
        overlap = self._overlap(strip)
        first, ours = _tokens(before, len(self._text) - overlap, len(self._text))
        second, theirs = _tokens(encoding, 0, overlap)
        stop, begin, sure = _agreement(ours, theirs)
        if sure < SURE and sure < max(len(ours), len(theirs)):
            together = self._text + strip.text[overlap:]
            if len(together) <= LONGEST_PIECE:
                whole = self._tokenizer.encode_with_places([together])[0]
                return [], together, whole, self._begin
            if not sure:  # as good as any
                stop = sum(end <= margin for _, end, _ in ours)
                begin = sum(end <= margin for _, end, _ in theirs)
        done = self._used(self._text, before, self._begin, first + stop)
        return [done], strip.text, encoding, second + begin

    def _used(self, text: str, encoding: "Encoding", start: int, stop: int) -> CountedIds:
        """Return some of the ids of a strip, and name the unknown words among them."""
        self._tokenizer.name_unknown(text, encoding, start, stop)
        return self._tokenizer.counted_part(text, encoding, start, stop)

    def _overlap(self, strip: Strip) -> int:
        """Return how many characters both strips have: a margin on each side of the cut."""
        return strip.left + MARGIN


def _tokens(encoding: "Encoding", start: int, stop: int) -> tuple[int, list[_Token]]:
    """Return the number of the first token within a stretch, and all that begin there."""
    n_tokens, ids = len(encoding), encoding.ids
    first = 0
    if start:
        first = n_tokens
        while first and _place(encoding, first - 1)[0] >= start:
            first -= 1
    found: list[_Token] = []
    for number in range(first, n_tokens):
        begin, end = _place(encoding, number)
        if begin >= stop:
            break
        found.append((begin - start, end - start, ids[number]))
    return first, found


def _place(encoding: "Encoding", number: int) -> tuple[int, int]:
    """Return where in the text a token begins and stops."""
    return encoding.token_to_chars(number) or (0, 0)


def _agreement(ours: list[_Token], theirs: list[_Token]) -> tuple[int, int, int]:
    """Find the longest run of tokens that stand in both, at the same places.

    Returns:
        Numbers of the token in its middle, in the one and in the other; and how long it is.
    """
    numbers = {token: number for number, token in reversed(list(enumerate(theirs)))}
    best, run, expected = (0, 0, 0), 0, -1
    for number, token in enumerate(ours):
        goes_on = 0 < expected < len(theirs) and theirs[expected] == token
        found = expected if goes_on else numbers.get(token, -1)
        run = 0 if found < 0 else run + 1 if goes_on else 1
        expected = found + 1 if found >= 0 else -1
        if run > best[2]:
            best = (number + 1, expected, run)
    stop, begin, sure = best
    return stop - sure // 2, begin - sure // 2, sure
