"""Counts and sizes in words."""

from nextword.common.formatting import count, size


def test_one_is_singular_and_all_else_plural() -> None:
    made = [count(n, "document") for n in (0, 1, 2, 12345)]
    assert made == ["0 documents", "1 document", "2 documents", "12,345 documents"]
    assert count(3, "reply", "replies") == "3 replies"
    assert count(1, "reply", "replies") == "1 reply"


def test_a_size_is_never_nought_of_a_larger_unit() -> None:
    made = [size(n) for n in (0, 1, 7, 999, 1000, 12_345, 999_999, 1_000_000, 5e9)]
    assert made[:4] == ["0 bytes", "1 byte", "7 bytes", "999 bytes"]
    assert made[4:] == ["1 kB", "12 kB", "1,000 kB", "1 MB", "5,000 MB"]
