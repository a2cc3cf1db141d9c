"""axe-core finds nothing to complain of, in either theme, in any state of the page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.page import models
from tests.page.conftest import Open, Student, Theme
from tests.page.lessons import carry, never, press, read, teach
from tests.page.pages import Opened

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text(encoding="utf-8")
RUN = """([where, sizes]) => axe.run(where, {resultTypes: ['violations'],
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  rules: {'target-size': {enabled: sizes}}})"""
MOVING = """() => [...document.querySelectorAll('body, body *')].filter(e => {
  const style = getComputedStyle(e);
  const longest = text => Math.max(...text.split(',').map(parseFloat));
  return longest(style.transitionDuration) > 0.001 || longest(style.animationDuration) > 0.001;
}).map(e => e.localName + '.' + e.className)"""


def violations(page: Opened, within: str = "html", *, sizes: bool = True) -> list[str]:
    """One line for each rule that is broken, and where.

    Without `sizes` nobody minds how large a target is: of what lies half under something that
    floats above the page, the visible half depends on the fonts.
    """
    page.page.evaluate(AXE + ";0")
    # a panel fades in once it is loaded; half faded, its colours have too little contrast
    page.page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")
    found: dict[str, Any] = page.page.evaluate(RUN, [within, sizes])
    return [
        f"{rule['id']}: {rule['help']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["seed2", "deep"])
def test_reading(opened: Open, addresses: Callable[[str], str], name: str, theme: Theme) -> None:
    turns = models.DIALOGUE if name == "seed2" else [models.SENTENCE]
    with opened(addresses(name), theme=theme) as page:
        page.go(turns, position=3, layer=0, head=0)
        unfold(page)
        assert violations(page) == []
        page.page.locator("#panel-3 nw-number button:visible").first.click()
        page.ready()
        assert page.page.locator("#inspector").is_visible()
        assert violations(page, sizes=False) == []
        assert violations(page, "#inspector") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_replying(opened: Open, addresses: Callable[[str], str], theme: Theme) -> None:
    with opened(addresses("seed2"), theme=theme) as page:
        page.go(models.DIALOGUE[:1])
        page.page.locator("#tab-reply").click()
        for _ in range(2):
            page.page.locator("#reply-next").click()
            page.ready()
        unfold(page)
        assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_teaching(opened: Open, student: Student, theme: Theme) -> None:
    """Before a lesson, while it goes on, when it is not learned, learned, and kept."""
    with opened(student.address, theme=theme) as page:
        read(page)
        assert page.page.locator("#should-be").is_visible()
        assert violations(page) == []
        carry(page)
        unfold(page)
        assert violations(page) == []
        never(page)
        page.page.locator("#teach-start").click()
        page.page.locator("#teach-numbers").wait_for()
        assert violations(page) == []
        press(page, "teach-stop")
        unfold(page)
        assert violations(page) == []
        page.page.reload()  # the settings of before
        page.ready()
        teach(page)
        unfold(page)
        assert violations(page) == []
        press(page, "teach-keep")
        assert violations(page) == []


SETTLED = """[...document.querySelectorAll('nw-formula')].every(
  e => (e.scrollWidth > e.clientWidth) === (e.tabIndex === 0))"""


def test_formulas_too_wide_for_a_telephone(opened: Open, student: Student) -> None:
    """Those that scroll can be reached by keyboard; those that do not are no stop of it."""
    scrolls = "[...document.querySelectorAll('nw-formula')].map(e => [e.clientWidth, "
    scrolls += "e.scrollWidth > e.clientWidth, e.tabIndex === 0])"
    for width in (360, 1280):
        with opened(student.address, width=width) as page:
            read(page)
            for tab in ("read", "teach"):
                press(page, f"tab-{tab}")
                unfold(page)
                page.ready()
                formulas = page.page.evaluate(scrolls)
                assert formulas and all(shown for shown, _, _ in formulas)
                assert [scrolled for _, scrolled, _ in formulas] == [stop for *_, stop in formulas]
                assert any(scrolled for _, scrolled, _ in formulas) == (width == 360)
                assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_before_anything_is_read_and_when_it_cannot_be(
    opened: Open, addresses: Callable[[str], str], theme: Theme
) -> None:
    with opened(addresses("seed2"), theme=theme) as page:
        page.go()
        assert violations(page) == []
        page.page.locator("#text").fill("what is " * 40)
        page.page.locator("#read").click()
        page.page.locator("#error").wait_for()
        assert "32" in page.page.locator("#error").inner_text()  # the context that it has
        assert violations(page) == []
        page.complaints.clear()  # the browser notes the answer 422


def unfold(page: Opened) -> None:
    """Open everything that is folded."""
    page.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")


def test_the_switch_overrules_the_preference(opened: Open, addresses: Callable[[str], str]) -> None:
    """auto → light → dark, kept when the page is opened again."""
    with opened(addresses("seed2"), theme="dark") as page:
        page.go(models.DIALOGUE)
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert page.page.evaluate(background) == "rgb(22, 21, 19)"
        page.page.locator("#theme").click()
        page.ready()
        assert page.page.evaluate(background) == "rgb(251, 250, 247)"
        page.page.reload()
        page.ready()
        assert page.page.evaluate(background) == "rgb(251, 250, 247)"
        page.page.locator("#theme").click()
        page.ready()
        assert page.page.evaluate(background) == "rgb(22, 21, 19)"


def test_nothing_moves_for_those_who_ask_for_it(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("deep"), reduced_motion="reduce") as page:
        page.go([models.SENTENCE], position=3)
        assert page.page.evaluate(MOVING) == []


def test_masked_words_are_named_not_only_hatched(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=1, layer=0, head=0)
        masked = page.page.locator("#panel-2 [data-masked], #panel-3 [data-masked]")
        assert masked.count() >= 4  # the words after position 1
        assert "masked" in page.page.locator("#panel-3").inner_text()
        assert "masked" in page.page.locator("#panel-2").inner_text()


def test_a_matrix_has_a_real_table_behind_a_switch(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=1, head=2)
        page.page.get_by_role("button", name="Show as table").first.click()
        page.ready()
        table = page.page.locator("nw-matrix table").first
        assert table.locator("th").count() >= 12
        assert table.locator("nw-number").count() >= 12
        assert violations(page) == []
