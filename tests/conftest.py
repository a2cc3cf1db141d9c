"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests run side by side, one to a core; threads that wait for each other would only slow them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder with real texts beside the checkout; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real texts is absent")
    return SHARED_DATA


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch works with one thread, as each of ours does; then with as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
