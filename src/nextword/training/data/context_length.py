"""Settle how many tokens a sequence has, and say what does not fit into it."""

import numpy as np

from nextword.config import Aim, ModelConfig
from nextword.data.samples.long_dialogues import NOTHING_CUT, CutCounts, cut_dialogues
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import Shards
from nextword.training.request import TrainRequest

TEXT_CONTEXT = 256  # tokens of a sequence of plain text, unless asked otherwise
LEAST_CONTEXT = 16  # the shortest that is chosen for a small text
DIALOGUE_CONTEXTS = (128, 2048)  # the bounds within which it follows the dialogues' lengths
EARLIER_MOST = 1024  # of runs whose data are divided by rule 1 or 2
FITTING_SHARE = 0.995  # of the dialogues that the context should hold whole


def context_for(
    request: TrainRequest,
    shards: Shards,
    shortest: int,
    model: ModelConfig | None,
    aim: Aim,
    *,
    rule: int,
) -> int:
    """Return the tokens of a sequence: as asked for, or as suits the data and the model.

    Args:
        request: what was asked for.
        shards: the data.
        shortest: about how many tokens the smaller part has.
        model: that goes on learning; no sequence is longer than its context.
        aim: of the run; to answer, every dialogue should fit.
        rule: by which data are divided and cut, see `SPLIT_RULE`.
    """
    fitting = 1.0 if aim == "answers" else FITTING_SHARE
    most = DIALOGUE_CONTEXTS[1] if rule >= 3 else EARLIER_MOST
    context = request.context or default_context(shards, shortest, fitting=fitting, most=most)
    return context if model is None else min(context, model.context_length)


def default_context(
    shards: Shards,
    shortest: int,
    *,
    fitting: float = FITTING_SHARE,
    most: int = DIALOGUE_CONTEXTS[1],
) -> int:
    """Return how long a sequence is when nobody says: a power of two that suits the data.

    Dialogues: the shortest that holds the share `fitting` of them whole. Plain text: TEXT_CONTEXT,
    or less where the smaller part, of about `shortest` tokens, has less.
    """
    if shards.is_dialogue:
        lengths = np.diff(shards.document_starts.astype(np.int64))
        needed = float(np.quantile(lengths, fitting))
        context = 1 << max(int(needed) - 1, 0).bit_length()
        return int(min(max(context, DIALOGUE_CONTEXTS[0]), most))
    context = TEXT_CONTEXT
    while context > LEAST_CONTEXT and shortest < 2 * context:
        context //= 2
    return context


def count_cut(shards: Shards, context: int, *, rule: int) -> CutCounts:
    """Count the dialogues that do not fit into the context, and what they lose."""
    if not shards.is_dialogue:
        return NOTHING_CUT
    _, cut = cut_dialogues(shards, whole(shards), context)
    return cut if rule >= 3 else CutCounts(dialogues=cut.dialogues, longest=cut.longest)


def cut_line(cut: CutCounts, n_documents: int, *, context: int, model: ModelConfig | None) -> str:
    """Say how many dialogues are longer than the context, what is lost, and how to mend it."""
    losses = (
        (cut.prompts, "prompt loses its beginning", "prompts lose their beginning"),
        (cut.turns, "reply does not see the oldest turns", "replies do not see the oldest turns"),
        (cut.replies, "reply is divided", "replies are divided"),
    )
    lost = [f"{n:,} {one if n == 1 else several}" for n, one, several in losses if n]
    how = f"; {', '.join(lost)}" if lost else f" every {context} tokens"
    line = (
        f"longer than the context of {context} tokens: {cut.dialogues:,} of {n_documents:,} "
        f"dialogues, which are cut{how}"
    )
    needed = 1 << (cut.longest - 1).bit_length()
    if model is None or needed <= model.context_length:
        return f"{line}. --context {needed} holds all of them whole"
    return f"{line}. The model's own context holds no more than {model.context_length}"
