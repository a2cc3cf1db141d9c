"""Telephones, and a window at 200 %: no sideways scrolling, no broken number, large targets."""

from collections.abc import Callable

import pytest
from tests.page import models
from tests.page.conftest import Open, Student
from tests.page.lessons import carry, press, read, teach
from tests.page.pages import Opened

BROKEN = """() => {
  const found = [];
  const texts = document.createTreeWalker(document.querySelector('nw-page'), NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    if (!text.parentElement.checkVisibility() || text.parentElement.closest('math, svg')) continue;
    for (const number of text.data.matchAll(/[−-]?\\d+(?:\\.\\d+)?(?: ?%)?/g)) {
      const range = document.createRange();
      range.setStart(text, number.index);
      range.setEnd(text, number.index + number[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1) found.push(`${number[0]} in ${text.parentElement.outerHTML}`);
    }
  }
  return found;
}"""
LEAST = 24  # pixels of a target, each way (WCAG 2.2, 2.5.8)
WIDE = """() => document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll('body *')].filter(e => {
      if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
      for (let up = e.parentElement; up; up = up.parentElement) {
        if (getComputedStyle(up).overflowX !== 'visible') return false;
      }
      return true;
    }).map(e => e.localName + '#' + e.id + '.' + e.className).slice(0, 5).concat(['too wide'])
  : []"""
SMALL = """least => [...document.querySelectorAll(
    'button, select, textarea, summary, input, [role=option], [role=treeitem], [role=tab], a')]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().width > 0)
  .map(e => [e.closest('label') ?? e, e])
  .filter(([e]) => { const box = e.getBoundingClientRect();
    return box.width < least - 0.5 || box.height < least - 0.5; })
  .map(([box, e]) => `${e.localName}#${e.id}.${e.className} “${e.textContent.trim().slice(0, 20)}” `
    + `${box.getBoundingClientRect().width} × ${box.getBoundingClientRect().height}`)"""


def assert_fits(page: Opened) -> None:
    """The body does not scroll sideways, and every target is large enough."""
    assert page.page.evaluate(WIDE) == []
    assert page.page.evaluate(SMALL, LEAST) == []
    assert page.page.evaluate(BROKEN) == []


@pytest.mark.parametrize("width", [320, 390, 640])
@pytest.mark.parametrize("name", ["seed2", "deep", "pieces"])
def test_reading(opened: Open, addresses: Callable[[str], str], name: str, width: int) -> None:
    turns = models.DIALOGUE if name == "seed2" else [models.SENTENCE]
    turns = ["I am I\n\tnaïve 日本. I I"] if name == "pieces" else turns
    with opened(addresses(name), width=width, height=740) as page:
        page.go(turns, position=4, layer=0, head=0)
        page.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert_fits(page)
        page.page.locator("#panel-3 nw-number button:visible").first.click()
        page.ready()
        assert_fits(page)


@pytest.mark.parametrize("width", [320, 390])
def test_replying(opened: Open, addresses: Callable[[str], str], width: int) -> None:
    with opened(addresses("seed2"), width=width, height=740) as page:
        page.go(models.DIALOGUE[:1])
        page.page.locator("#tab-reply").click()
        page.page.locator("#reply-run").click()
        page.page.locator("#reply-reason").wait_for()
        page.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.ready()
        assert_fits(page)


@pytest.mark.parametrize(("width", "letters"), [(320, 100), (390, 100), (1280, 200)])
def test_teaching(opened: Open, student: Student, width: int, letters: int) -> None:
    """On a telephone, and with letters of 200 %: before a lesson, after it, and when it is kept."""
    with opened(student.address, width=width, height=740) as page:
        read(page)
        page.page.evaluate("size => { document.documentElement.style.fontSize = size; }",
                           f"{letters}%")  # fmt: skip
        assert_fits(page)
        carry(page)
        unfold = "document.querySelectorAll('details').forEach(d => { d.open = true; })"
        page.page.evaluate(unfold)
        assert_fits(page)
        teach(page)
        page.page.evaluate(unfold)
        page.ready()
        assert_fits(page)
        press(page, "teach-keep")
        assert_fits(page)


@pytest.mark.parametrize(("width", "letters"), [(360, 100), (1280, 200)])
def test_long_words_and_large_letters(
    opened: Open, addresses: Callable[[str], str], width: int, letters: int
) -> None:
    """A token of 30 characters on a telephone, and with letters of 200 % in a window."""
    with opened(addresses("nasty"), width=width, height=740) as page:
        page.go()
        page.page.evaluate("size => { document.documentElement.style.fontSize = size; }",
                           f"{letters}%")  # fmt: skip
        page.page.evaluate("ids => nextword.store.readIds(ids)", [3, 3, 1, 3])
        page.ready()
        assert page.page.evaluate(WIDE) == []
