"""Learning a vocabulary from text: words, characters, or byte pairs.

Every learner reads the texts once, as they come, and holds only what it needs: counts of
distinct pieces for words and characters, a thinned sample of the text for byte pairs.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from nextword.errors import TokenizerError, unknown

TokenizerKind = Literal["words", "characters", "bpe"]
KINDS: tuple[TokenizerKind, ...] = ("words", "characters", "bpe")
END = "<|end|>"
PAD = "<|pad|>"
UNKNOWN = "<|unknown|>"

MAX_IDS = 4_000_000  # more ids than this in one vocabulary is a mistake or an attack
MAX_PIECES = 1_000_000  # different words held while counting them
SAMPLE_BYTES = 64 << 20  # text that byte pairs are learned from
BLOCK_BYTES = 64 << 10  # the sample is thinned by blocks of this size
SEPARATOR = "\0"  # between the texts of one block

WORD = r" ?[\w'’]+| ?[^\w\s]|\s"  # a word or one sign, each with the space before it; white space
CHARACTER = r"[\s\S]"
LONG_RUN = r"\S{256}"  # an unbroken run is learned from in parts: merging is slow in long ones


def learn_backend(texts: Iterable[str], *, kind: str, vocab_size: int | None) -> Backend:
    """A `tokenizers` tokenizer whose vocabulary comes from `texts`; end and pad have the last ids.

    Args:
        texts: read once; a single string counts as one text.
        kind: "words", "characters" or "bpe".
        vocab_size: the most ids there may be, special tokens included; None: see `learn_bpe`;
            for words and characters, all of them.

    Raises:
        TokenizerError: an unknown kind, no text, or a vocab_size that is too small or too large.
    """
    if kind not in KINDS:
        raise TokenizerError(unknown("kind of tokenizer", kind, KINDS))
    texts = [texts] if isinstance(texts, str) else texts
    smallest = 256 + 2 if kind == "bpe" else 1 + 3
    if vocab_size is not None and not smallest <= vocab_size <= MAX_IDS:
        raise TokenizerError(
            f"vocab_size is {vocab_size}; kind {kind!r} needs at least {smallest} "
            f"(special tokens included) and at most {MAX_IDS}"
        )
    if kind == "bpe":
        backend = learn_bpe(texts, vocab_size=vocab_size)
    elif kind == "words":
        backend = _words(_count(texts, kind), vocab_size=vocab_size)
    else:
        backend = _characters(_count(texts, kind), vocab_size=vocab_size)
    backend.add_special_tokens([END, PAD])
    return backend


def learn_bpe(texts: Iterable[str], *, vocab_size: int | None) -> Backend:
    """Byte-level BPE as GPT-2 has it: the 256 bytes, then the pairs merged most often.

    Without a `vocab_size` it follows from the amount of text, see `default_vocab_size`. It is a
    limit: a pair that occurs only once in the text is not merged.

    Source: Sennrich et al. 2016 (arXiv 1508.07909); GPT-2's pattern and byte alphabet.
    """
    sample, n_bytes = thin(texts)
    _check_text(n_bytes)
    backend = Backend(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LONG_RUN), "isolated"), byte_level]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=(vocab_size or default_vocab_size(n_bytes)) - 2,  # end and pad come on top
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces = (text for block in sample for text in block.decode("utf-8").split(SEPARATOR))
    backend.train_from_iterator(pieces, trainer)
    backend.pre_tokenizer = byte_level
    backend.decoder = decoders.ByteLevel()
    return backend


def default_vocab_size(n_bytes: int) -> int:
    """The power of two nearest to 4 × √bytes, between 512 and 32768: 1 MB of text gives 4096."""
    power = round(math.log2(4 * math.sqrt(max(n_bytes, 1))))
    return min(max(1 << power, 512), 32768)


def thin(texts: Iterable[str], *, limit: int = SAMPLE_BYTES) -> tuple[list[bytes], int]:
    """An even sample of the texts in at most `limit` bytes, and how many bytes there were.

    Text is taken block by block; when the sample is full, every other block of it is dropped and
    from then on half as many are taken. The same texts always give the same sample.
    """
    kept: list[bytes] = []
    stride, n_kept, n_seen = 1, 0, 0
    for number, block in enumerate(_blocks(texts)):
        n_seen += len(block)
        if number % stride:
            continue
        kept.append(block)
        n_kept += len(block)
        if n_kept > limit and len(kept) > 1:
            del kept[1::2]
            stride *= 2
            n_kept = sum(map(len, kept))
    return kept, n_seen


def _blocks(texts: Iterable[str]) -> Iterator[bytes]:
    """The texts as UTF-8, short ones gathered and long ones cut to blocks of about 64 KiB."""
    gathered: list[str] = []
    size = 0
    for text in texts:
        for piece in _cut(text):
            gathered.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield SEPARATOR.join(gathered).encode("utf-8", "replace")
                gathered, size = [], 0
    if size:
        yield SEPARATOR.join(gathered).encode("utf-8", "replace")


def _cut(text: str) -> Iterator[str]:
    """`text` in pieces of at most 64 Ki characters, cut before a space where there is one."""
    start = 0
    while len(text) - start > BLOCK_BYTES:
        space = text.rfind(" ", start + 1, start + BLOCK_BYTES)
        stop = space if space > start else start + BLOCK_BYTES
        yield text[start:stop]
        start = stop
    yield text[start:]


def _count(texts: Iterable[str], kind: str) -> Counter[str]:
    """How often each piece of text occurs, in the order of first appearance."""
    counts: Counter[str] = Counter()
    for text in texts:
        # No word crosses a space, so equal parts between spaces are split into words only once.
        counts.update(text if kind == "characters" else text.split(" ") if text else ())
        if len(counts) > MAX_PIECES:
            raise TokenizerError(
                f"the text has more than {MAX_PIECES} different {kind}; kind 'bpe' can encode "
                "any text with a small vocabulary"
            )
    _check_text(len(counts))
    return counts


def _words(counts: Counter[str], *, vocab_size: int | None) -> Backend:
    """The article's tokenizer: one token for each word, as it is written.

    The text gets a space put before it, and a word carries the space before it: `the cat` is
    ` the`, ` cat`. A sign is a token of its own, and so is every line break or further space.
    """
    splitter = pre_tokenizers.Split(Regex(WORD), "isolated")
    words: Counter[str] = Counter()
    for part, count in counts.items():
        for word, _ in splitter.pre_tokenize_str(f" {part}"):
            words[word] += count
    backend = _one_token_each(words, vocab_size=vocab_size)
    backend.normalizer = normalizers.Prepend(" ")
    backend.pre_tokenizer = splitter
    backend.decoder = words_decoder()
    return backend


def words_decoder() -> decoders.Sequence:
    """All pieces joined, without the space that was put before the text."""
    return decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def _characters(counts: Counter[str], *, vocab_size: int | None) -> Backend:
    """One token for each character (Unicode code point)."""
    backend = _one_token_each(counts, vocab_size=vocab_size)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(CHARACTER), "isolated")
    backend.decoder = decoders.Fuse()
    return backend


def _one_token_each(counts: Counter[str], *, vocab_size: int | None) -> Backend:
    """The most frequent pieces, ties by first appearance, then the unknown token."""
    room = None if vocab_size is None else vocab_size - 3  # unknown, end, pad
    pieces = [piece for piece, _ in counts.most_common()[:room]]
    vocabulary = {piece: id for id, piece in enumerate([*pieces, UNKNOWN])}
    return Backend(models.WordLevel(vocabulary, unk_token=UNKNOWN))


def _check_text(amount: int) -> None:
    if not amount:
        raise TokenizerError(
            "there is no text to learn a tokenizer from; give at least one text that is not empty"
        )
