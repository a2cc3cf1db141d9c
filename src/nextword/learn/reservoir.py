"""A sample of what a model learned from, kept in its folder: what a lesson rehearses.

training/rehearsal.safetensors   tokens, targets, documents; held_out.tokens, …; int32 [B, T]
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from nextword.config import TrainingConfig
from nextword.files import write_whole
from nextword.folder.taught import TRAINING
from nextword.learn.data import Prepared
from nextword.text.samples import Batch, Samples

RESERVOIR = "rehearsal.safetensors"
MOST_SEQUENCES, MOST_TOKENS = 512, 131_072  # of each part
HELD_OUT = "held_out."


@dataclass(frozen=True)
class Reservoir:
    """Sequences of a model's training data.

    Attributes:
        known: some that it learned from.
        held_out: some that it was judged by; None where nothing was held out.
    """

    known: Batch
    held_out: Batch | None


def write_reservoir(path: Path, data: Prepared, *, training: TrainingConfig) -> None:
    """Keep the first samples of the first epoch; their order is a uniform draw.

    Args:
        path: the file.
        data: what a run learned from.
        training: its seed, and whether it learned everything or replies alone.

    Raises:
        RunError: the disk is full or cannot be written.
    """
    known = data.samples(seed=training.seed, learn=training.learn, talks=0.0)
    held_out = data.held_out_samples(learn=training.learn)
    tensors = _named("", known)
    if held_out is not None:
        tensors |= _named(HELD_OUT, held_out)
    write_whole(path, save(tensors))


def read_reservoir(folder: Path, *, warn: Callable[[str], None] | None = None) -> Reservoir | None:
    """What `write_reservoir` left in a model's folder; None where there is nothing whole.

    Args:
        folder: the model's.
        warn: is told of a damaged file.
    """
    path = folder / TRAINING / RESERVOIR
    try:
        tensors = load(path.read_bytes())
        held_out = f"{HELD_OUT}tokens" in tensors
        return Reservoir(_batch("", tensors), _batch(HELD_OUT, tensors) if held_out else None)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, KeyError, ValueError, struct.error) as error:
        if warn is not None:
            warn(f"{path} is damaged and is left out: {error}")
        return None


def _named(prefix: str, samples: Samples) -> dict[str, NDArray[np.int32]]:
    """The first samples, by the names of a file."""
    rows = min(MOST_SEQUENCES, samples.n_samples(0), MOST_TOKENS // samples.context_length)
    names = ("tokens", "targets", "documents")
    named = zip(names, samples.batch(0, max(1, rows)), strict=True)
    return {
        prefix + name: np.ascontiguousarray(item, np.int32)
        for name, item in named
        if item is not None
    }


def _batch(prefix: str, tensors: dict[str, NDArray[np.int32]]) -> Batch:
    """The samples of one part; all of one shape."""
    tokens, targets = tensors[f"{prefix}tokens"], tensors[f"{prefix}targets"]
    documents = tensors.get(f"{prefix}documents")
    for other in (targets, documents):
        if other is not None and other.shape != tokens.shape:
            raise ValueError(f"{prefix}tokens is {tokens.shape}, beside it is {other.shape}")
    return tokens.astype(np.int64), targets.astype(np.int64), documents
