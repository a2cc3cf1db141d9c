"""The thread pool: results in order, errors raised, torch's own threads left as they are."""

import threading
from collections.abc import Iterator

import pytest
import torch

from nextword.training.backends.thread_pool import ThreadPool


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_a_single_one_is_the_caller() -> None:
    assert ThreadPool().map(lambda _: threading.current_thread(), "ab") == 2 * [
        threading.current_thread()
    ]


def test_each_has_its_part_of_torchs_threads() -> None:
    meet = threading.Barrier(2)

    def threads(_: str) -> tuple[int, int]:
        meet.wait(timeout=10)  # or one thread might do both pieces
        return threading.get_ident(), torch.get_num_threads()

    (one, its), (other, others) = ThreadPool(2).map(threads, "ab")
    assert len({one, other, threading.get_ident()}) == 3
    assert its == others == 2
    assert torch.get_num_threads() == 4


def test_results_come_in_the_order_of_the_pieces() -> None:
    assert ThreadPool(3).map(lambda n: n * n, range(7)) == [0, 1, 4, 9, 16, 25, 36]


def test_an_error_is_raised_where_it_was_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        ThreadPool(2).map(lambda n: 1 // n, (1, 0))


def test_a_single_thread_may_leave_the_callers_torch_threads_alone() -> None:
    pool = ThreadPool(1, torch_threads=1)
    assert pool.map(lambda _: torch.get_num_threads(), "ab") == [1, 1]
    assert torch.get_num_threads() == 4
