"""How many of the processor's threads torch computes with, for as long as a run takes."""

import contextlib
from collections.abc import Iterator

import torch

from nextword.machine import cores


@contextlib.contextmanager
def limited_threads(wanted: int = 0) -> Iterator[None]:
    """As many threads as asked for; with 0 as there are cores (or OMP_NUM_THREADS, if fewer).

    More than there are cores would only wait for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or min(before, cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
