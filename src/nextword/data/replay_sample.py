"""A sample of what a model learned from, kept in its folder: what a lesson rehearses.

training/rehearsal.safetensors   tokens, targets, documents; held_out.tokens, …; int32 [B, T];
                                 its metadata name the tokenizer by its fingerprint, and have a
                                 checksum of all that (in version 0.1 none)
"""

import hashlib
import json
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from nextword.common.files import write_whole
from nextword.common.lesson_files_layout import TRAINING
from nextword.config import TrainingConfig
from nextword.data.prepared import Prepared
from nextword.data.samples.datasets import Batch, Samples
from nextword.errors import FolderError

RESERVOIR = "rehearsal.safetensors"
MOST_SEQUENCES, MOST_TOKENS = 512, 131_072  # of each part
HELD_OUT = "held_out."
TOKENIZER, CHECKSUM = "tokenizer", "sha256"  # in the metadata


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
    known = data.all_samples(seed=training.seed, learn=training.learn)
    held_out = None  # what was held out is learned in the end
    if not data.learns_held_out:
        held_out = data.held_out_samples(learn=training.learn)
    tensors = _named("", known)
    if held_out is not None:
        tensors |= _named(HELD_OUT, held_out)
    fingerprint = data.tokenizer.fingerprint
    metadata = {TOKENIZER: fingerprint, CHECKSUM: _checksum(tensors, fingerprint)}
    write_whole(path, save(tensors, metadata=metadata))


def read_reservoir(folder: Path, *, fingerprint: str | None = None) -> Reservoir | None:
    """Read what `write_reservoir` left in a model's folder; None where there is no file.

    Args:
        folder: the model's.
        fingerprint: of the model's tokenizer; a sample of another one's tokens means nothing to
            it. None: not compared, as a sample that does not name its tokenizer never is.

    Raises:
        FolderError: the file is damaged.

    Warns:
        UserWarning: the file is another tokenizer's; it is left out.
    """
    path = folder / TRAINING / RESERVOIR
    try:
        content = path.read_bytes()
        tensors, metadata = load(content), _metadata(content)
        if metadata.get(CHECKSUM) not in (None, _checksum(tensors, metadata.get(TOKENIZER))):
            raise ValueError("its content does not have the checksum in it")
        if fingerprint not in (None, metadata.get(TOKENIZER, fingerprint)):
            warnings.warn(f"{path} was made with another tokenizer and is left out", stacklevel=2)
            return None
        held_out = f"{HELD_OUT}tokens" in tensors
        return Reservoir(_batch("", tensors), _batch(HELD_OUT, tensors) if held_out else None)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, KeyError, ValueError, struct.error) as error:
        raise FolderError(
            f"{path} is damaged: {error}. Put it back from a copy; or delete it: then lessons "
            "rehearse what the model itself says, or what --rehearse FILE holds"
        ) from error


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a file: in the JSON after the 8 bytes of its length."""
    (length,) = struct.unpack_from("<Q", content)
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__", {}))


def _checksum(tensors: dict[str, NDArray[np.int32]], fingerprint: str | None) -> str:
    """Return the SHA-256 of the tensors, with names, types and shapes, and of the tokenizer."""
    digest = hashlib.sha256(f"{fingerprint}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


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
