"""Text to token ids and back.

Three kinds: `words` (the article's: one token for each word), `characters`, and `bpe`
(byte pairs: any text at all). Each is one tokenizer.json, which Hugging Face's libraries open
as it is. The learned vocabulary has the first ids; the end token and the pad token the last two.

    text ──normalizer──▶ pieces ──vocabulary──▶ ids ──decoder──▶ text
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Encoding, decoders, pre_tokenizers
from tokenizers import Tokenizer as Backend

from nextword.common.files import disk_error, write_json, write_whole
from nextword.errors import TokenizerError
from nextword.tokenizer.byte_counts import CountedIds
from nextword.tokenizer.byte_spelling import BYTE_TOKEN, bytes_of
from nextword.tokenizer.encoder import Encoder, whole_characters
from nextword.tokenizer.incremental_decoding import (
    ByteStream,
    PieceStream,
    TextStream,
    WindowStream,
)
from nextword.tokenizer.library_errors import guarded
from nextword.tokenizer.loading import RELEARN, Specials, read_tokenizer
from nextword.tokenizer.training import (
    END,
    PAD,
    UNKNOWN,
    TokenizerKind,
    learn_backend,
    words_decoder,
)

SPECIAL_NAMES = tuple(
    f"{name}_token" for name in ("bos", "eos", "unk", "pad", "sep", "cls", "mask")
)
_NAMED_AT_ONCE = 10  # unknown words in one warning
_NAMED_AT_ALL = 10_000  # unknown words remembered; after that no more are looked for


class UnknownTokenWarning(UserWarning):
    """A text has words or characters that are not in the vocabulary."""


class Tokenizer:
    """Encodes text to ids and decodes ids to text; made by `learn` or `read`."""

    def __init__(
        self, backend: Backend, specials: Specials, *, config: Mapping[str, Any] | None = None
    ) -> None:
        """Wrap a tokenizer of the `tokenizers` library.

        Args:
            backend: the tokenizer itself.
            specials: its end, pad and unknown tokens.
            config: what its tokenizer_config.json said; kept when it is written again.
        """
        self._backend = backend
        self._specials = specials
        self._config = dict(config or {})
        self._named: set[str] = set()  # unknown words already warned of
        added = backend.get_added_tokens_decoder()
        self._added_ids = frozenset(added)
        self._special_ids = frozenset(id for id, token in added.items() if token.special)
        self._encoder = Encoder(backend, unknown_id=specials.unknown_id)

    @classmethod
    def learn(
        cls, texts: Iterable[str], *, kind: TokenizerKind = "bpe", vocab_size: int | None = None
    ) -> "Tokenizer":
        """A tokenizer whose vocabulary comes from `texts`; the same texts give the same one.

        Args:
            texts: read once; memory stays bounded however many there are.
            kind: "words", "characters" or "bpe".
            vocab_size: the most ids there may be, special tokens included. None: all words or
                characters; for bpe it follows from the amount of text (1 MB gives 4096).

        Raises:
            TokenizerError: no text, an unknown kind, or an impossible vocab_size.
        """
        backend = learn_backend(texts, kind=kind, vocab_size=vocab_size)
        end_id, pad_id = (backend.token_to_id(name) for name in (END, PAD))
        assert end_id is not None and pad_id is not None
        unknown_id = backend.token_to_id(UNKNOWN)
        return cls(backend, Specials(end_id, pad_id, unknown_id, frozenset({end_id})))

    @classmethod
    def read(cls, folder: Path) -> "Tokenizer":
        """The tokenizer of a model folder, Nextword's own or another project's.

        Raises:
            TokenizerError: a file is missing, damaged or unsafe; says which and how to mend it.
        """
        backend, specials, config = read_tokenizer(Path(folder))
        with guarded(f"{folder} has a tokenizer that cannot be used", mend=RELEARN):
            tokenizer = cls(backend, specials, config=config)
            tokenizer.token(tokenizer.vocab_size - 1)  # what is odd in the file shows now
            tokenizer.stream()
            return tokenizer

    def write(self, folder: Path, *, chat_template: str | None = None) -> None:
        """Write tokenizer.json and tokenizer_config.json, each whole or not at all.

        Args:
            folder: made if it is not there.
            chat_template: if given, written beside them as chat_template.jinja.

        Raises:
            RunError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(folder, error) from error
        write_whole(folder / "tokenizer.json", self._backend.to_str(pretty=True) + "\n")
        config = self._written_config()
        if chat_template is not None:
            write_whole(folder / "chat_template.jinja", chat_template)
        write_json(folder / "tokenizer_config.json", config)

    def _written_config(self) -> dict[str, Any]:
        """What transformers must know: which tokens are special, and to leave spaces alone."""
        defaults = {"tokenizer_class": "PreTrainedTokenizerFast"}
        names = {
            "eos_token": self._backend.id_to_token(self.end_id),
            "pad_token": self._backend.id_to_token(self.pad_id),
        }
        if self.unknown_id is not None:
            names["unk_token"] = self._backend.id_to_token(self.unknown_id)
        config = defaults | self._config | names | {"clean_up_tokenization_spaces": False}
        config.pop("auto_map", None)  # it names code that transformers would download and run
        config.pop("chat_template", None)  # `write` is given the one that the model learned by
        return config

    @property
    def kind(self) -> str:
        """How text is cut: "bpe", "words" or "characters"; another project's may say more."""
        model = type(self._backend.model).__name__
        if model == "WordLevel" and isinstance(self._backend.decoder, decoders.Fuse):
            return "characters"
        return {"WordLevel": "words", "BPE": "bpe"}.get(model, model.lower())

    @cached_property
    def vocab_size(self) -> int:
        """How many rows the embedding needs: the largest id, plus one."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def end_id(self) -> int:
        """The token that ends every turn."""
        return self._specials.end_id

    @property
    def end_ids(self) -> frozenset[int]:
        """All tokens that end a reply; more than `end_id` only in some other projects' models."""
        return self._specials.end_ids

    @property
    def pad_id(self) -> int:
        """The token that fills up a batch; it never carries loss."""
        return self._specials.pad_id

    @property
    def unknown_id(self) -> int | None:
        """The token for what is not in the vocabulary; None where any text can be encoded."""
        return self._specials.unknown_id

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer.json, keys sorted, and of the end and pad ids."""
        content = json.loads(self._backend.to_str())
        whole = json.dumps([content, self.end_id, self.pad_id], sort_keys=True)
        return hashlib.sha256(whole.encode("utf-8")).hexdigest()

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What the post-processor puts before a text, often a BOS token; of our own, nothing."""
        return self._encoder.around[0]

    @property
    def byte_lengths(self) -> list[int]:
        """[V], the UTF-8 bytes of text that each entry of the vocabulary stands for."""
        return self._encoder.byte_lengths

    @cached_property
    def encodes_turns_apart(self) -> bool:
        """Whether turns encoded one by one are what they are as one text with end tokens."""
        end = self._backend.id_to_token(self.end_id) or ""
        for text in ("a", " a", "a\n"):
            apart = [*self._encoder.ids([text])[0], self.end_id]
            if self._encoder.rendered(f"{text}{end}{text}{end}").ids != apart + apart:
                return False
        return True

    @cached_property
    def special_names(self) -> dict[str, str]:
        """The special tokens by the names that chat templates use: bos_token, eos_token …"""
        given = {name: self._config.get(name) for name in SPECIAL_NAMES}
        tokens = {
            name: token.get("content") if isinstance(token, dict) else token
            for name, token in given.items()
        }
        found = {name: token for name, token in tokens.items() if token and isinstance(token, str)}
        end = self._backend.id_to_token(self.end_id)
        return ({} if end is None else {"eos_token": end}) | found

    @cached_property
    def added_tokens(self) -> dict[str, bool]:
        """The spelling of every token beside the vocabulary, and whether it is special."""
        added = self._backend.get_added_tokens_decoder().values()
        return {token.content: token.special for token in added}

    def added_id(self, token: str) -> int | None:
        """The id of a token by its spelling."""
        return self._backend.token_to_id(token)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; never fails, and never adds or reads special tokens.

        Warns:
            UnknownTokenWarning: names what is not in the vocabulary, once per tokenizer.
        """
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, as `encode` gives them, on all cores.

        The library holds about 150 bytes for each token until it returns: pass a few MB at once.
        """
        return self._ids([whole_characters(text) for text in texts])

    def encode_counted(self, texts: Sequence[str]) -> list[CountedIds]:
        """As `encode_many`, and the bytes of the text that each token stands for."""
        clean = [whole_characters(text) for text in texts]
        return self._encoder.counted(clean, self._ids(clean))

    def encode_rendered(self, text: str, *, warn: bool = False) -> CountedIds:
        """The ids of a rendered chat template, whose special tokens are read as such.

        As in transformers nothing is put before it. What a person says must not get here as it
        is, see `TemplateEncoder`.

        Args:
            text: what the template made.
            warn: name what is not in the vocabulary, as `encode` does.
        """
        clean = whole_characters(text)
        found = self._encoder.rendered(clean)
        if warn:
            self._warn_of_unknown([clean], [found.ids])
        return found

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        rows = self._encoder.ids(texts)
        self._warn_of_unknown(texts, rows)
        return rows

    def encode_with_places(self, texts: Sequence[str]) -> list[Encoding]:
        """Return the ids of each text, as `encode_many` gives them, with their places in it.

        Unknown words are not named: `name_unknown` does that for those ids that are used.
        """
        return self._encoder.encodings([whole_characters(text) for text in texts])

    def counted_part(self, text: str, encoding: Encoding, start: int, stop: int) -> CountedIds:
        """Return the ids start … stop - 1 of a text with the bytes that they stand for."""
        counted = self._encoder.counted_by_place(whole_characters(text), encoding)
        rest = counted.rest if stop == len(counted.ids) else 0
        n_bytes = None if counted.n_bytes is None else counted.n_bytes[start:stop]
        return CountedIds(counted.ids[start:stop], n_bytes, rest)

    def name_unknown(self, text: str, encoding: Encoding, start: int, stop: int) -> None:
        """Warn of what became the unknown token among the ids start … stop - 1 of a text."""
        if self.unknown_id in encoding.ids[start:stop]:
            self._name(self._unknown_words(text, encoding, start, stop))

    @cached_property
    def begins_anew_at_lines(self) -> bool:
        """Return True if text after a line break between words never depends on what is before.

        So it is where GPT-2's pattern splits text; of other tokenizers it is not known.
        """
        content = json.loads(self._backend.to_str())
        plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        return content["normalizer"] is None and _same(self._backend.pre_tokenizer, plain)

    def decode(self, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """The text of some ids; special tokens are left out unless `keep_special`.

        Ids that stand for nothing are left out too; bytes that are no character show as U+FFFD.
        """
        numbers = [int(id) for id in ids]
        with guarded("this tokenizer cannot decode these tokens", mend=RELEARN):
            return self._backend.decode(numbers, skip_special_tokens=not keep_special)

    def stream(self) -> TextStream:
        """Decodes token by token, as a reply is made; its pieces join to what `decode` gives."""
        decoder = self._backend.decoder
        if isinstance(decoder, decoders.ByteLevel):
            return ByteStream(self._shown_bytes)
        if isinstance(decoder, decoders.Fuse):
            return PieceStream(self._shown_piece, drop_first_space=False)
        if _same(decoder, words_decoder()):
            return PieceStream(self._shown_piece, drop_first_space=True)
        return WindowStream(self.decode)

    def token(self, id: int) -> str:
        """What a token stands for, for people: ` cat`, `<|end|>`, `\\xe2` for part of a character.

        Raises:
            TokenizerError: an id below zero.
        """
        if id < 0:
            raise TokenizerError(f"the token id is {id}; ids start at 0")
        piece = self._backend.id_to_token(id)
        if piece is None:
            return f"<|nothing {id}|>"  # embeddings may have more rows than there are tokens
        if id in self._added_ids or self.kind in ("words", "characters"):
            return piece
        if isinstance(self._backend.decoder, decoders.ByteLevel):
            return bytes_of(piece).decode("utf-8", "backslashreplace")
        if match := BYTE_TOKEN.fullmatch(piece):
            return f"\\x{match[1].lower()}"
        return piece.replace("▁", " ")  # SentencePiece's space

    @property
    def is_byte_level(self) -> bool:
        """Whether every token stands for the same bytes wherever it is."""
        return isinstance(self._backend.decoder, decoders.ByteLevel)

    def text_bytes(self) -> list[bytes]:
        """Return, for every id, the bytes of text that it stands for; special tokens give none.

        A space that the tokenizer puts before a text is among them.
        """
        if isinstance(self._backend.decoder, decoders.ByteLevel):
            return [self._shown_bytes(id) for id in range(self.vocab_size)]
        return [self._plain_bytes(id) for id in range(self.vocab_size)]

    def _plain_bytes(self, id: int) -> bytes:
        """The bytes of a token that is no byte-level one; `<0x0A>` is one byte."""
        piece = self._shown_piece(id)
        if match := BYTE_TOKEN.fullmatch(piece):
            return bytes([int(match[1], 16)])
        return piece.replace("▁", " ").encode("utf-8", "replace")

    def _shown_piece(self, id: int) -> str:
        """What a token adds to a reply; special tokens add nothing."""
        return "" if id in self._special_ids else self._backend.id_to_token(id) or ""

    def _shown_bytes(self, id: int) -> bytes:
        """The same for byte-level tokenizers."""
        return bytes_of(self._shown_piece(id))

    def _warn_of_unknown(self, texts: Sequence[str], rows: Sequence[list[int]]) -> None:
        """Name what the unknown token stands for in `rows`, unless it was named before."""
        new: dict[str, None] = {}  # a set that keeps its order
        for text, ids in zip(texts, rows, strict=True):
            room = len(self._named) + len(new) < _NAMED_AT_ALL
            if room and self.unknown_id is not None and self.unknown_id in ids:
                (encoding,) = self._encoder.encodings([text])
                new |= dict.fromkeys(self._unknown_words(text, encoding, 0, len(ids)))
        self._name(list(new))

    def _name(self, words: Sequence[str]) -> None:
        """Warn of unknown words, and remember that they were named."""
        new = list(dict.fromkeys(words))
        if not new or len(self._named) >= _NAMED_AT_ALL:
            return
        self._named.update(new)
        named = ", ".join(map(repr, new[:_NAMED_AT_ONCE]))
        more = f" and {len(new) - _NAMED_AT_ONCE} more" if len(new) > _NAMED_AT_ONCE else ""
        message = (
            f"not in the vocabulary: {named}{more}; the model sees {UNKNOWN} instead. Kind "
            f"{self.kind!r} knows only what it learned from; kind 'bpe' can encode any text"
        )
        warnings.warn(message, UnknownTokenWarning, stacklevel=4)

    def _unknown_words(self, text: str, encoding: Encoding, start: int, stop: int) -> list[str]:
        """The words that became the unknown token among some ids, and were not yet named."""
        ids, places = encoding.ids[start:stop], encoding.offsets[start:stop]
        found = (place for id, place in zip(ids, places, strict=True) if id == self.unknown_id)
        pieces = (text[begin:end] for begin, end in found)
        words = (piece.strip() or piece for piece in pieces)
        return [word for word in words if word not in self._named]


def _same(part: Any, other: Any) -> bool:
    """Whether two decoders of the library, or two other parts, do the same."""
    return part is not None and part.__getstate__() == other.__getstate__()


__all__ = ["END", "PAD", "UNKNOWN", "Tokenizer", "TokenizerKind", "UnknownTokenWarning"]
