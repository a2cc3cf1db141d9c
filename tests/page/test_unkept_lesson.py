"""A lesson that is in force without being kept is named above every tab, and ended there."""

import pytest
from tests.page.conftest import Open, Student
from tests.page.lessons import ASKED, WANTED, carry, press, read, teach

BANNER = "#unkept-lesson"


def test_every_tab_names_it_to_whoever_opens_the_page(opened: Open, student: Student) -> None:
    before = student.lm.version
    with opened(student.address) as page:
        read(page)
        assert page.page.locator(BANNER).count() == 0
        page.go(tab="teach")
        page.page.locator("#teach-prompt").fill(ASKED)
        page.page.locator("#teach-reply").fill(WANTED)
        assert teach(page)[-1]["event"] == "done"
        for tab in ("read", "reply", "teach"):
            press(page, f"tab-{tab}")
            said = page.page.locator(BANNER).inner_text()
            assert "unkept lesson" in said and f"{ASKED} → {WANTED}" in said
    with opened(student.address) as another:
        read(another)
        assert another.page.locator(BANNER).count() == 1
        press(another, "unkept-undo")
        assert another.page.locator(BANNER).count() == 0
    assert student.lm.version == before
    assert not list((student.folder / "training").glob("lessons*"))


def test_it_is_kept_from_any_tab(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        read(page)
        carry(page)
        assert teach(page)[-1]["event"] == "done"
        press(page, "tab-read")
        press(page, "unkept-keep")
        assert page.page.locator(BANNER).count() == 0
    assert (student.folder / "training/lessons.jsonl").exists()


@pytest.mark.parametrize("choice", [True, False])
def test_the_words_of_the_prompt_are_taught_where_that_is_chosen(
    opened: Open, student: Student, choice: bool
) -> None:
    with opened(student.address) as page:
        page.go(tab="teach")
        page.page.locator("#teach-prompt").fill(ASKED)
        page.page.locator("#teach-reply").fill(WANTED)
        page.page.locator("#teach-also-prompt").set_checked(choice)
        (sentence,) = teach(page)[-1]["lesson"]["sentences"]
        n = len(sentence["ids"]) - 1
        first = 0 if choice else sentence["reply_from"] - 1
        assert [at["position"] for at in sentence["positions"]] == list(range(first, n))
