"""How many bytes of a text each of its tokens stands for, so that bits per byte are comparable.

All bytes of a text are counted, once each: a token stands for what lies between the end of the
token before it and its own end in the text. So a space that a tokenizer drops counts with the
next token, one that it puts before a text counts nothing, and a token for the unknown stands for
the characters that it replaced.
"""

import itertools
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models

from nextword.tokenizer.byte_spelling import BYTE_TOKEN, bytes_of

SPACES = frozenset(" ▁")  # a tokenizer may put one of them before a text


@dataclass(frozen=True)
class CountedIds:
    """The tokens of a text and the bytes that they stand for.

    Attributes:
        ids: the tokens.
        n_bytes: as many numbers; None: of every token what its entry in the vocabulary says.
        rest: bytes after the last token that none stands for.
    """

    ids: list[int]
    n_bytes: list[int] | None = None
    rest: int = 0


def count_bytes(
    text: str,
    pieces: Sequence[str],
    offsets: Sequence[tuple[int, int]],
    *,
    special: Set[int] = frozenset(),
) -> tuple[list[int], int]:
    """Return the bytes that each token of a text stands for, and those after the last token.

    Args:
        text: what was encoded.
        pieces: its tokens as the vocabulary spells them.
        offsets: start and stop of each in the text, in characters.
        special: which of them, by place, are control tokens: their text counts nothing.
    """
    ends = [0, *itertools.accumulate(len(char.encode("utf-8")) for char in text)]
    counts, at = [], 0  # bytes that are counted so far
    for place, (piece, (start, stop)) in enumerate(zip(pieces, offsets, strict=True)):
        end = max(at, ends[stop])
        if place in special:
            before = max(ends[start] - at, 0)  # dropped before it
            counts.append(before)
            at = end
            continue
        if place == 0 and set(piece) <= SPACES and offsets[1:] and not offsets[1][0]:
            end = at  # the next token begins the text, too
        elif BYTE_TOKEN.fullmatch(piece):
            end = min(end, max(at, ends[start]) + 1)
        counts.append(end - at)
        at = end
    return counts, ends[-1] - at


def vocabulary_bytes(backend: Backend, *, none: Set[int | None]) -> list[int]:
    """Return for every id how many UTF-8 bytes its entry in the vocabulary stands for.

    Args:
        backend: the tokenizer.
        none: ids that stand for no text of their own.
    """
    pieces = backend.get_vocab(with_added_tokens=True)
    lengths = [0] * (max(pieces.values()) + 1)
    added, measure = backend.get_added_tokens_decoder(), _measure(backend)
    for piece, id in pieces.items():
        if id not in none:
            lengths[id] = len(piece.encode("utf-8")) if id in added else measure(piece)
    return lengths


def _measure(backend: Backend) -> Callable[[str], int]:
    """Return what tells how many bytes a piece stands for, by the way in which it is spelled."""
    model = backend.model
    if isinstance(backend.decoder, decoders.ByteLevel):
        return lambda piece: len(bytes_of(piece))
    if isinstance(model, models.WordLevel):
        return lambda piece: len(piece.encode("utf-8"))
    if isinstance(model, models.WordPiece):
        prefix = model.continuing_subword_prefix
        return lambda piece: (  # a piece that begins a word has a space before it
            len(piece.removeprefix(prefix).encode("utf-8")) + (not piece.startswith(prefix))
        )
    return lambda piece: 1 if BYTE_TOKEN.fullmatch(piece) else len(_spaced(piece))


def _spaced(piece: str) -> bytes:
    return piece.replace("▁", " ").encode("utf-8")
