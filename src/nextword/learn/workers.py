"""Threads of our own that share the work of a step, each with its part of those torch may use.

torch's threads share every single operation and wait for each other after each; where one of them
is held up by another program, all are. Ours take a larger piece each and meet when it is done.
Nobody waits in a loop meanwhile, as torch's threads do for a while after each operation.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Workers:
    """`count` threads; a single one is the caller itself."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._threads: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> list[Result]:
        """What `work` gives for each piece, in their order; an error is raised here."""
        if self.count == 1:
            return [work(piece) for piece in pieces]
        if self._threads is None:
            self._threads = self._start()
        return list(self._threads.map(work, pieces))

    def _start(self) -> ThreadPoolExecutor:
        each = max(1, torch.get_num_threads() // self.count)
        return ThreadPoolExecutor(
            self.count,
            thread_name_prefix="worker",
            initializer=torch.set_num_threads,
            initargs=(each,),
        )
