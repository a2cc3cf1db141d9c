"""A pool of threads, each of which computes whole shards of a step with a single torch thread.

torch's own threads share every operation and spin while they wait for each other after each one:
when another program holds up one of them, it holds up all. Ours take a whole shard and then sleep
until the last one is done. What a shard computes does not depend on the thread that takes it, so
the number of threads changes no result.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Shard = TypeVar("Shard")
Result = TypeVar("Result")


class ThreadPool:
    """`n_threads` threads; with a single one the caller does all the work.

    Args:
        n_threads: at most this many shards are computed at a time.
        torch_threads: how many threads torch uses inside each; None: an even part of those that
            the caller may use.
    """

    def __init__(self, n_threads: int = 1, *, torch_threads: int | None = None) -> None:
        self.n_threads = n_threads
        self._torch_threads = torch_threads
        self._executor: ThreadPoolExecutor | None = None

    @property
    def torch_threads(self) -> int:
        """Return how many threads torch uses inside each of ours."""
        if self._torch_threads is not None:
            return self._torch_threads
        return max(1, torch.get_num_threads() // self.n_threads)

    def map(self, work: Callable[[Shard], Result], shards: Iterable[Shard]) -> list[Result]:
        """Return the result of `work` for each shard, in order; errors are raised here."""
        if self.n_threads == 1 and self.torch_threads == torch.get_num_threads():
            return [work(shard) for shard in shards]
        if self._executor is None:
            self._executor = ThreadPoolExecutor(
                self.n_threads,
                thread_name_prefix="shard",
                initializer=torch.set_num_threads,
                initargs=(self.torch_threads,),
            )
        return list(self._executor.map(work, shards))
