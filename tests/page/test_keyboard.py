"""The whole way from words to next word without a pointer."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlparse

import pytest
from tests.page import models
from tests.page.conftest import Open
from tests.page.pages import Opened


def heading(page: Opened, panel: int) -> None:
    """Go to a panel by its key, and find the keyboard there."""
    page.page.keyboard.press(f"Alt+{panel}")
    assert page.focused() == f"#panel-{panel}-heading"


def fragment(page: Opened) -> dict[str, list[str]]:
    """What the address says."""
    return parse_qs(urlparse(page.page.url).fragment.partition("?")[2])


def test_from_a_sentence_to_its_next_word(opened: Open, addresses: Callable[[str], str]) -> None:
    """Panels 1 to 4 in turn: type, read, choose a word, a head, step through it, see the answer."""
    with opened(addresses("deep")) as page:
        page.go()
        keyboard = page.page.keyboard
        page.tab_to("#text")
        keyboard.type("the old cat walks to a river")
        page.tab_to("#read")
        keyboard.press("Enter")
        page.page.wait_for_selector("#strip [data-position='6']")
        page.ready()
        assert page.state("position", "level") == [6, "position"]

        page.tab_to("#strip, #strip *")
        for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
            keyboard.press(key)
        assert page.state("position") == 6  # a preview so far
        assert page.page.evaluate("nextword.store.shown.position") == 3
        keyboard.press("Enter")
        page.ready()
        assert page.state("position") == 3
        assert fragment(page)["position"] == ["3"]
        page.tab_to("#layer, #panel-2 *, #panel-3 *")  # the strip was one stop

        heading(page, 2)
        keyboard.press("]")
        keyboard.press(".")
        keyboard.press(".")
        page.ready()
        assert page.state("position", "layer", "head") == [3, 1, 2]
        assert fragment(page)["head"] == ["2"]
        assert page.page.locator("#breadcrumb").inner_text().count("›") >= 3

        heading(page, 3)
        step_through(page)

        heading(page, 4)
        page.tab_to("#account input[type=radio]")
        keyboard.press("ArrowRight")  # by word
        page.ready()
        assert {number.name for number in page.numbers("#account")} >= {
            f"account.by_word.{word}" for word in range(4)
        }
        likely = max(
            number.value
            for number in page.numbers("#panel-4")
            if number.name.startswith("probabilities[3,")
        )
        predicted = page.page.evaluate("nextword.store.state.read.positions[3].predicted")
        assert predicted["probability"] == pytest.approx(likely, rel=1e-5)
        assert predicted["token"].strip() in page.page.locator("#panel-4").inner_text()


def step_through(page: Opened) -> None:
    """Step and Back in panel 3, and the equation of a number that it shows."""
    keyboard = page.page.keyboard
    steps = page.page.locator("#panel-3 table.steps tbody")
    every = steps.count()
    assert every >= 4
    for expected in (1, 2, 3):
        page.tab_to_button("Step")
        keyboard.press("Enter")
        page.ready()
        assert steps.count() == expected
    page.tab_to_button("Back", key="Shift+Tab")
    keyboard.press("Enter")
    page.ready()
    assert steps.count() == 2
    page.tab_to("#panel-3 table.steps nw-number button")
    keyboard.press("Enter")
    page.ready()
    assert page.page.locator("#inspector").is_visible()
    keyboard.press("Escape")
    assert not page.page.locator("#inspector").is_visible()
    assert page.focused().startswith("button")  # where it was


def test_escape_closes_and_climbs(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=2, head=5)
        assert page.state("level") == "head"
        heading(page, 3)
        page.tab_to("#panel-3 nw-number button")
        page.page.keyboard.press("Enter")
        page.ready()
        assert page.page.locator("#inspector").is_visible()
        for level in ("head", "layer", "position", "sentence", "sentence"):
            page.page.keyboard.press("Escape")
            page.ready()
            assert page.state("level") == level
        assert (
            page.page.locator("#inspector").count() == 0
            or not page.page.locator("#inspector").is_visible()
        )


def test_the_matrix_is_a_grid_with_a_cursor(opened: Open, addresses: Callable[[str], str]) -> None:
    """Arrows move over cells that only exist one at a time, and each is said in words."""
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=0, head=0)
        page.tab_to("[role=grid]", most=200)
        before = page.page.evaluate(
            "document.activeElement.querySelector('[role=gridcell]').getAttribute('aria-label')"
        )
        page.page.keyboard.press("ArrowLeft")
        page.page.keyboard.press("ArrowUp")
        page.ready()
        after = page.page.evaluate(
            "document.activeElement.querySelector('[role=gridcell]').getAttribute('aria-label')"
        )
        assert before and after and before != after


def test_the_selection_is_spoken_once_it_settles(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=0, head=0)
        page.tab_to("#strip, #strip *")
        live = page.page.locator("#live")
        assert live.get_attribute("aria-live") == "polite"
        page.page.keyboard.press("End")
        page.page.keyboard.press("Enter")
        page.until("document.querySelector('#live').textContent.includes('bridge')")


def test_back_and_forward_visit_selections(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=2, head=5)
        page.select(position=5)
        page.select(layer=7)
        page.page.go_back()
        page.ready()
        assert page.state("position", "layer") == [5, 2]
        page.page.go_back()
        page.ready()
        assert page.state("position", "layer") == [3, 2]
        page.page.go_forward()
        page.ready()
        assert page.state("position", "layer") == [5, 2]
