"""Whether the weights of a decoder are still the same."""

import hashlib

import torch

from nextword.model.decoder import Decoder

Stamp = tuple[tuple[int, int], ...]


def stamp_of(decoder: Decoder) -> Stamp:
    """What is another whenever a weight has been written to; quick, and only for this process."""
    return tuple((weight._version, weight.data_ptr()) for weight in decoder.parameters())


def version_of(decoder: Decoder) -> str:
    """What is another whenever a weight is: 16 hex digits of a SHA-256 over all weights."""
    hashed = hashlib.sha256()
    for name, weight in decoder.named_parameters():
        hashed.update(f"{name} {list(weight.shape)} {weight.dtype} ".encode())
        hashed.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return hashed.hexdigest()[:16]
