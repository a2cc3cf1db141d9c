"""Tell which documents are equal in content, by a hash of each: 24 bytes for a document.

Prompts and texts are equal that differ in case, spaces, and in the marks around words alone
(`Where is the cat ?`, `where is the cat`); signs within a sum are kept (`1 + 1`, `1 - 1`).
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.splits import Part
from nextword.data.shards.token_shards import Shards
from nextword.tokenizer.tokenizer import Tokenizer

MARKS = r"[.,;:!?…·'\"“”„‘’‚«»‹›()\[\]{}¿¡。，、；：！？「」『』（）]+"  # around words
BLOCK_TOKENS = 1 << 18  # read at a time
LONG = 1 << 20  # tokens; a longer document is compared token by token
KEY_BYTES = 8

_AROUND_WORDS = re.compile(rf"(?<!\S){MARKS}|{MARKS}(?!\S)")
_Keys = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class ContentKeys:
    """A hash of what each document of a part says; equal hashes: equal content.

    Attributes:
        prompt: [n], of all prompts of a dialogue, or of a text.
        reply: [n], of all its replies, or of a text.
        exact_reply: [n], of the tokens of the replies, without normalizing them; 0: there is no
            prompt, or no reply.
    """

    prompt: _Keys
    reply: _Keys
    exact_reply: _Keys

    @property
    def document(self) -> _Keys:
        """Return one hash of prompts and replies together."""
        return self.prompt * np.uint64(0x9E3779B97F4A7C15) ^ self.reply

    def only(self, chosen: NDArray[np.bool_]) -> "ContentKeys":
        """Return those of some documents."""
        return ContentKeys(self.prompt[chosen], self.reply[chosen], self.exact_reply[chosen])


def normalized(text: str) -> str:
    """Return what equal texts have in common; a text of marks alone is only put in small letters.

    No lone mark may vanish from between two words that it keeps apart, so spaces stay single.
    """
    small = text.casefold()
    return " ".join(_AROUND_WORDS.sub(" ", small).split()) or " ".join(small.split())


def content_keys(shards: Shards, part: Part, tokenizer: Tokenizer) -> ContentKeys:
    """Hash the documents of a part; of a million in well under a minute.

    Args:
        shards, part: where they lie.
        tokenizer: what they were encoded with.
    """
    table = tokenizer.text_bytes()
    found = [_hashed(*each, table, tokenizer.end_id) for each in _documents(shards, part)]
    prompt, reply, exact = np.array(found, dtype=np.uint64).reshape(-1, 3).T
    return ContentKeys(prompt.copy(), reply.copy(), exact.copy())


def _documents(
    shards: Shards, part: Part
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.bool_]]]:
    """Read the tokens of each document, and which of them are replies, many at a time."""
    first, spans = 0, part.spans
    ends = np.cumsum(spans[:, 1] - spans[:, 0])
    while first < len(spans):
        before = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, before + BLOCK_TOKENS, side="right")), first + 1)
        if spans[last - 1, 1] - spans[first, 0] != ends[last - 1] - before:  # others lie between
            last = first + 1
        begin = int(spans[first, 0])
        tokens = shards.tokens(begin, int(spans[last - 1, 1]))
        replies = shards.replies(begin, int(spans[last - 1, 1]))
        for start, stop in (spans[first:last] - begin).tolist():
            yield tokens[start:stop], replies[start:stop]
        first = last


def _hashed(
    tokens: NDArray[np.integer], is_reply: NDArray[np.bool_], table: Sequence[bytes], end_id: int
) -> tuple[int, int, int]:
    """Return the hashes of prompts, replies, and the replies' tokens."""
    if is_reply.all():
        text = _text_hash(tokens, table, end_id)
        return text, text, 0
    replies = tokens[is_reply]
    exact = _hash(replies.astype("<u4").tobytes()) if len(replies) else 0
    prompt = _text_hash(tokens[~is_reply], table, end_id)
    return prompt, _text_hash(replies, table, end_id), exact


def _text_hash(tokens: NDArray[np.integer], table: Sequence[bytes], end_id: int) -> int:
    """Hash what some tokens say; where turns end counts, too."""
    if len(tokens) > LONG:
        return _hash(tokens.astype("<u4").tobytes())
    ids = tokens.tolist()
    text = b"".join([table[id] if id != end_id else b" \x00 " for id in ids])
    return _hash(normalized(text.decode("utf-8", "replace")).encode("utf-8", "replace"))


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=KEY_BYTES).digest(), "little")
