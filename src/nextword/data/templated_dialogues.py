"""Dialogues by a chat template that is not Nextword's own, as tokens.

The tokens are those that transformers' `apply_chat_template` makes: the rendered text is encoded
as a whole, and special tokens in it are read as such. The messages' own text can forge none: where
it spells one, or may be half of one, a mark breaks it, and what lies between marks is encoded on
its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nextword.errors import DataError
from nextword.tokenizer.chat_template import ChatTemplate
from nextword.tokenizer.tokenizer import Tokenizer

MARK = "\ufdd0"  # Unicode keeps it from meaning anything
ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Rendered:
    """Tokens, and the bytes of text that each stands for."""

    ids: list[int]
    n_bytes: list[int]

    def __add__(self, other: "Rendered") -> "Rendered":
        return Rendered(self.ids + other.ids, self.n_bytes + other.n_bytes)

    def cut(self, start: int, stop: int | None = None) -> "Rendered":
        """Return some of them."""
        return Rendered(self.ids[start:stop], self.n_bytes[start:stop])

    def starts_with(self, other: "Rendered") -> bool:
        """Return True if the other's tokens are the first of these."""
        return self.ids[: len(other.ids)] == other.ids


class TemplateEncoder:
    """Renders dialogues with a chat template and encodes the text."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._marks = _Marks(tokenizer, template)
        self._newline = self._encoded("\n")

    def prompt(self, turns: Sequence[str]) -> Rendered:
        """Return a dialogue up to where the next reply starts."""
        return self._rendered(turns, reply_starts=True)

    def ids(self, turns: Sequence[str]) -> list[int]:
        """Return the tokens that `apply_chat_template` makes of a dialogue."""
        return self._rendered(turns, reply_starts=len(turns) % 2 == 1).ids

    def pair(self, turns: Sequence[str], reply: str) -> tuple[Rendered, Rendered]:
        """Return a prompt, and its reply up to and with the first end token.

        The reply's tokens are those of the whole dialogue, where that goes on from the prompt; a
        template that renders the reply otherwise would have the model read what it never says,
        so there the reply is taken as it is, with the end token.
        """
        whole = self._rendered([*turns, reply], reply_starts=False)
        prompt = self.prompt(turns)
        return prompt, self._reply(whole, prompt, reply)

    def _reply(self, whole: Rendered, prompt: Rendered, reply: str) -> Rendered:
        """Return what follows a prompt in a whole dialogue, or the reply as it is."""
        if whole.starts_with(prompt):
            return self._to_end(whole.cut(len(prompt.ids)))
        return self._to_end(self._after(self._marks.broken(reply)))

    def document(self, turns: Sequence[str]) -> tuple[list[int], list[bool], list[int]]:
        """Return the tokens of a dialogue, which of them are replies, and the bytes of each.

        They are those of `ids`, unless a token would hold the end of the last prompt and the
        beginning of its reply: the model never reads such a one before it replies. A template may
        render an earlier turn otherwise than it stood when it was the last one; such a turn is
        read, but not learned.
        """
        if not turns:
            return [], [], []
        whole = self._rendered(turns, reply_starts=False)
        prompts = [self.prompt(turns[:stop]) for stop in range(1, len(turns), 2)]
        if len(turns) % 2 == 0:
            last = prompts[-1] + self._reply(whole, prompts[-1], turns[-1])
            if not whole.starts_with(last):
                whole = last
        is_reply = [False] * len(whole.ids)
        for prompt in filter(whole.starts_with, prompts):
            start = len(prompt.ids)
            length = len(self._to_end(whole.cut(start)).ids)
            is_reply[start : start + length] = [True] * length
        return whole.ids, is_reply[: len(whole.ids)], whole.n_bytes

    def _to_end(self, reply: Rendered) -> Rendered:
        """Cut a reply after its first end token; give it one where the template has none."""
        ends = self._tokenizer.end_ids
        place = next((place for place, id in enumerate(reply.ids) if id in ends), None)
        if place is None:
            return reply + Rendered([self._tokenizer.end_id], [0])
        return reply.cut(0, place + 1)

    def _rendered(self, turns: Sequence[str], *, reply_starts: bool) -> Rendered:
        messages = [
            {"role": ROLES[place % 2], "content": self._marks.broken(turn)}
            for place, turn in enumerate(turns)
        ]
        text = self._template.render(
            messages, special=self._tokenizer.special_names, add_generation_prompt=reply_starts
        )
        first, *others = text.split(MARK)
        found = self._encoded(first)
        for piece in others:
            found += self._after(piece)
        return found

    def _after(self, text: str) -> Rendered:
        """Encode a text that stands behind another one, broken at its marks.

        It is encoded behind a line break, which is taken off again: some tokenizers put a space
        before whatever begins.
        """
        found = Rendered([], [])
        for piece in filter(None, text.split(MARK)):
            encoded = self._encoded(f"\n{piece}")
            held = encoded.starts_with(self._newline)
            found += encoded.cut(len(self._newline.ids)) if held else self._encoded(piece)
        return found

    def _encoded(self, text: str) -> Rendered:
        counted = self._tokenizer.encode_rendered(text, warn=text != "\n")
        self._marks.check(text, counted.ids)
        return Rendered(counted.ids, counted.n_bytes or [0] * len(counted.ids))


class _Marks:
    """Breaks whatever in a message could be read as a special token."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        control = [
            token
            for token, special in tokenizer.added_tokens.items()
            if special or (token.startswith("<|") and token in template.source)
        ]
        self._ids = frozenset(tokenizer.added_id(token) for token in control)
        names = "|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)"
        self._spelled = re.compile(names)
        self._anywhere = re.compile(f"(?={names})", re.IGNORECASE)
        self._beginnings = {token[:stop] for token in control for stop in range(1, len(token))}
        self._ends = {token[start:] for token in control for start in range(1, len(token))}
        self._longest = max(map(len, control), default=0)

    def broken(self, text: str) -> str:
        """Return a message's text with marks in it, nearly always none."""
        text = text.replace(MARK, "")
        lengths = range(1, min(self._longest, len(text) + 1))
        starts = any(text[:length] in self._ends for length in lengths)
        stops = any(text[-length:] in self._beginnings for length in lengths)
        pieces, at = [], 0
        for match in self._anywhere.finditer(text):
            pieces.append(text[at : match.start() + 1])
            at = match.start() + 1
        inside = MARK.join([*pieces, text[at:]])
        return f"{MARK * starts}{inside}{MARK * stops}"

    def check(self, text: str, ids: Sequence[int]) -> None:
        """Refuse a text with special tokens that it does not spell: a normalizer made them.

        Raises:
            DataError: it has some.
        """
        if sum(id in self._ids for id in ids) > len(self._spelled.findall(text)):
            raise DataError(
                "the text spells one of the model's special tokens in other letters; leave it out"
            )
