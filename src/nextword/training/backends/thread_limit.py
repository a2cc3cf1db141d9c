"""Limit how many threads torch computes with, for as long as a run takes."""

import contextlib
from collections.abc import Iterator

import torch

from nextword.errors import ConfigError
from nextword.hardware import cores
from nextword.validation import shown

MAX_THREADS = 1024


@contextlib.contextmanager
def limited_threads(wanted: int = 0) -> Iterator[None]:
    """Use as many threads as asked for; with 0 as there are cores (or OMP_NUM_THREADS, if fewer).

    More than there are cores would only wait for each other.

    Raises:
        ConfigError: more than MAX_THREADS.
    """
    if not 0 <= wanted <= MAX_THREADS:
        raise ConfigError(f"threads is {shown(wanted)}; it must be from 0 to {MAX_THREADS}")
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or min(before, cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
