"""Patterns that could take forever are told from those that known families use."""

import pytest

from nextword.tokenizer.regex_safety import slow_pattern

SAFE = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
    r"[^\r\n\p{L}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t|'re)?|\p{N}{1,3}(?=(?:\p{N}{3})*\b)",
    r"[!\"#()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+",
    r"[(a+]+\)+",
    r"(a+){3}(b|c)+(a+)?",
    r"(a+)b+",
    r"\x{41}+",
]
SLOW = [
    r"(a+)+",
    r"(?:a*)*b",
    r"((a+)b)*",
    r"(a{1,}){2,}",
    r"(?<n>a+)*?",
    r"([^]a]+)++",
    r"(a{0,999})+",
    r"(?:(a+)?)*",
    "a" * 10_001,
]


@pytest.mark.parametrize("pattern", SAFE)
def test_patterns_of_known_families_are_accepted(pattern: str) -> None:
    assert slow_pattern(pattern) is None


@pytest.mark.parametrize("pattern", SLOW)
def test_patterns_that_explode_are_refused(pattern: str) -> None:
    assert slow_pattern(pattern) is not None
