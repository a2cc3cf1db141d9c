"""What takes long says so, what fails leaves nothing of before, and the newest question wins."""

from collections.abc import Callable

import pytest
from tests.page import models
from tests.page.conftest import Open, Student
from tests.page.pages import Opened

WORKING = "document.querySelector('#waiting').textContent.trim()"
FIRST, SECOND = "the old river", "a small dog sees the bridge"
ROUTES = {  # what each part of the page asks, and the part
    "ends": "#panel-2",
    "row": "#panel-3",
    "narrate": "#panel-2",
    "past": "#panel-3",
    "map": "nw-head-map",
    "account": "nw-account",
    "next": "nw-next-word",
    "lens": "nw-lens",
    "overview": "#panel-5",
}


def read(page: Opened, text: str) -> None:
    """Ask for a sentence, and wait for nothing."""
    page.page.locator("#text").fill(text)
    page.page.locator("#read").click()


def words(page: Opened) -> list[str]:
    """The sentence that is shown."""
    texts = page.page.locator("#strip .chip > .word").all_inner_texts()
    return [text.strip().lstrip("␣") for text in texts]


def test_a_sentence_that_takes_long(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("deep")) as page:
        page.go([FIRST])
        assert page.page.evaluate(WORKING) == ""
        requests = page.held("api/read")
        read(page, SECOND)
        page.until(f"{WORKING} === 'Reading the sentence …'")
        status = page.page.locator("#waiting")
        assert status.get_attribute("role") == "status" and status.is_visible()
        assert page.page.locator("form.text").get_attribute("aria-busy") == "true"
        shown = page.page.locator("#page")  # still of the sentence before, and marked as that
        assert words(page) == FIRST.split() and shown.get_attribute("aria-busy") == "true"
        assert shown.locator("nw-sentence").evaluate("e => getComputedStyle(e).opacity") == "0.5"
        requests.let_go()
        page.ready()
        assert words(page) == SECOND.split() and shown.get_attribute("aria-busy") is None
        page.until(f"{WORKING} === ''")
        assert page.page.locator("form.text").get_attribute("aria-busy") is None


@pytest.mark.parametrize(("route", "part"), ROUTES.items())
def test_a_part_that_takes_long(
    opened: Open, addresses: Callable[[str], str], route: str, part: str
) -> None:
    """It says so, is busy, and shows nothing of the sentence before."""
    with opened(addresses("deep")) as page:
        page.go([FIRST], position=1, layer=1, head=2)
        place = page.page.locator(part)
        whole = len(page.numbers(part)) or 1
        requests = page.held(f"api/see/{route}")
        read(page, SECOND)
        place.locator(".waiting").first.wait_for()
        page.until(f"{WORKING} === 'Working …'")
        assert place.locator("xpath=ancestor-or-self::*[@aria-busy='true']").count() > 0
        own = ":not(nw-account *, nw-next-word *, nw-lens *, nw-head-map *)"
        assert place.locator(f"nw-number{own if '#' in part else ''}").count() == 0
        requests.let_go()
        page.ready()
        assert page.page.locator(".waiting, [aria-busy]").count() == 0
        assert len(page.numbers(part)) >= whole > 0


@pytest.mark.parametrize(("route", "part"), ROUTES.items())
def test_a_part_that_fails_shows_nothing_of_before_and_can_be_tried_again(
    opened: Open, addresses: Callable[[str], str], route: str, part: str
) -> None:
    with opened(addresses("deep")) as page:
        page.go([FIRST], position=1, layer=1, head=2)
        page.refused(f"api/see/{route}")
        read(page, SECOND)
        page.page.locator("#strip [data-position='5']").wait_for()
        page.ready()
        place = page.page.locator(part)
        assert "the server had a fault" in place.inner_text()
        own = ":not(nw-account *, nw-next-word *, nw-lens *, nw-head-map *)"
        assert place.locator(f"nw-number{own if '#' in part else ''}").count() == 0
        page.page.unroute_all()
        place.get_by_role("button", name="Try again").first.click()
        page.ready()
        assert "the server had a fault" not in place.inner_text()
        assert page.numbers(part)
        page.complaints.clear()  # the browser notes the answers 500


def test_a_sentence_that_cannot_be_read(opened: Open, addresses: Callable[[str], str]) -> None:
    """Nothing stays of the one before, on no tab; the next one is read as ever."""
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE[:1], tab="reply")
        page.page.locator("#reply-next").click()
        page.ready()
        page.page.locator("#tab-read").click()
        page.page.locator("#panel-3 nw-number button:visible").first.click()
        page.ready()
        assert page.page.locator("#inspector").count() == 1
        read(page, "what is " * 40)
        page.page.locator("#error").wait_for()
        page.ready()
        assert page.state("read", "ids", "position") == [None, None, None]
        assert page.page.locator(".panel, #inspector, .invitation").count() == 0
        page.page.locator("#tab-reply").click()
        page.ready()
        assert page.page.locator(".panel").count() == 0
        page.page.locator("#tab-read").click()
        read(page, "what is nextword")
        page.page.locator("#strip").wait_for()
        assert page.page.locator("#error").count() == 0
        page.page.locator("#text").fill("   ")
        page.page.locator("#read").click()
        page.page.locator("#error").wait_for()
        assert page.page.locator("#strip").count() == 0
        page.complaints.clear()  # the browser notes the answer 422


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_newest_sentence_wins(
    opened: Open, addresses: Callable[[str], str], newest_first: bool
) -> None:
    with opened(addresses("deep")) as page:
        page.go()
        requests = page.held("api/read")
        for text in (FIRST, SECOND):
            read(page, text)
        page.until("nextword.store.state.busy === 1")
        if newest_first:
            requests.send(1)
        requests.let_go()
        page.ready()
        assert words(page) == SECOND.split()
        assert "bridge" in page.page.url


def test_a_sentence_that_is_typed_while_the_address_is_still_read(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("deep")) as page:
        requests = page.held("api/read")
        page.page.goto(f"{page.address}#read?text=the+old+river&position=1")
        page.until("nextword.store.state.reading && nextword.store.state.card !== null")
        page.until(f"{WORKING} === 'Reading the sentence …'")
        read(page, SECOND)
        page.until("nextword.store.state.busy === 1")
        requests.send(1)
        page.page.locator("#strip").wait_for()
        requests.let_go()
        page.ready()
        assert words(page) == SECOND.split()


def test_an_error_that_comes_late_is_of_the_past(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("seed2")) as page:
        page.go()
        requests = page.held("api/read")
        read(page, "what is " * 40)
        page.until("nextword.store.state.reading")
        read(page, "what is nextword")
        requests.let_go()
        page.ready()
        assert words(page)[:3] == ["what", "is", "nextword"]
        assert page.page.locator("#error").count() == 0
        page.complaints.clear()


def test_a_model_that_takes_long(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("seed2")) as page:
        requests = page.held("api/model")
        page.page.goto(page.address)
        page.until(f"{WORKING} === 'Opening the model …'")
        requests.let_go()
        page.ready()
        page.until(f"{WORKING} === ''")


def test_a_next_word_that_takes_long(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE[:1], tab="reply")
        requests = page.held("api/reply")
        page.page.locator("#reply-next").click()
        page.until("document.querySelector('#reply-reason').textContent.includes('working out')")
        assert page.page.locator("#reply-reason").get_attribute("role") == "status"
        requests.let_go()
        page.ready()
        assert page.page.locator("#reply-reason").inner_text() == ""


def test_a_number_whose_equation_takes_long(opened: Open, addresses: Callable[[str], str]) -> None:
    """What stood there of the number before is gone at once."""
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=3, layer=0, head=0)
        buttons = page.page.locator("#panel-3 nw-number button:visible")
        buttons.first.click()
        page.ready()
        assert page.page.locator("#inspector table").count() == 1
        requests = page.held("api/see/equation")
        buttons.nth(1).click()
        page.page.locator("#inspector .waiting").wait_for()
        assert page.page.locator("#inspector table").count() == 0
        assert page.page.locator("#inspector").get_attribute("aria-busy") == "true"
        requests.let_go()
        page.ready()
        assert page.page.locator("#inspector table").count() == 1


def test_the_lessons_take_long(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        requests = page.held("api/lessons")
        page.page.goto(f"{student.address}#teach")
        page.until(f"{WORKING} === 'Working …'")
        requests.let_go()
        page.ready()


def test_an_address_of_teach_whose_sentence_cannot_be_read(opened: Open, student: Student) -> None:
    """The Teach tab has no box for a text; what went wrong is said there nevertheless."""
    with opened(student.address) as page:
        page.go(["where is " * 40], tab="teach", position=1, word="cat")
        assert "32" in page.page.locator("#error").inner_text()
        page.complaints.clear()
