"""Memory kept between steps: told to the C library, and taken back."""

import gc
import sys

import pytest

from nextword.training.backends import allocator
from nextword.training.backends.allocator import kept_memory, settled_objects


class Library:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.trimmed = 0

    def mallopt(self, name: int, value: int) -> int:
        self.told.append((name, value))
        return 1

    def malloc_trim(self, _: int) -> int:
        self.trimmed += 1
        return 1


def test_settings_are_told_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(allocator, "_glibc", lambda: library)
    with pytest.raises(KeyError), kept_memory() as told:
        assert told
        assert (-4, 0) in library.told  # no big block is mapped on its own
        assert library.trimmed == 0
        raise KeyError
    assert library.told[-4:] == [(-4, 65536), (-1, 131072), (-2, 131072), (-8, 0)]
    assert library.trimmed == 1


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with kept_memory() as told:
        assert not told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_the_real_library_takes_them() -> None:
    with kept_memory():
        assert len(bytes(1 << 20)) == 1 << 20


def test_what_is_there_is_not_searched_for_garbage_until_the_end() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(KeyError), settled_objects():
        assert gc.get_freeze_count() > before
        raise KeyError
    assert gc.get_freeze_count() == 0
