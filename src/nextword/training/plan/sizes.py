"""The sizes of a run: its model at a depth, its batch, and the settings that follow from them."""

import math
from typing import Any

import torch

from nextword.config import ModelConfig, TrainingConfig, config_from
from nextword.data.prepared import Prepared
from nextword.model.decoder import Decoder
from nextword.presets import DEFAULT_DEPTH, PRESETS, preset
from nextword.training.plan.epochs import with_gentle_rates, with_regularization
from nextword.training.request import TrainRequest

BATCH_TOKENS = 4096  # tokens of a batch, unless asked otherwise
LEAST_BATCH_TOKENS, MOST_BATCH_TOKENS = 1024, 32768  # of a batch, where time is the budget
USUAL_TOKENS, USUAL_BATCH_TOKENS = 3e6, 2048  # of a run, and of its batch
BATCHES_PER_EPOCH = 8  # small data is not taken in larger batches than this


def depth_of(request: TrainRequest) -> int:
    """Return the depth that was asked for, or the default."""
    return DEFAULT_DEPTH if request.depth is None else request.depth


def has_own_size(request: TrainRequest, data: Prepared) -> bool:
    """Return True if the size of the model was asked for, or is that of a pretrained one."""
    sized = {"d_model", "n_layers"} & request.model.keys()
    return request.depth is not None or bool(sized) or data.model is not None


def model_at(request: TrainRequest, data: Prepared, depth: int) -> ModelConfig:
    """Return the request's model at a depth; the data's own where training goes on from it."""
    if data.model is not None:
        return data.model
    return preset(
        request.preset,
        vocab_size=data.tokenizer.vocab_size,
        context_length=data.context,
        depth=depth,
        **request.model,
    )


def block_weights(model: ModelConfig) -> int:
    """Return how many weights the blocks have, embeddings and unembedding apart."""
    with torch.device("meta"):
        decoder = Decoder(model)
    return sum(parameter.numel() for parameter in decoder.blocks.parameters())


def batch_size(request: TrainRequest, data: Prepared, tokens: int) -> int:
    """Return the sequences of a step: as asked for, or about `tokens`, in whole parts."""
    parts = int(request.training.get("accumulate", 1))
    asked = int(request.training.get("batch_size", 0))
    return asked or -(-default_batch(data, tokens) // parts) * parts


def default_batch(data: Prepared, tokens: int) -> int:
    """Return the sequences of a step: about `tokens`, less for small data."""
    samples = data.samples(seed=0, learn="everything").n_samples(0)
    return max(1, min(tokens // data.context, samples // BATCHES_PER_EPOCH))


def batch_tokens_for(tokens: float) -> int:
    """Return the tokens of a batch for a run over `tokens`, a power of two.

    It grows with their root, as the largest batch does that loses nothing against smaller ones
    (arXiv 2410.21676); where it begins was measured (docs/lab-log.md).
    """
    wanted = USUAL_BATCH_TOKENS * math.sqrt(max(tokens, 1.0) / USUAL_TOKENS)
    nearest = 2 ** round(math.log2(max(wanted, 1.0)))
    return int(min(max(nearest, LEAST_BATCH_TOKENS), MOST_BATCH_TOKENS))


def training_settings(
    request: TrainRequest,
    data: Prepared,
    *,
    batch: int,
    steps: int,
    often: bool,
    regularize: bool = True,
    defaults: dict[str, Any] | None = None,
) -> TrainingConfig:
    """Return every setting of a run.

    Args:
        request: what was asked for; it wins over all defaults.
        data: the prepared data.
        batch, steps: sequences of a step, and steps.
        often: whether small data, many epochs enough for the gentle rates.
        regularize: whether data gone through often gets dropout, too: there is time for it. Where
            the aim is to answer, label smoothing comes and goes with it.
        defaults: of settings that nobody asked for, before all others.
    """
    settings = dict(request.training) | {"batch_size": batch, "steps": steps}
    settings = (defaults or {}) | settings
    if not has_scaled_scores(request, data):  # the article's scores suffer from decay: lab log
        settings.setdefault("weight_decay", 0.0)
    if often or data.model is not None:  # what is known already is not shaken
        settings = with_gentle_rates(settings)
    if often and regularizes(request, data):
        off = {"dropout": 0.0}
        if data.aim == "answers":
            off["label_smoothing"] = 0.0  # it would keep replies from being learned by heart
        settings = with_regularization(settings if regularize else off | settings)
    return config_from(TrainingConfig, settings)


def regularizes(request: TrainRequest, data: Prepared) -> bool:
    """Return True for a new model, not the article's, of which more than its data is asked.

    Other phrasings of what it learned, where the aim is to answer; else the held-out part.
    """
    asked_more = data.aim == "answers" or data.held_out is not None
    return data.model is None and asked_more and has_scaled_scores(request, data)


def has_scaled_scores(request: TrainRequest, data: Prepared) -> bool:
    """Return True unless the model's scores are not scaled, as the article's."""
    if data.model is not None:
        return data.model.scaled_scores
    chosen = PRESETS[request.preset] | dict(request.model)
    return bool(chosen.get("scaled_scores", True))
