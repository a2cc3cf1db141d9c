"""Where one is: places counted from 0 and said so, addresses that ask in vain, panels, cut text."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlparse

import pytest
from tests.page import models
from tests.page.conftest import Open, Student
from tests.page.lessons import ASKED
from tests.page.pages import Opened


def unmet(page: Opened) -> list[str]:
    """What the page says of its address."""
    return page.page.locator("#unmet p").all_inner_texts()


@pytest.mark.parametrize(
    ("place", "said"),
    [(0, "the first of 12"), (1, "the 2nd of 12"), (2, "the 3rd of 12"), (10, "the 11th of 12"),
     (11, "the last of 12")],
)  # fmt: skip
def test_a_layer_is_named_with_its_place(
    opened: Open, addresses: Callable[[str], str], place: int, said: str
) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=place, head=place)
        for name in ("layer", "head"):
            assert page.page.locator(f"#{name}-place").inner_text() == said
            assert page.page.locator(f"#{name}").input_value() == str(place)


def test_one_layer_is_the_only_one(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, position=3)
        assert page.page.locator("#layer-place").inner_text() == "the only one"
        assert "counted from 0" in page.page.locator("#panel-1 .legend").inner_text()


def test_places_that_an_address_names_and_there_are_not(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=99, layer=12, head=-1)
        assert page.state("position", "layer", "head") == [11, 11, 0]
        assert unmet(page) == [
            "The address asks for position 99, but this sentence has positions 0 to 11; "
            "position 11 is shown instead.",
            "The address asks for layer 12, but this model has layers 0 to 11; "
            "layer 11 is shown instead.",
            "The address asks for head -1, but a layer has heads 0 to 11; head 0 is shown instead.",
        ]
        fields = parse_qs(urlparse(page.page.url).fragment.partition("?")[2])
        assert (fields["position"], fields["layer"]) == (["11"], ["11"])
        page.select(position=2)
        assert unmet(page) == []


def test_an_address_that_is_typed_into_an_open_page(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("deep")) as page:
        page.go([models.SENTENCE], position=3, layer=0)
        page.page.evaluate("location.hash = location.hash.replace('layer=0', 'layer=44')")
        page.until("nextword.store.state.layer === 11")
        page.ready()
        assert [text.partition(",")[0] for text in unmet(page)] == ["The address asks for layer 44"]
        assert "layer=11" in page.page.url


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"mode": "poem"}, "mode “poem”"),
        ({"tab": "sing"}, "tab “sing”"),
        ({"token": 7}, "token 7; tokens are numbered from 0 to 6"),
        ({"position": "first"}, "position first"),
        ({"tab": "teach", "position": 99, "right": 2}, "names position 99 of a sentence that has "
         "positions 0 to 5, so no word was carried"),
    ],
)  # fmt: skip
def test_other_things_that_an_address_names_in_vain(
    opened: Open, addresses: Callable[[str], str], selection: dict[str, object], said: str
) -> None:
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, **selection)
        (text,) = unmet(page)
        assert said in text


def test_an_address_that_asks_for_what_there_is(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=5, layer=0, head=0, token=6, against=0)
        assert unmet(page) == []


def test_each_tab_numbers_its_panels_from_one(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        page.go([ASKED])
        for tab, count in (("read", 4), ("teach", 3), ("reply", 1)):
            page.page.locator(f"#tab-{tab}").click()
            page.ready()
            ordinals = page.page.locator(".panel .ordinal").all_inner_texts()
            assert ordinals == [str(number + 1) for number in range(count)], tab
            for number in ordinals:
                page.page.keyboard.press(f"Alt+{number}")
                assert page.focused() == f"#panel-{number}-heading"


def test_a_held_out_sentence_that_is_cut_ends_in_an_ellipsis(
    opened: Open, student: Student
) -> None:
    ids = [int(id) for id in student.lm.ids(ASKED)]
    text, whole = ASKED, f"{ASKED} and where is the dog"
    sentences = [
        {"turns": [text], "ids": ids, "text": text, "cut": True, "whole": whole},
        {"turns": [text], "ids": ids[:-1], "text": text, "cut": False, "whole": None},
    ]
    answer = {"version": student.lm.version, "sentences": sentences}
    with opened(student.address) as page:
        page.page.route("**/api/teach/others", lambda route: route.fulfill(json=answer))
        page.go([ASKED], tab="teach")
        cut, uncut = page.page.locator(".watched .words").all()
        assert cut.locator(".cut").inner_text() == "…"
        cut.locator("summary").click()
        assert whole in cut.inner_text()
        assert uncut.locator(".cut, details").count() == 0


def test_words_that_the_layout_may_cut_have_a_title(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    with opened(addresses("nasty")) as page:
        page.go()
        page.page.evaluate("ids => nextword.store.readIds(ids)", [3, 3, 1, 3])
        page.ready()
        cut = """[...document.querySelectorAll('#page *')].filter(e => e.textContent.trim()
          && e.scrollWidth > e.clientWidth && e.clientWidth > 1
          && getComputedStyle(e).textOverflow === 'ellipsis'
          && !e.title && !e.querySelector('[title]')).map(e => e.outerHTML)"""
        assert page.page.evaluate(cut) == []
