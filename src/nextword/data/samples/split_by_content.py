"""Hold out documents by their content, so that what is held out does not stand in training too.

Documents with equal prompts, equal replies or equal texts are one group, and a group stays on one
side. Where replies repeat so often that too little could be held out that way, groups are made by
the prompts alone, and `Overlap` counts the replies that both sides have.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextword.data.samples.document_hashes import ContentKeys
from nextword.data.samples.shuffling import hash64, hash64_each
from nextword.data.samples.splits import (
    ENOUGH_DOCUMENTS,
    Part,
    check_share,
    check_sizes,
    choose_phrasings,
    divided,
    last_tokens,
    whole,
)
from nextword.data.shards.token_shards import Shards

ENOUGH_HELD = 0.5  # of the documents wanted; with fewer, equal replies may stand on both sides


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much of what is held out also stands in training.

    Attributes:
        n_documents: held out.
        documents: of these, the ones that stand in training as a whole.
        prompts: the ones whose prompts do; of texts, the same as `documents`.
        replies: the ones whose replies do.
    """

    n_documents: int
    documents: int = 0
    prompts: int = 0
    replies: int = 0


def overlap(train: ContentKeys, held_out: ContentKeys) -> Overlap:
    """Count the held-out documents that equal one to train on."""
    return Overlap(
        n_documents=len(held_out.prompt),
        documents=int(np.isin(held_out.document, train.document).sum()),
        prompts=int(np.isin(held_out.prompt, train.prompt).sum()),
        replies=int(np.isin(held_out.reply, train.reply).sum()),
    )


def count_duplicates(keys: ContentKeys) -> int:
    """Return how many documents equal one that stands before them."""
    return len(keys.prompt) - len(np.unique(keys.document))


def split_by_content(
    shards: Shards, keys: ContentKeys, *, share: float, seed: int, context_length: int
) -> tuple[Part, Part | None]:
    """Divide a corpus by content into a part to train on and a part held out.

    A few texts are divided at a token, as they are one text after the other. Of everything else
    whole groups of documents are held out, in the order of a hash of (seed, content), as long as
    the share is not exceeded.

    Args:
        shards: the prepared corpus.
        keys: of all its documents.
        share: of the documents to hold out, at least 0 and below 1; 0 holds out nothing.
        seed: of the choice.
        context_length: tokens of one sequence, which each part must be able to fill.

    Returns:
        The part to train on and the part held out; None for share 0, and where every document
        belongs to a group that is larger than the share.

    Raises:
        ConfigError: an impossible share.
        DataError: a part would be shorter than one sequence.
    """
    check_share(share)
    everything = whole(shards)
    if share == 0:
        return everything, None
    held_out: Part | None
    if shards.n_documents < ENOUGH_DOCUMENTS and not shards.is_dialogue:
        train, held_out = last_tokens(everything, share)
    else:
        train, held_out = divided(everything, _chosen(keys, share, seed))
    if held_out is not None:
        check_sizes(shards, train, held_out, share=share, context_length=context_length)
    return train, held_out


def split_phrasings_by_content(
    shards: Shards, keys: ContentKeys, *, share: float, seed: int
) -> tuple[Part, Part | None]:
    """Hold out other phrasings, as `split_phrasings` does, from the hashes of the dialogues."""
    check_share(share)
    everything = whole(shards)
    wanted = round(share * len(everything.spans))
    if not wanted or shards.n_documents < ENOUGH_DOCUMENTS:
        return everything, None
    groups: dict[int, list[int]] = defaultdict(list)
    for number, reply in enumerate(keys.exact_reply.tolist()):
        if reply:
            groups[reply].append(number)
    repeated = [numbers for numbers in groups.values() if len(numbers) > 1]
    return choose_phrasings(everything, keys.prompt.tolist(), repeated, wanted=wanted, seed=seed)


def _chosen(keys: ContentKeys, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which documents are held out: never one of a pair with equal prompts."""
    n_documents = len(keys.prompt)
    wanted = min(max(round(share * n_documents), 1), n_documents - 1)
    held_out = _held_groups(_groups(keys), keys, wanted, seed)
    if held_out.sum() < ENOUGH_HELD * wanted:
        _, by_prompt = np.unique(keys.prompt, return_inverse=True)
        held_out = _held_groups(by_prompt, keys, wanted, seed)
    return held_out


def _held_groups(
    group: NDArray[np.intp], keys: ContentKeys, wanted: int, seed: int
) -> NDArray[np.bool_]:
    """Take whole groups in the order of their hashes, until so many documents are held out."""
    size = np.bincount(group)  # [n_groups]
    least = np.full(len(size), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(least, group, keys.prompt)  # a group's name follows from its content alone
    order = np.argsort(hash64_each(hash64(seed), least), kind="stable")
    taken = np.zeros(len(size), np.bool_)
    n_held = 0
    for number in order[size[order] <= wanted].tolist():
        if n_held + size[number] <= wanted:
            taken[number] = True
            n_held += int(size[number])
        if n_held == wanted:
            break
    return taken[group]


def _groups(keys: ContentKeys) -> NDArray[np.intp]:
    """Number the groups of documents that share a prompt or a reply, directly or by others."""
    _, prompt = np.unique(keys.prompt, return_inverse=True)
    _, reply = np.unique(keys.reply, return_inverse=True)
    parent = np.arange(int(prompt.max()) + 1).tolist()  # of each prompt, another of its group

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[int, int] = {}  # reply → one of its prompts
    for this, said in zip(prompt.tolist(), reply.tolist(), strict=True):
        other = first.setdefault(said, this)
        if other != this:
            parent[root(this)] = root(other)
    roots = np.array([root(number) for number in range(len(parent))])
    _, group = np.unique(roots[prompt], return_inverse=True)
    return group
