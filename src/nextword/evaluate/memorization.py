"""Does a model parrot? How much of what it says stands word for word in what it learned from.

From starts in what is held out the model goes on, drawing each token by its probability. Of a
text that is the 20 tokens after 16; of dialogues the first 20 of the reply to a prompt. A shorter
reply counts whole: from the end token before it to its own. What really follows those starts is
looked up in the same way, because text that repeats itself is found without any parroting.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextword.config import ReplyConfig
from nextword.data.prepared import Prepared, make_samples
from nextword.data.shards.ngram_match import find_verbatim
from nextword.evaluate.scoring import spread_pairs
from nextword.generate.engine import generate_many
from nextword.model.decoder import Decoder

OUTPUTS = 50
START = 16  # tokens of a text that are gone on from; less where the context is short
LENGTH = 20  # tokens that are looked up
GROUP = 10  # outputs made side by side; each group has draws of its own


@dataclass(frozen=True, kw_only=True)
class Parroting:
    """How much stands word for word in the training text.

    Attributes:
        copied: share of the model's outputs.
        usual: share of what really follows the same starts.
        n_outputs: how many were made.
        searched: share of the training text that was searched; 1 unless that is very large.
    """

    copied: float
    usual: float
    n_outputs: int
    searched: float


def measure_parroting(
    decoder: Decoder, data: Prepared, *, seconds: float = math.inf
) -> Parroting | None:
    """Let the model speak, and look up what it said.

    Args:
        decoder: the model, in the mode and precision in which it is to be judged.
        data: what it learned from, and what was held out.
        seconds: for making outputs, and as many again for searching; a group of outputs and a
            chunk of the text are worked through in any case.

    Returns:
        None where nothing is held out, or nothing that leaves room for an output.
    """
    pairs = _starts(data, decoder.config.context_length)
    if not pairs:
        return None
    began = time.monotonic()
    made = _speak(decoder, data, [start for start, _ in pairs], began + seconds)
    pairs = pairs[: len(made)]
    outputs = [_piece(start, ids) for (start, _), ids in zip(pairs, made, strict=True)]
    real = [_piece(start, ids) for start, ids in pairs]
    found = find_verbatim([*outputs, *real], data.shards, data.train, until=began + 2 * seconds)
    return Parroting(
        copied=float(np.mean(found.stands[: len(made)])),
        usual=float(np.mean(found.stands[len(made) :])),
        n_outputs=len(made),
        searched=found.searched,
    )


def _starts(data: Prepared, context: int) -> list[tuple[list[int], list[int]]]:
    """Starts from what is held out, and what follows them there: LENGTH tokens, or a reply."""
    if data.held_out is None:
        return []
    shards, part = data.held_out
    if data.is_dialogue:
        pairs = spread_pairs(shards, part, OUTPUTS)
        return [(prompt, reply) for prompt, reply in pairs if len(prompt) + LENGTH <= context]
    start = min(START, context - LENGTH)
    if start < 1 or part.n_tokens < start + LENGTH:
        return []
    samples = make_samples(shards, part, context=start + LENGTH - 1, seed=0)
    tokens, targets, _ = samples.batch(0, min(OUTPUTS, samples.n_samples(0)))
    rows = np.concatenate((tokens, targets[:, -1:]), axis=1).tolist()  # [n, start + LENGTH]
    return [(row[:start], row[start:]) for row in rows]


def _speak(
    decoder: Decoder, data: Prepared, starts: Sequence[list[int]], until: float
) -> list[list[int]]:
    """What the model says after each start, as far as time allows; the first group in any case."""
    ends = data.tokenizer.end_ids if data.is_dialogue else frozenset()  # a text goes on after one
    made: list[list[int]] = []
    for first in range(0, len(starts), GROUP):
        if made and time.monotonic() > until:
            break
        made += generate_many(
            decoder,
            starts[first : first + GROUP],
            ReplyConfig(temperature=1.0, max_tokens=LENGTH, seed=first),
            end_ids=ends,
            pad_id=data.tokenizer.pad_id,
            batch_size=GROUP,
        )
    return made


def _piece(start: Sequence[int], ids: Sequence[int]) -> list[int]:
    """What is looked up: LENGTH tokens, or a shorter reply with the end token before it."""
    return list(ids[:LENGTH]) if len(ids) >= LENGTH else [start[-1], *ids]
