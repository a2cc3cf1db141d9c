"""Texts to ids with a `tokenizers` backend, and the bytes of the text that each id stands for.

Special tokens are read in rendered chat templates only; a text that spells one never becomes it.
"""

import itertools
import re
import threading
from collections.abc import Sequence
from functools import cached_property

from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from nextword.tokenizer.byte_counts import SPACES, CountedIds, count_bytes, vocabulary_bytes
from nextword.tokenizer.library_errors import guarded
from nextword.tokenizer.loading import RELEARN

CANNOT_ENCODE = "this tokenizer cannot encode a text"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character: no text has it


class Encoder:
    """Encodes with a backend that several threads may use."""

    def __init__(self, backend: Backend, *, unknown_id: int | None) -> None:
        """Wrap a backend, which from now on reads no special tokens in texts.

        Args:
            backend: the tokenizer.
            unknown_id: its token for what is not in the vocabulary.
        """
        backend.encode_special_tokens = True  # `<|end|>` in a text is seven ordinary characters
        self._backend = backend
        self._lock = threading.Lock()  # held while special tokens are read
        self._unknown_id = unknown_id
        added = backend.get_added_tokens_decoder()
        self._spelled = re.compile(
            f"(?={'|'.join(re.escape(token.content) for token in added.values())})"
        )
        # the unknown token is special, too, but it stands for text
        special = {id for id, token in added.items() if token.special}
        self._control_ids = frozenset(special - {unknown_id})

    @cached_property
    def byte_lengths(self) -> list[int]:
        """[V], the UTF-8 bytes of text that each entry of the vocabulary stands for.

        Special tokens stand for none, and the unknown token for none that the vocabulary knows.
        """
        return vocabulary_bytes(self._backend, none=self._control_ids | {self._unknown_id})

    @cached_property
    def _spaced(self) -> frozenset[int]:
        """The entries that begin with a space."""
        pieces = self._backend.get_vocab(with_added_tokens=False)
        return frozenset(id for piece, id in pieces.items() if piece[:1] in SPACES)

    @cached_property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the post-processor puts before a text, and what behind it."""
        for text in ("a", "0", "the", " "):
            (bare,) = self.ids([text])
            with guarded(CANNOT_ENCODE, mend=RELEARN):
                whole = self._backend.encode(text, add_special_tokens=True).ids
            for start in range(len(whole) - len(bare) + 1 if bare else 0):
                if whole[start : start + len(bare)] == bare:
                    return tuple(whole[:start]), tuple(whole[start + len(bare) :])
        return (), ()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text."""
        return [
            self._broken(text).ids if self._is_forged(encoding.ids) else encoding.ids
            for text, encoding in zip(texts, self.encodings(texts, fast=True), strict=True)
        ]

    def counted(self, texts: Sequence[str], rows: Sequence[list[int]]) -> list[CountedIds]:
        """Return the ids of each text with their bytes.

        Args:
            texts: what was encoded.
            rows: what `ids` gave. Where the vocabulary tells the bytes of a text, they are taken;
                the others are encoded again with their offsets, which is slower.
        """
        lengths = self.byte_lengths
        found: list[CountedIds] = []
        others: list[int] = []
        for place, (text, ids) in enumerate(zip(texts, rows, strict=True)):
            excess = sum(lengths[id] for id in ids) - len(text.encode("utf-8"))
            found.append(CountedIds(ids))
            if excess == 1 and ids[0] in self._spaced and text[:1] != " ":
                n_bytes = [lengths[id] for id in ids]
                n_bytes[0] -= 1  # of the space that the tokenizer put before the text
                found[-1] = CountedIds(ids, n_bytes)
            elif excess:
                others.append(place)
        encodings = self.encodings([texts[place] for place in others])
        for place, encoding in zip(others, encodings, strict=True):
            text = texts[place]
            forged = self._is_forged(encoding.ids)
            found[place] = self._broken(text) if forged else self.counted_by_place(text, encoding)
        return found

    def rendered(self, text: str) -> CountedIds:
        """Return the ids of a rendered chat template, in which special tokens are read."""
        with self._lock:
            self._backend.encode_special_tokens = False
            try:
                with guarded(CANNOT_ENCODE, mend=RELEARN):
                    encoding = self._backend.encode(text, add_special_tokens=False)
            finally:
                self._backend.encode_special_tokens = True
        return self.counted_by_place(text, encoding, rendered=True)

    def encodings(self, texts: Sequence[str], *, fast: bool = False) -> list[Encoding]:
        """Encode texts on all cores; fast: without their offsets."""
        encode = self._backend.encode_batch_fast if fast else self._backend.encode_batch
        with self._lock, guarded(CANNOT_ENCODE, mend=RELEARN):
            return encode(list(texts), add_special_tokens=False)

    def _is_forged(self, ids: Sequence[int]) -> bool:
        """Return True where a text's own characters made a special token.

        A model that looks whole pieces up (Unigram, WordLevel) finds `</s>` in its vocabulary.
        """
        return not self._control_ids.isdisjoint(ids)

    def _broken(self, text: str) -> CountedIds:
        """Encode a text that spells special tokens, broken after the first character of each."""
        places = [match.start() + 1 for match in self._spelled.finditer(text)]
        pieces = [text[start:stop] for start, stop in itertools.pairwise([0, *places, len(text)])]
        ids: list[int] = []
        n_bytes: list[int] = []
        rest = 0
        for piece, encoding in zip(pieces, self.encodings(pieces), strict=True):
            counted = self.counted_by_place(piece, encoding)
            counts = list(counted.n_bytes or ())
            if counts:
                counts[0], rest = counts[0] + rest, 0
            ids += counted.ids
            n_bytes += counts
            rest += counted.rest
        return CountedIds(ids, n_bytes, rest)

    def counted_by_place(
        self, text: str, encoding: Encoding, *, rendered: bool = False
    ) -> CountedIds:
        """Count the bytes of tokens by their offsets; rendered: special tokens stand for none."""
        ids, controls = encoding.ids, self._control_ids if rendered else frozenset()
        special = {place for place, id in enumerate(ids) if id in controls}
        counts, rest = count_bytes(text, encoding.tokens, encoding.offsets, special=special)
        return CountedIds(ids, counts, rest)


def whole_characters(text: str) -> str:
    """Return a text with U+FFFD for halves of characters."""
    return LONE_SURROGATE.sub("\ufffd", text)
