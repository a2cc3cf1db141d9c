"""A tokenizer for tests whose tokens can be worked out by hand."""

from collections.abc import Sequence
from functools import cache

from nextword.tokenizer.byte_counts import CountedIds

END, PAD = 1, 0


@cache
def lengths(vocab_size: int) -> list[int]:
    """The bytes of every token; pad and end stand for none."""
    return [0, 0, *(len(chr(id).encode("utf-8", "replace")) for id in range(2, vocab_size))]


class Letters:
    """A character is its code point."""

    end_id, pad_id = END, PAD
    start_ids: tuple[int, ...] = ()
    encodes_turns_apart = True
    begins_anew_at_lines = True

    def __init__(self, vocab_size: int = 1 << 16, fingerprint: str = "letters") -> None:
        self.vocab_size = vocab_size
        self.fingerprint = fingerprint
        self.calls = 0

    @property
    def byte_lengths(self) -> list[int]:
        return lengths(self.vocab_size)

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        self.calls += bool(texts)
        return [[ord(letter) for letter in text] for text in texts]

    def encode_counted(self, texts: Sequence[str]) -> list[CountedIds]:
        return [CountedIds(row) for row in self.encode_many(texts)]
