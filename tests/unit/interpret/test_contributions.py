"""How the parts of an account are named."""

import pytest

from nextword.interpret.contributions import quoted


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("I", "“I”"),
        (" I", "“␣I”"),
        ("I  ", "“I␣␣”"),
        ("of the", "“of the”"),
        (" ", "“␣”"),
        ("   ", "“␣␣␣”"),
        ("\n\n", "“↵↵”"),
        ("\tx", "“⇥x”"),
        ("", "“”"),
    ],
)
def test_tokens_that_differ_only_in_what_is_not_seen_are_told_apart(token: str, shown: str) -> None:
    assert quoted(token) == shown
