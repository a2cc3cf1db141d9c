"""The number of threads while a run takes place, and after it."""

import pytest
import torch

from nextword.errors import ConfigError
from nextword.training.backends import thread_limit
from nextword.training.backends.thread_limit import limited_threads


@pytest.mark.parametrize(("wanted", "before", "inside"), [(0, 1, 1), (0, 5, 3), (2, 1, 2)])
def test_as_many_as_asked_for_or_as_there_are_cores(
    wanted: int, before: int, inside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_limit, "cores", lambda: 3)
    usual = torch.get_num_threads()
    torch.set_num_threads(before)
    try:
        with limited_threads(wanted):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(usual)


@pytest.mark.parametrize("wanted", [-1, 1025, 10**20])
def test_an_impossible_number_of_threads_is_refused(wanted: int) -> None:
    with (
        pytest.raises(ConfigError, match=f"threads is {wanted}; it must be from 0 to 1024"),
        limited_threads(wanted),
    ):
        pass
