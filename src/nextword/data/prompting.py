"""How a model wants its texts and dialogues as tokens; whoever encodes for a model asks this.

A text begins with what the tokenizer's post-processor puts before it (often a BOS token). A
dialogue follows the model's chat template. Nextword's own needs no rendering:

    prompt <|end|> reply <|end|> prompt <|end|> reply <|end|>
      ·       ·      ✓      ✓      ·       ·      ✓      ✓        is_reply

Every turn ends in the end token, and the one that ends a reply belongs to the reply: that is how
a model learns to stop. No other marks are needed, because the two speakers take turns.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nextword.data.dialogue import CHAT_TEMPLATE, Dialogue, Document, Text
from nextword.data.templated_dialogues import TemplateEncoder
from nextword.tokenizer.byte_counts import CountedIds
from nextword.tokenizer.chat_template import ChatTemplate
from nextword.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """A document's tokens.

    Attributes:
        ids: the tokens.
        is_reply: for each whether it is learned as part of a reply; its end token belongs to it.
        n_bytes: for each how many bytes of the text it stands for; None: those of its entry in
            the vocabulary.
    """

    ids: list[int]
    is_reply: list[bool]
    n_bytes: list[int] | None = field(default=None, compare=False)


class Prompting:
    """Encodes texts and dialogues as one model reads them."""

    def __init__(self, tokenizer: Tokenizer, template: str | None = None) -> None:
        """Take a model's tokenizer and chat template.

        Args:
            tokenizer: its post-processor says what stands before a text.
            template: Jinja; None: Nextword's own.
        """
        self.tokenizer = tokenizer
        self.template = own_template(tokenizer) if template is None else template
        self._start = [] if self.template == CHAT_TEMPLATE else list(tokenizer.start_ids)
        own = self.template in (CHAT_TEMPLATE, own_template(tokenizer))
        self._renders = not (own and tokenizer.encodes_turns_apart)

    @property
    def is_own(self) -> bool:
        """Return True where a dialogue is its turns and end tokens, and nothing else."""
        return not self._renders

    @cached_property
    def fingerprint(self) -> str:
        """The tokenizer's, or another where texts or dialogues are not read the simple way."""
        if self.is_own and not self.tokenizer.start_ids:
            return self.tokenizer.fingerprint
        whole = json.dumps([self.tokenizer.fingerprint, self.tokenizer.start_ids, self.template])
        return hashlib.sha256(whole.encode("utf-8")).hexdigest()

    @cached_property
    def _encoder(self) -> TemplateEncoder:
        return TemplateEncoder(self.tokenizer, ChatTemplate(self.template))

    @property
    def start_ids(self) -> list[int]:
        """Return what an empty text is read as: the tokenizer's start, or else the end token.

        After the end token every text of the training data began.
        """
        return list(self.tokenizer.start_ids) or [self.tokenizer.end_id]

    def text_ids(self, text: str) -> list[int]:
        """Return the tokens of a text that is to be gone on with, or looked at.

        They are those of transformers, `tokenizer(text)`, but for tokens that a post-processor
        puts behind a text: nothing goes on after an end token.
        """
        return [*self.tokenizer.start_ids, *self.tokenizer.encode(text)] or self.start_ids

    def dialogue_ids(self, turns: Sequence[str]) -> list[int]:
        """Return the tokens of a dialogue so far.

        Args:
            turns: prompt, reply, prompt …; after a prompt, the tokens go on to where its reply
                starts.

        Raises:
            DataError: the model's chat template refuses them.
        """
        if self._renders:
            return self._encoder.ids(turns)
        return self.document(Dialogue(tuple(turns))).ids

    def reply_ids(self, turns: Sequence[str], reply: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a prompt, and those of its reply with the end token.

        Args:
            turns: prompt, reply, prompt …, as `dialogue_ids` reads them.
            reply: what follows.
        """
        if self._renders:
            before, after = self._encoder.pair(turns, reply)
            return before.ids, after.ids
        return self.dialogue_ids(turns), [*self.tokenizer.encode(reply), self.tokenizer.end_id]

    def document(self, document: Document) -> Encoded:
        """Return a document's tokens: of a text with the end token, of a dialogue as learned.

        All of a plain text counts as reply: there is no prompt in it that would not be learned.
        """
        return self.documents([document])[0]

    def documents(self, documents: Sequence[Document]) -> list[Encoded]:
        """Return the tokens of many documents at once, which is quicker."""
        simple = [item for item in documents if isinstance(item, Text) or not self._renders]
        turns = [turn for document in simple for turn in _turns(document)]
        rows = iter(self.tokenizer.encode_counted(turns))
        return [
            self._joined(item, rows)
            if isinstance(item, Text) or not self._renders
            else Encoded(*self._encoder.document(item.turns))
            for item in documents
        ]

    def _joined(self, document: Document, rows: Iterator[CountedIds]) -> Encoded:
        """Return one document from the next of `rows`, as many as it has turns."""
        plain, end_id = isinstance(document, Text), self.tokenizer.end_id
        start = list(self.tokenizer.start_ids) if plain else self._start
        turns = [next(rows) for _ in _turns(document)]
        ids, is_reply = (start, [plain] * len(start)) if turns else ([], [])
        ids, n_bytes = list(ids), [0] * len(ids)
        lengths, exact = self.tokenizer.byte_lengths, True
        for index, turn in enumerate(turns):
            exact = exact and turn.n_bytes is None
            ids += [*turn.ids, end_id]
            is_reply += [plain or index % 2 == 1] * (len(turn.ids) + 1)  # the end token, too
            n_bytes += [lengths[id] for id in turn.ids] if turn.n_bytes is None else turn.n_bytes
            n_bytes.append(turn.rest)
        return Encoded(ids, is_reply, None if exact else n_bytes)


def own_template(tokenizer: Tokenizer) -> str:
    """Return the chat template of what Nextword trains with a tokenizer.

    It is `CHAT_TEMPLATE`; where the tokenizer puts tokens before a text, they come first.
    """
    names = [tokenizer.token(id) for id in tokenizer.start_ids]
    start = json.dumps("".join(names), ensure_ascii=False)
    return f"{{{{- {start} -}}}}\n{CHAT_TEMPLATE}" if names else CHAT_TEMPLATE


def _turns(document: Document) -> tuple[str, ...]:
    return (document.text,) if isinstance(document, Text) else document.turns
