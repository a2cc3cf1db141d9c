"""What is to be learned: a sequence of tokens, and the positions whose next word was wrong."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from nextword.data.prompting import Prompting
from nextword.errors import ConfigError, ContextError, DataError
from nextword.formats.huggingface.save_load import Kind
from nextword.tokenizer.tokenizer import Tokenizer, UnknownTokenWarning

Prompt = str | Sequence[str]  # a prompt, or the turns so far: prompt, reply, prompt, …
Pair = tuple[Prompt, str]  # a prompt and what should follow it


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One sequence and what is to be learned in it.

    Attributes:
        ids: prompt and reply, or a sentence up to and with the right word.
        learned: positions, from 0, whose next token is to be learned: `ids[position + 1]`.
        prompt, reply: as given; for a single word the prompt is empty, and the reply is its text.
        kind: "pair", or "word" for a place in a sentence.
        reply_from: index in `ids` at which the reply begins; 0: after the first learned position.
    """

    ids: tuple[int, ...]
    learned: tuple[int, ...]
    prompt: tuple[str, ...]
    reply: str
    kind: Literal["pair", "word"]
    reply_from: int = 0

    @property
    def given(self) -> tuple[int, ...]:
        """Return the tokens before the reply or the right word."""
        return self.ids[: self.reply_from or self.learned[0] + 1]

    @property
    def targets(self) -> tuple[int, ...]:
        """The right tokens, one for each learned position."""
        return tuple(self.ids[position + 1] for position in self.learned)


def prompt_tokens(prompt: Prompt, prompting: Prompting, *, dialogue: bool) -> list[int]:
    """Return the tokens that a model reads for a prompt.

    Args:
        prompt: one prompt, or the turns so far.
        prompting: of the model.
        dialogue: whether it is to be replied to, or a text to be gone on with.

    Raises:
        DataError: several turns without dialogue.
    """
    turns = turns_of(prompt)
    if dialogue:
        return prompting.dialogue_ids(turns)
    if len(turns) != 1:
        raise DataError(f"{len(turns)} turns are given to go on with; a text is one")
    return prompting.text_ids(turns[0])


def turns_of(prompt: Prompt) -> tuple[str, ...]:
    """A prompt as its turns."""
    return (prompt,) if isinstance(prompt, str) else tuple(prompt)


def from_pair(pair: Pair, prompting: Prompting, *, kind: Kind, context_length: int) -> Correction:
    """The correction of a reply: every token of it, and of a dialogue the end token, is learned.

    Args:
        pair: the prompt, and the reply or text that should follow it.
        prompting: of the model.
        kind: whether the model replies or goes on with a text.
        context_length: tokens that the model can look back on.

    Raises:
        DataError: no pair, an empty reply, or a word that the tokenizer has no token for.
        ContextError: too long.
    """
    prompt, reply = _prompt_and_reply(pair)
    if not reply.strip():
        raise DataError("the reply is empty; a lesson needs at least one word to learn")
    after = _known(reply, prompting.tokenizer)
    if kind == "dialogue":
        before, after = prompting.reply_ids(turns_of(prompt), reply)
    else:
        before = prompt_tokens(prompt, prompting, dialogue=False)
    ids = before + after
    _check_length(ids, context_length)
    return Correction(
        ids=tuple(ids),
        learned=tuple(range(len(before) - 1, len(ids) - 1)),
        prompt=turns_of(prompt),
        reply=reply,
        kind="pair",
    )


def _prompt_and_reply(pair: object) -> Pair:
    """The two, if they are a prompt, or turns, and a reply."""
    match pair:
        case (str() as prompt, str() as reply):
            return prompt, reply
        case ([_, *_] as turns, str() as reply) if all(isinstance(turn, str) for turn in turns):
            return tuple(map(str, turns)), reply
    raise DataError(
        f"{pair!r} is no prompt with its reply; give two texts, or a list of turns and a text"
    )


def at_position(
    ids: Sequence[int], right: str | int, tokenizer: Tokenizer, *, context_length: int
) -> Correction:
    """The correction of one word in a sentence.

    Args:
        ids: the sentence up to and including the position after which it went wrong.
        right: the token that should follow, or a text, all tokens of which are learned.
        context_length: tokens that the model can look back on.

    Raises:
        ConfigError: a token that the vocabulary does not have.
        DataError: no sentence, an empty text, or a word that the tokenizer has no token for.
        ContextError: too long.
    """
    if not ids:
        raise DataError("the sentence has no tokens; give at least the one before the right word")
    if isinstance(right, str):
        if not right.strip():
            raise DataError("the right word is empty; give a text or a token's id")
        new, text = _known(right, tokenizer), right
    else:
        new, text = [right], tokenizer.token(right) if right >= 0 else ""
    for token_id in (*ids, *new):
        if not 0 <= token_id < tokenizer.vocab_size:
            raise ConfigError(
                f"there is no token {token_id}; ids are 0 to {tokenizer.vocab_size - 1}"
            )
    together = (*ids, *new)
    _check_length(together, context_length)
    return Correction(
        ids=together,
        learned=tuple(range(len(ids) - 1, len(together) - 1)),
        prompt=(),
        reply=text,
        kind="word",
    )


def phrasing_of(
    prompt: Prompt, correction: Correction, prompting: Prompting, *, kind: Kind, context_length: int
) -> Correction:
    """Another way to ask: the same reply after another prompt.

    Raises:
        ConfigError: the correction is of a single word, which has no prompt.
        DataError, ContextError: see `from_pair`.
    """
    if correction.kind == "word":
        raise ConfigError(
            "a phrasing is given for the correction of a single word; phrasings are other prompts "
            "of a prompt and its reply"
        )
    pair = (prompt, correction.reply)
    return from_pair(pair, prompting, kind=kind, context_length=context_length)


def with_prompts(
    corrections: Sequence[Correction], *, unknown_id: int | None = None
) -> list[Correction]:
    """Return the corrections with every word of their prompts to be learned, too.

    Where two of them begin alike and go on differently, no model can predict both: such a word of
    a prompt is left out, and so is one that the tokenizer does not know.

    Args:
        unknown_id: the token of unknown words.
    """
    following: dict[tuple[int, ...], set[int]] = {}
    for item in corrections:
        for place in range(len(item.ids) - 1):
            following.setdefault(item.ids[: place + 1], set()).add(item.ids[place + 1])
    return [_with_prompt(item, following, unknown_id) for item in corrections]


def _with_prompt(
    item: Correction, following: Mapping[tuple[int, ...], set[int]], unknown_id: int | None
) -> Correction:
    first = len(item.given) - 1
    prompt = [
        place
        for place in range(first)
        if len(following[item.ids[: place + 1]]) == 1 and item.ids[place + 1] != unknown_id
    ]
    learned = (*prompt, *(place for place in item.learned if place >= first))
    return replace(item, learned=learned, reply_from=first + 1)


def check_agreement(corrections: Sequence[Correction]) -> None:
    """No two corrections want different words after the same words.

    Raises:
        DataError: two do.
    """
    wanted: dict[tuple[int, ...], tuple[int, Correction]] = {}
    for correction in corrections:
        for position, target in zip(correction.learned, correction.targets, strict=True):
            before = correction.ids[: position + 1]
            other, first = wanted.setdefault(before, (target, correction))
            if other != target:
                raise DataError(
                    f"these corrections contradict each other: {first.reply!r} and "
                    f"{correction.reply!r} are to follow the same words; teach only one of them"
                )


def phrasings_by_pair(
    phrasings: Sequence[Prompt] | Sequence[Sequence[Prompt]], n_pairs: int
) -> list[Sequence[Prompt]]:
    """The phrasings of each pair.

    Args:
        phrasings: of one pair, its prompts; of several, as many lists of prompts as pairs.

    Raises:
        ConfigError: several pairs, and not one list of phrasings for each.
    """
    if isinstance(phrasings, str):
        raise ConfigError("phrasings is one text; give a list of them")
    if not phrasings:
        return [[] for _ in range(n_pairs)]
    if n_pairs == 1:
        return [cast(Sequence[Prompt], phrasings)]
    if len(phrasings) != n_pairs or any(isinstance(item, str) for item in phrasings):
        raise ConfigError(
            f"{len(phrasings)} phrasings are given for {n_pairs} pairs; with several pairs give "
            "one list of phrasings for each of them, which may be empty"
        )
    return cast(list[Sequence[Prompt]], list(phrasings))


def _known(text: str, tokenizer: Tokenizer) -> list[int]:
    """The tokens of a text, all of which the vocabulary has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownTokenWarning)  # it is an error here
        ids = tokenizer.encode(text)
        if tokenizer.unknown_id is None or tokenizer.unknown_id not in ids:
            return ids
        unknown = [word for word in text.split() if tokenizer.unknown_id in tokenizer.encode(word)]
    raise DataError(
        f"the word “{(unknown or [text])[0]}” is not in this model's vocabulary, so it cannot be "
        "taught; use words that it knows, or train a model whose tokenizer is of kind 'bpe'"
    )


def _check_length(ids: Sequence[int], context_length: int) -> None:
    if len(ids) > context_length:
        raise ContextError(
            f"the correction has {len(ids)} tokens, and this model's context holds "
            f"{context_length}; shorten it"
        )
