"""What a model still predicts as it did: counted in the same way for every way to teach it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nextword import LanguageModel
from nextword.data.corpus import open_corpus
from nextword.data.dialogue import Dialogue
from nextword.evaluate.exact_replies import Pair
from nextword.teach.edit.correction import Correction, from_pair
from nextword.teach.evaluation.reply_changes import changed, generated

BATCH = 32  # sequences looked at side by side


class Known(NamedTuple):
    """A dialogue whose predictions are watched, and what the model predicted in it."""

    prompt: str
    correction: Correction
    predicted: Tensor  # [T - 1]


def as_correction(lm: LanguageModel, turns: Sequence[str], reply: str) -> Correction:
    """A prompt and its reply as tokens, with the places that belong to the reply."""
    context = lm.config.context_length
    return from_pair((turns, reply), lm.prompting, kind=lm.kind, context_length=context)


@torch.no_grad()
def predictions(lm: LanguageModel, corrections: Sequence[Correction]) -> list[Tensor]:
    """The most likely next token at every position but the last of each sequence."""
    found: dict[int, Tensor] = {}
    order = sorted(range(len(corrections)), key=lambda index: len(corrections[index].ids))
    for start in range(0, len(order), BATCH):
        now = order[start : start + BATCH]
        rows = [torch.tensor(corrections[index].ids) for index in now]
        tokens = torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=lm.tokenizer.end_id
        )  # later positions change nothing earlier
        best = lm.decoder(tokens).argmax(-1)
        found |= {index: best[row, : len(rows[row]) - 1] for row, index in enumerate(now)}
    return [found[index] for index in range(len(corrections))]


def holds(lm: LanguageModel, corrections: Sequence[Correction]) -> list[bool]:
    """For each, whether every token of its reply is the most likely."""
    return [
        all(
            int(best[place]) == target
            for place, target in zip(correction.learned, correction.targets, strict=True)
        )
        for correction, best in zip(corrections, predictions(lm, corrections), strict=True)
    ]


def watch(lm: LanguageModel, source: str) -> list[Known]:
    """The dialogues of a source, and what the model predicts in them now."""
    dialogues = [item for item in open_corpus([source]) if isinstance(item, Dialogue)]
    sequences = [as_correction(lm, item.turns[:-1], item.turns[-1]) for item in dialogues]
    prompts = (item.turns[0] for item in dialogues)
    return list(map(Known, prompts, sequences, predictions(lm, sequences)))


def replies(lm: LanguageModel, source: str) -> dict[str, Pair]:
    """What the model replies now to each prompt of a source, generated; by the prompt's text."""
    dialogues = [item for item in open_corpus([source]) if isinstance(item, Dialogue)]
    asked = {item.turns[0]: as_correction(lm, item.turns[:1], item.turns[1]) for item in dialogues}
    prompts = [item.given for item in asked.values()]
    made = generated(lm.decoder, prompts, lm.tokenizer, kind=lm.kind)
    pairs = (Pair(prompt, reply) for prompt, reply in zip(prompts, made, strict=True))
    return dict(zip(asked, pairs, strict=True))


def unchanged(lm: LanguageModel, before: Mapping[str, Pair], answered: Iterable[str]) -> float:
    """Share of the replies that are the same, token for token, but for prompts answered anew."""
    names = set(answered)
    left = [pair for prompt, pair in before.items() if prompt not in names]
    return 1 - len(changed(lm.decoder, left, pad_id=lm.tokenizer.pad_id)) / len(left)


def says(lm: LanguageModel, corrections: Sequence[Correction]) -> list[bool]:
    """For each, whether the generated reply is the right one."""
    prompts = [item.given for item in corrections]
    made = generated(lm.decoder, prompts, lm.tokenizer, kind=lm.kind)
    return [
        reply == item.ids[len(item.given) :] for reply, item in zip(made, corrections, strict=True)
    ]


def kept(
    lm: LanguageModel, before: Sequence[Known], answered: Iterable[str], *, replies: bool = False
) -> float:
    """Share of the next words that are predicted as before, outside of what was answered anew.

    Args:
        before: from `watch`.
        answered: prompts to leave out.
        replies: only those that belong to a reply.
    """
    names = set(answered)
    left = [known for known in before if known.prompt not in names]
    now = predictions(lm, [known.correction for known in left])
    same = n = 0
    for known, best in zip(left, now, strict=True):
        first = known.correction.learned[0] if replies else 0
        same += int((known.predicted == best)[first:].sum())
        n += len(best) - first
    return same / n
