"""What cannot be seen in a token has a mark, the same wherever tokens are shown, and a name."""

import re
from collections.abc import Callable, Iterator

import pytest
from tests.page.conftest import Open
from tests.page.pages import Opened

TEXT = "I am I\n\tnaïve 日本. I I"
SHOWN = ["I", "␣am", "␣I", "↵", "⇥", "na⟨C3⟩", "⟨AF⟩ve", "␣日本", ".", "␣I", "␣I"]
SPOKEN = "document.querySelector('#live').textContent"
NAMED = {
    "": ("∅", "empty token"),
    " ": ("␣", "space"),
    " I": ("␣I", "space I"),
    "I": ("I", "I"),
    "I ": ("I␣", "I space"),
    "of the": ("of the", "of the"),
    " " * 4: ("␣␣␣␣", "space space space space"),
    " " * 16: ("␣×16", "16 times space"),
    "\n\n": ("↵↵", "line end line end"),
    "\r\n": ("␍↵", "carriage return line end"),
    "a\nb": ("a↵b", "a line end b"),
    "\t": ("⇥", "tab"),
    "\u00a0x": ("⍽x", "no-break space x"),
    "\u200b": ("⟨U+200B⟩", "character U+200B"),
    "a\u0007b": ("a⟨U+0007⟩b", "a character U+0007 b"),
    "\\xe2\\x80": ("⟨E2⟩⟨80⟩", "byte E2 byte 80"),
    "<|end|>": ("<|end|>", "<|end|>"),
}


@pytest.fixture(scope="module")
def page(opened: Open, addresses: Callable[[str], str]) -> Iterator[Opened]:
    """The sentence, opened at its tab."""
    with opened(addresses("pieces")) as page:
        page.go([TEXT], position=4, layer=1, head=1)
        yield page


def words(page: Opened, selector: str) -> list[str]:
    """What stands in each element, without numbers of positions."""
    found = page.page.locator(selector).all_inner_texts()
    return [re.sub(r"\s+\d+$", "", text.strip()) for text in found]


def test_the_marks_and_their_names(page: Opened) -> None:
    script = """async tokens => {
      const {visible, spoken} = await import('/page/js/tokens.js');
      return tokens.map(token => [visible(token), spoken(token)]);
    }"""
    found = page.page.evaluate(script, list(NAMED))
    assert dict(zip(NAMED, map(tuple, found), strict=True)) == NAMED


def test_the_same_marks_in_every_panel(page: Opened) -> None:
    assert words(page, "#strip .chip > .word") == SHOWN
    assert words(page, ".arc-word") == SHOWN
    assert words(page, ".steps thead .word") == SHOWN
    assert words(page, "#lens-grid thead th[data-column]") == SHOWN
    assert words(page, ".named .above > span") == SHOWN
    assert words(page, ".named .beside > span") == SHOWN
    assert set(words(page, "#panel-2 .bars .word")) <= set(SHOWN[:5])
    assert "The word vector of “⇥”" in page.page.locator("#panel-2 .sentence").inner_text()
    assert "“⇥” (position 4)" in page.page.locator("#breadcrumb").inner_text()
    labels = " ".join(page.page.locator("#account .label").all_inner_texts())
    assert "← “␣am”" in labels and "← “am”" not in labels
    story = page.page.locator(".story").inner_text()
    assert story.startswith("After “⇥” at position 4")
    assert not re.search(r"“(am|\\x..)”", story)


def test_the_marks_have_names_for_those_who_listen(page: Opened) -> None:
    first = page.page.get_by_role("option", name=re.compile(r"^I ?, position 0"))
    third = page.page.get_by_role("option", name=re.compile(r"^space I ?, position 2"))
    assert first.count() == third.count() == 1
    page.page.locator("#strip [data-position='2']").click()
    page.until(f"{SPOKEN}.includes('“space I”')")
    page.page.locator("#strip [data-position='0']").click()
    page.until(f"{SPOKEN}.includes('“I”')")


def test_the_same_marks_in_a_reply_and_what_is_taught(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("pieces")) as page:
        page.go([TEXT], tab="reply")
        assert words(page, ".prompt .word") == SHOWN
        page.page.locator("#reply-next").click()
        page.ready()
        (said,) = words(page, "#reply-steps .word")
        assert page.page.locator(".step-detail h3").inner_text() == f"Step 1: “{said}”"
        assert words(page, "[data-candidate][aria-current] .word")[0].startswith(said)
        page.go([TEXT], tab="teach", position=1, word="I")
        assert words(page, "#teach-carried .carried > .word") == SHOWN[:2]
        assert page.page.locator("#teach-carried .wanted").inner_text() == "␣I"  # what is taught
        assert page.page.locator("#teach-right").input_value() == "I"
