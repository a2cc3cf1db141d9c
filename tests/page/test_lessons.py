"""Lessons on the page: kept, listed, undone, from any place in it, by keyboard, in two windows."""

import pytest
from tests.page import models
from tests.page.conftest import Open, Student
from tests.page.lessons import ASKED, AT, WANTED, carry, press, read, shown, status, teach

from nextword.language_model import LanguageModel
from nextword.teach.config import RATES, TeachingConfig
from nextword.teach.journal.undo import list_lessons, undo


def test_keep_list_and_undo_from_the_list(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        version = student.lm.version
        read(page)
        carry(page)
        after = teach(page)[-1]["version"]
        press(page, "teach-keep")
        assert status(page) == "Kept as lesson 1."
        (kept,) = list_lessons(student.folder).active
        assert kept.number == 1
        assert LanguageModel.load(student.folder).version == after
        row = page.page.locator("#teach-lessons [data-lesson='1']")
        assert "in" in row.inner_text()
        press(page, "undo-1")
        assert LanguageModel.load(student.folder).version == version == student.lm.version
        assert page.page.locator("#undo-1").count() == 0
        assert "undone" in row.inner_text()


def test_a_change_from_outside_is_noticed_and_loaded(opened: Open, student: Student) -> None:
    """A terminal undoes what the page had kept: the page says so, and loads the folder again."""
    with opened(student.address) as page:
        version = student.lm.version
        read(page)
        carry(page)
        teach(page)
        press(page, "teach-keep")
        undo(student.folder, None)
        page.page.locator("#teach-start").click()
        page.page.locator("#teach-error").wait_for()
        page.ready()
        assert "changed by another program" in page.page.locator("#teach-error").inner_text()
        assert student.lm.version != version
        page.complaints.clear()  # the browser notes the answer 409
        press(page, "reload")
        assert student.lm.version == version
        assert page.page.locator("#reload").count() == 0
        assert not page.page.evaluate(f"nextword.store.state.read.positions[{AT}].right")


def test_a_wrong_word_of_a_reply(opened: Open, student: Student) -> None:
    """From a step of a reply: another word there, typed."""
    with opened(student.address) as page:
        page.go([ASKED], mode="dialogue")
        press(page, "tab-reply")
        press(page, "reply-next")
        page.page.locator("#reply-steps [data-step] button").first.click()
        page.ready()
        page.page.locator("#reply-should-be").fill("in")
        page.page.keyboard.press("Enter")
        page.ready()
        assert page.state("tab") == "teach"
        assert page.page.locator("#teach-right").input_value() == "in"
        lesson = teach(page)[-1]["lesson"]
        assert lesson["learned"]
        (position,) = lesson["sentences"][0]["positions"]
        assert position["token"].strip() == "in" and position["position"] == AT


def test_other_sentences_are_counted_before_and_after(opened: Open, student: Student) -> None:
    """One's own sentence, whose verdicts must change as the words do."""
    with opened(student.address) as page:
        read(page)
        carry(page)
        page.page.locator("#teach-other").fill("where is the cat")
        press(page, "teach-other-add")
        before = student.lm.verdicts(["where is the cat"]).n_right
        teach(page)
        after = student.lm.verdicts(["where is the cat"]).n_right
        numbers = shown(page, "#teach-others")
        assert numbers == {"others.before[0]": before, "others.after[0]": after}
        changed = page.page.locator("#teach-others li .badge").count()
        assert changed >= abs(after - before)


def test_the_address_names_what_is_taught(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        read(page)
        carry(page)
        page.page.reload()
        page.ready()
        assert page.state("tab") == "teach"
        assert page.page.locator("#teach-right").input_value() == "in"


def test_by_keyboard_alone(opened: Open, student: Student) -> None:
    """From the wrong word to the kept lesson without a pointer."""
    with opened(student.address) as page:
        read(page)
        keyboard = page.page.keyboard
        page.tab_to("#should-be", most=200)
        keyboard.press("Enter")
        page.ready()
        assert page.state("tab") == "teach"
        page.tab_to("#teach-start", most=200)
        keyboard.press("Enter")
        page.until("document.querySelector('#teach-keep').ariaDisabled === 'false'")
        page.ready()
        page.tab_to("#teach-keep")
        keyboard.press("Enter")
        page.ready()
        assert status(page) == "Kept as lesson 1."
        page.tab_to("#undo-1", most=200)
        keyboard.press("Space")
        page.ready()
        assert not list_lessons(student.folder).active
        page.tab_to("#tab-teach", key="Shift+Tab", most=200)
        keyboard.press("ArrowRight")
        page.ready()
        assert page.state("tab") == "reply"
        keyboard.press("ArrowRight")
        page.ready()
        assert page.state("tab") == "read"


def test_an_open_lesson_must_be_ended_first(opened: Open, student: Student) -> None:
    """A second window is told of the lesson that the first one left open, and may end it."""
    with opened(student.address) as page, opened(student.address) as second:
        read(page)
        carry(page)
        second.go(tab="teach")
        version = student.lm.version
        teach(page)
        second.page.locator("#teach-reply").fill(WANTED)
        second.page.locator("#teach-prompt").fill(ASKED)
        second.page.locator("#teach-start").click()
        error = second.page.locator("#teach-error")
        error.wait_for()
        assert "not yet kept or undone" in error.inner_text()
        second.complaints.clear()  # the browser notes the answer 409
        error.get_by_role("button", name="Undo it").click()
        second.ready()
        assert student.lm.version == version


@pytest.mark.parametrize("field", ["margin", "kl", "rate", "steps"])
def test_a_wrong_setting_is_refused_where_it_is_typed(
    opened: Open, student: Student, field: str
) -> None:
    with opened(student.address) as page:
        page.go(tab="teach")
        page.page.locator("#teach-settings summary").click()
        page.page.locator(f"#teach-{field}").fill("-1")
        page.page.keyboard.press("Tab")
        page.ready()
        assert page.page.locator(f"#teach-{field}").get_attribute("aria-invalid") == "true"
        assert "must be" in page.page.locator(f"#teach-{field}-hint").inner_text()


def test_the_settings_are_the_servers(opened: Open, student: Student) -> None:
    """What stands in an empty field is what a lesson then takes; the optimizer is the scope's."""
    usual = TeachingConfig()
    with opened(student.address) as page:
        page.go(tab="teach")
        page.page.locator("#teach-settings summary").click()
        for field, value in {
            "rate": RATES["all"],
            "margin": usual.margin,
            "steps": usual.steps,
            "seconds": int(usual.seconds),
            "kl": usual.largest_kl,
        }.items():
            shown = page.page.locator(f"#teach-{field}").get_attribute("placeholder")
            assert shown == str(value), field
        said = page.page.locator("#teach-optimizer")
        assert said.inner_text().startswith("Optimizer: gradient descent with momentum; where")
        page.page.locator("#teach-scope").select_option("adapter")
        page.page.locator("#teach-optimizer", has_text="Optimizer: AdamW. ").wait_for()
        assert page.page.locator("#teach-rate").get_attribute("placeholder") == str(
            RATES["adapter"]
        )


def test_turns_of_other_sentences_stand_apart(opened: Open, student: Student) -> None:
    """Before they are read and after it."""
    with opened(student.address) as page:
        read(page)
        carry(page)
        words = page.page.locator("#teach-others .words")
        assert words.count() >= 1
        for text in words.all_inner_texts():
            turns = [turn.strip() for turn in text.split("·\n(end of the turn)")]
            assert models.TAUGHT[turns[0]] == turns[1]
        teach(page)
        assert words.count() >= 1
        for text in words.all_inner_texts():
            assert text.count("(end of the turn)") + text.count("newly") >= 1
