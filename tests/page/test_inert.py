"""The text of a token is text: it is shown as it stands, and nothing in it runs."""

from collections.abc import Callable

from tests.page import models
from tests.page.conftest import Open
from tests.page.pages import Opened

RAN = "() => window.nastyRan !== undefined || document.querySelector('nw-page img') !== null"


def test_a_token_that_looks_like_html(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("nasty")) as page:
        page.go()
        page.page.evaluate("ids => nextword.store.readIds(ids)", [0, 1, 3, 2, 3])
        page.ready()
        for position in range(5):
            page.select(position=position, layer=0, head=0)
            assert not page.page.evaluate(RAN)
        assert page.page.locator("#strip").inner_text().count(models.NASTY) >= 2
        assert models.NASTY in page.page.locator("#panel-4").inner_text()
        open_the_inspector(page)
        page.page.locator("#tab-reply").click()
        page.page.locator("#reply-run").click()
        page.page.locator("#reply-reason").wait_for()
        assert not page.page.evaluate(RAN)


def test_a_text_that_looks_like_html(opened: Open, addresses: Callable[[str], str]) -> None:
    """From the address, from the text box, and in a message about it."""
    with opened(addresses("seed2")) as page:
        page.go(["what " + models.NASTY], position=1)
        assert not page.page.evaluate(RAN)
        page.page.locator("#text").fill(models.NASTY * 20)
        page.page.locator("#read").click()
        page.page.locator("#error").wait_for()  # longer than the context
        assert not page.page.evaluate(RAN)
        page.complaints.clear()  # the browser notes the answer 422


def test_a_lesson_that_looks_like_html(opened: Open, addresses: Callable[[str], str]) -> None:
    """In the form, in what was learned, and in what else changed."""
    with opened(addresses("nasty")) as page:
        page.go()
        carried = {"ids": [0, 3, 1], "right": 3, "said": models.NASTY, "was": models.NASTY}
        words = ["what", models.NASTY, "is"]
        page.page.evaluate("it => nextword.store.correct(it)", carried | {"words": words})
        page.ready()
        assert page.page.locator("#teach-right").input_value() == models.NASTY
        assert not page.page.evaluate(RAN)
        page.page.locator("#teach-start").click()
        page.page.locator("#teach-measures").wait_for()
        page.ready()
        assert models.NASTY in page.page.locator("#teach-sides").inner_text()
        assert not page.page.evaluate(RAN)
        undo = page.page.locator("#teach-undo[aria-disabled=false]")
        if undo.count():
            undo.click()  # the model is other tests', too
            page.ready()


def open_the_inspector(page: Opened) -> None:
    """Show how a number was computed: its labels have words."""
    page.page.locator("#panel-3 nw-number button:visible").first.click()
    page.ready()
    assert page.page.locator("#inspector").is_visible()
    assert not page.page.evaluate(RAN)
    page.page.keyboard.press("Escape")
