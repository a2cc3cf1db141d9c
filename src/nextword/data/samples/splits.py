"""Which documents, or which stretch of the text, are for training and which are held out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.shuffling import hash64, hash64_each
from nextword.data.shards.token_shards import Shards
from nextword.errors import ConfigError, DataError

ENOUGH_DOCUMENTS = 20  # from here on, whole documents are held out


@dataclass(frozen=True, eq=False)
class Part:
    """Part of a prepared corpus: documents, or the beginning or end of one, in their order."""

    spans: NDArray[np.int64]  # [n, 2]: where each document's tokens start and stop

    @property
    def n_tokens(self) -> int:
        """How many tokens the part holds, end tokens included."""
        return int((self.spans[:, 1] - self.spans[:, 0]).sum())

    @property
    def n_documents(self) -> int:
        """How many documents the part holds, beginnings and ends of divided ones included."""
        return len(self.spans)

    @property
    def stretches(self) -> NDArray[np.int64]:
        """The part as unbroken stretches of tokens, neighbouring documents joined: [n, 2]."""
        spans = self.spans[self.spans[:, 0] < self.spans[:, 1]]
        gap = spans[1:, 0] != spans[:-1, 1]
        starts = spans[np.concatenate(([True], gap)), 0]
        stops = spans[np.concatenate((gap, [True])), 1]
        return np.stack([starts, stops], axis=1)


def whole(shards: Shards) -> Part:
    """Everything."""
    starts = np.asarray(shards.document_starts, dtype=np.int64)
    return Part(np.stack([starts[:-1], starts[1:]], axis=1))


def split(
    shards: Shards, *, share: float, seed: int, context_length: int
) -> tuple[Part, Part | None]:
    """Divide a corpus into a part to train on and a part held out; they never overlap.

    With 20 documents or more, each is held out when a hash of (seed, its number) says so. With
    fewer, the last `share` of the tokens is held out, cut at a token; of dialogues the last whole
    ones, because half a dialogue would be learned with the other half held out.

    Args:
        shards: the prepared corpus.
        share: of it to hold out, at least 0 and below 1; 0 holds out nothing.
        seed: of the choice.
        context_length: tokens of one sequence, which each part must be able to fill.

    Returns:
        The part to train on and the part held out, or None for share 0.

    Raises:
        ConfigError: an impossible share.
        DataError: a part would be shorter than one sequence.
    """
    check_share(share)
    everything = whole(shards)
    if share == 0:
        return everything, None
    if shards.n_documents >= ENOUGH_DOCUMENTS:
        train, held_out = _by_hash(everything, share, seed)
    elif shards.is_dialogue:
        train, held_out = _last_documents(everything, share)
    else:
        train, held_out = last_tokens(everything, share)
    check_sizes(shards, train, held_out, share=share, context_length=context_length)
    return train, held_out


def check_sizes(
    shards: Shards, train: Part, held_out: Part, *, share: float, context_length: int
) -> None:
    """Refuse parts that are shorter than one sequence.

    Raises:
        DataError: says which part it is, and how to mend it.
    """
    need = 2 if shards.is_dialogue else context_length + 1
    for part, name in ((train, "to train on"), (held_out, "held out")):
        if part.n_tokens < need:
            raise DataError(
                f"the part {name} would have {part.n_tokens} tokens and one sequence needs {need} "
                f"(the data has {shards.n_tokens}, share held out {share}). Give more text, a "
                "shorter --context, another share, or share 0 to train on everything"
            )


def split_phrasings(
    shards: Shards, *, share: float, seed: int, prompt_key: Callable[[list[int]], str]
) -> tuple[Part, Part | None]:
    """Hold out dialogues whose replies all stand in training too: other phrasings of a prompt.

    Whatever is held out, every reply is still learned from another dialogue, and its prompt stands
    nowhere else. Of every group of dialogues with the same replies at least one prompt stays in
    training; groups give one dialogue each before any gives two.

    Args:
        shards: the prepared dialogues.
        share: of the dialogues to hold out, at most.
        seed: of the choice.
        prompt_key: token ids of all prompts of a dialogue → what equal prompts have in common.

    Returns:
        The part to train on and the part held out, or None where no reply repeats.

    Raises:
        ConfigError: an impossible share.
    """
    check_share(share)
    everything = whole(shards)
    wanted = round(share * len(everything.spans))
    if not wanted or shards.n_documents < ENOUGH_DOCUMENTS:
        return everything, None
    groups = _by_replies(shards, everything)
    if not groups:
        return everything, None
    keys = [
        prompt_key(_ids(shards, everything, number, replies=False))
        for number in range(len(everything.spans))
    ]
    return choose_phrasings(everything, keys, groups, wanted=wanted, seed=seed)


def choose_phrasings(
    part: Part,
    prompts: Sequence[Hashable],
    groups: Sequence[Sequence[int]],
    *,
    wanted: int,
    seed: int,
) -> tuple[Part, Part | None]:
    """Hold out up to so many dialogues of groups that have the same replies.

    Args:
        part: all dialogues.
        prompts: [n], what equal prompts of dialogues have in common.
        groups: numbers of dialogues with the same replies, several in each.
        wanted: the most dialogues to hold out.
        seed: of the choice.
    """
    elsewhere = Counter(prompts)
    chosen: list[tuple[int, int, list[int]]] = []  # place within its group, hash, dialogues
    for numbers in groups:
        same: dict[Hashable, list[int]] = defaultdict(list)
        for number in numbers:
            same[prompts[number]].append(number)
        units = sorted((hash64(seed, each[0]), each) for each in same.values())
        for place, (drawn, unit) in enumerate(units[:-1]):  # the last one stays in training
            if elsewhere[prompts[unit[0]]] == len(unit):  # else its prompt has another reply, too
                chosen.append((place, drawn, unit))
    held_out = np.zeros(len(part.spans), np.bool_)
    n_held = 0
    for _, _, unit in sorted(chosen):
        if n_held + len(unit) <= wanted:
            held_out[unit] = True
            n_held += len(unit)
    return divided(part, held_out)


def divided(part: Part, held_out: NDArray[np.bool_]) -> tuple[Part, Part | None]:
    """Divide a part by a mask over its documents; None where nothing is held out."""
    if not held_out.any():
        return part, None
    return Part(part.spans[~held_out]), Part(part.spans[held_out])


def _by_replies(shards: Shards, part: Part) -> list[list[int]]:
    """Return the numbers of the dialogues that have the same replies, where there are several."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for number in range(len(part.spans)):
        replies = np.asarray(_ids(shards, part, number, replies=True), dtype=np.int64)
        if 0 < len(replies) < part.spans[number, 1] - part.spans[number, 0]:  # has a prompt
            groups[replies.tobytes()].append(number)
    return [numbers for numbers in groups.values() if len(numbers) > 1]


def _ids(shards: Shards, part: Part, number: int, *, replies: bool) -> list[int]:
    """Return the tokens of a document's replies, or of its prompts, with their end tokens."""
    start, stop = part.spans[number].tolist()
    ids: list[int] = shards.tokens(start, stop)[shards.replies(start, stop) == replies].tolist()
    return ids


def check_share(share: float) -> None:
    """Refuse a share to hold out that is none."""
    if not 0 <= share < 1:
        raise ConfigError(f"the share held out is {share}; it must be at least 0 and below 1")


def _by_hash(part: Part, share: float, seed: int) -> tuple[Part, Part]:
    hashes = hash64_each(hash64(seed), np.arange(len(part.spans), dtype=np.uint64))
    held_out = hashes < np.uint64(int(share * (1 << 53)) << 11)
    held_out[np.argmin(hashes)] = True  # at least one in each
    held_out[np.argmax(hashes)] = False
    return Part(part.spans[~held_out]), Part(part.spans[held_out])


def _last_documents(part: Part, share: float) -> tuple[Part, Part]:
    n = len(part.spans)
    if n < 2:
        raise DataError(
            "a single dialogue cannot be divided into one part to train on and one held out; "
            "give more dialogues, or share 0 to train on everything"
        )
    kept = min(max(n - round(n * share), 1), n - 1)
    return Part(part.spans[:kept]), Part(part.spans[kept:])


def last_tokens(part: Part, share: float) -> tuple[Part, Part]:
    """Divide a text at a token, so that the last `share` of it is held out."""
    end = int(part.spans[-1, 1])
    cut = end - round(end * share)
    before = np.minimum(part.spans, cut)
    after = np.maximum(part.spans, cut)
    return Part(before[before[:, 0] < before[:, 1]]), Part(after[after[:, 0] < after[:, 1]])
