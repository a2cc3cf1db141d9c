"""A text as the model reads it: its tokens, and what is predicted at every position."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nextword import __version__
from nextword.config import ModelConfig
from nextword.errors import DataError
from nextword.formats.huggingface.families import family_of
from nextword.interpret.points import BLOCK, ENTRY, EXIT, Point
from nextword.language_model import LanguageModel
from nextword.serve.responses import RequestError
from nextword.serve.schemas import Read, check_ids
from nextword.tokenizer.tokenizer import UnknownTokenWarning

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace
    from nextword.interpret.verdicts import Verdicts

UNKNOWN_NOTE = "some of these words are not in the vocabulary; the model sees {token} instead"


def read_ids(lm: LanguageModel, body: Read) -> tuple[list[int], str, list[str]]:
    """The tokens of a text, how it was read, and what there is to say about it.

    Read as "dialogue", "text", or "ids" where the tokens themselves were given.

    Raises:
        RequestError: both or neither of ids and turns are given.
        DataError, ContextError: no turns, or more tokens than the context holds.
    """
    if (body.ids is None) == (body.turns is None):
        raise RequestError("give either ids or turns", param="turns")
    if body.ids is not None:
        check_ids(body.ids, lm.config)
        return list(body.ids), "ids", []
    turns = list(body.turns or ())
    if not turns:
        raise DataError("turns is empty; it needs at least one text, which may be empty")
    learned = lm.kind if len(turns) == 1 else "dialogue"
    read_as = learned if body.mode == "auto" else body.mode
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnknownTokenWarning)
        ids = lm.ids(turns, dialogue=read_as == "dialogue")
    check_ids(ids, lm.config)
    return ids, read_as, _notes(lm, ids, [str(warning.message) for warning in caught])


def _notes(lm: LanguageModel, ids: Sequence[int], told: list[str]) -> list[str]:
    """What was warned of; the tokenizer names a word only once, so later texts say it shorter."""
    unknown_id = lm.tokenizer.unknown_id
    if unknown_id is None or unknown_id not in ids or told:
        return told
    return [UNKNOWN_NOTE.format(token=lm.tokenizer.token(unknown_id))]


def read(
    trace: "Trace", *, version: str, ids: Sequence[int], read_as: str, notes: Sequence[str]
) -> dict[str, Any]:
    """The verdicts of a text, with how it was read."""
    verdicts = trace.verdicts()
    return {
        "version": version,
        "ids": list(ids),
        "read_as": read_as,
        "notes": list(notes),
        "loss": verdicts.loss,
        "n_judged": len(verdicts.judged),
        "n_right": verdicts.n_right,
        "n_in_top5": verdicts.n_in_top5,
        "positions": _positions(verdicts),
    }


def _positions(verdicts: "Verdicts") -> list[dict[str, Any]]:
    return [
        dataclasses.asdict(item) | {"right": item.right, "in_top5": item.in_top5}
        for item in verdicts
    ]


SAME_NAMES = (
    "d_model", "n_layers", "n_heads", "vocab_size", "context_length", "position", "token_shift",
    "norm", "norm_placement", "feed_forward", "gated", "scaled_scores", "score_scale",
    "query_key_norm", "output_projection", "attention_soft_cap", "logit_soft_cap",
    "tied_embeddings",
)  # fmt: skip


def card(lm: LanguageModel) -> dict[str, Any]:
    """What the page says of the model, and what it needs to know to ask."""
    config = lm.config
    return {name: getattr(config, name) for name in SAME_NAMES} | {
        "name": lm.folder.resolve().name if lm.folder else "model",
        "version": lm.version,
        "kind": lm.kind,
        "family": family_of(config),
        "n_parameters": lm.decoder.n_parameters,
        "n_kv_heads": config.kv_heads,
        "d_head": config.head_width,
        "d_ff": config.ff_width,
        "windows": [config.window(layer) for layer in range(config.n_layers)],
        "biases": {
            "attention": config.attention_bias,
            "output": config.output_bias,
            "feed_forward": config.feed_forward_bias,
            "norm": config.norm_bias and config.norm == "layer",
            "unembedding": config.unembedding_bias,
        },
        "tokenizer": lm.tokenizer.kind,
        "end_ids": sorted(lm.tokenizer.end_ids),
        "points": _points(config),
        "nextword": __version__,
    }


def _points(config: ModelConfig) -> list[dict[str, str]]:
    """Every kind of value of this model; `blocks.N.` stands before those of a layer."""
    blocks = BLOCK if config.n_layers else ()
    named: list[tuple[str, Point]] = [
        *((point.name, point) for point in ENTRY),
        *((f"blocks.N.{point.name}", point) for point in blocks),
        *((point.name, point) for point in EXIT),
    ]
    return [
        {"name": name, "shape": point.shape, "meaning": point.meaning}
        for name, point in named
        if point.present(config)
    ]
