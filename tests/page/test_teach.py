"""Teach: a wrong word is taught in the browser, watched and undone, and nothing is mixed up."""

import torch
from tests.page.conftest import Open, Student
from tests.page.lessons import (
    ASKED,
    AT,
    WANTED,
    begin,
    carry,
    float32,
    never,
    press,
    read,
    shown,
    status,
    teach,
    told,
)

from nextword.language_model import LanguageModel

LOGITS_SHOWN = """async ([ids, position]) => {
  const answers = [];
  const account = {token: ids[position + 1], against: null};
  for (const [route, rest] of [['next', {}], ['account', account]]) {
    const answer = await fetch('/api/see/' + route, {method: 'POST',
      headers: {'content-type': 'application/json'},
      body: JSON.stringify({ids, position, ...rest})});
    answers.push(answer.status, answer.headers.get('nextword-version'), await answer.text());
  }
  return answers;
}"""


def test_a_wrong_word_is_taught_and_undone_bit_for_bit(opened: Open, student: Student) -> None:
    """Wrong, taught, right; then undo gives the very logits of before."""
    with opened(student.address) as page:
        read(page)
        ids = page.state("ids")
        before = page.page.evaluate(LOGITS_SHOWN, [ids, AT])
        assert before[0::3] == [200, 200]
        logits = logits_of(student.lm, ids)
        assert page.page.locator("#should-be").inner_text() == "This should have been “␣in”"
        carry(page)
        events = teach(page)
        assert events[-1]["event"] == "done" and events[-1]["lesson"]["learned"]
        assert page.page.evaluate(LOGITS_SHOWN, [ids, AT])[1] == events[-1]["version"] != before[1]

        press(page, "tab-read")
        press(page, "read")
        here = page.page.evaluate(f"nextword.store.state.read.positions[{AT}]")
        assert here["right"] and here["predicted"]["token"].strip() == "in"
        assert here["predicted"]["probability"] >= 0.5

        press(page, "tab-teach")
        press(page, "teach-undo")
        assert status(page) == f"Undone: the weights are those of version {before[1]} again."
        assert page.page.evaluate(LOGITS_SHOWN, [ids, AT]) == before
        assert torch.equal(logits_of(student.lm, ids), logits)
        assert not list((student.folder / "training").glob("lessons*"))


@torch.no_grad()
def logits_of(lm: LanguageModel, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = lm.decoder(torch.tensor([ids]))
    return logits.clone()


def test_what_was_read_before_is_badged(opened: Open, student: Student) -> None:
    """Old and new are never mixed: what stands there is of before, until it is read anew."""
    with opened(student.address) as page:
        read(page)
        carry(page)
        teach(page)
        press(page, "tab-read")
        badge = page.page.locator("main .notice .badge")
        assert badge.inner_text() == "before the lesson"
        assert not page.page.evaluate(f"nextword.store.state.read.positions[{AT}].right")
        press(page, "read")
        assert badge.count() == 0


def test_every_number_is_the_lessons(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        read(page)
        carry(page)
        events = teach(page)
        lesson = events[-1]["lesson"]
        numbers = shown(page)
        expected = {
            "lesson.reliability": 1.0,
            "lesson.known.share": lesson["known"]["share"],
            "lesson.held_out.share": lesson["held_out"]["share"],
            "lesson.loss_before": lesson["loss_before"],
            "lesson.loss_after": lesson["loss_after"],
        }
        (position,) = lesson["sentences"][0]["positions"]
        for side in ("before", "after"):
            expected[f"lesson.{side}[0].probability"] = position[side]["probability"]
        for change in lesson["changes"]:
            expected[f"lesson.change.{change['name']}.norm"] = change["norm"]
        assert len(expected) >= 10
        assert {name: numbers[name] for name in expected} == {
            name: float32(value) for name, value in expected.items()
        }
        assert (
            numbers["lesson.before[0].probability"] < 0.5 <= numbers["lesson.after[0].probability"]
        )
        account = lesson["account"]
        assert (account["token"], account["against"]) == (
            position["token"],
            position["before"]["predicted"],
        )
        assert numbers["lesson.account.before.total"] == float32(account["before_logit"])
        assert numbers["lesson.account.after.total"] == float32(account["after_logit"])
        for number in page.numbers("#teach-panel"):
            assert number.text == number.expected_text


def test_the_steps_are_those_that_were_told(opened: Open, student: Student) -> None:
    """The table beside the chart has a row for each event, and its numbers."""
    with opened(student.address) as page:
        read(page)
        carry(page)
        events = teach(page)
        steps = [event for event in events if event["event"] == "step"]
        assert [event["event"] for event in events] == ["started", *["step"] * len(steps), "done"]
        assert len(steps) >= 2
        page.page.locator("#teach-table summary").click()
        page.ready()
        rows = page.page.locator("#teach-table tbody tr")
        assert rows.count() == len(steps)
        for place, step in enumerate(steps):
            assert rows.nth(place).locator("th").inner_text() == f"step {step['step']}"
        cells = "[...document.querySelectorAll('#teach-table nw-number')].map(e => e.dataset.value)"
        table = [float(value) for value in page.page.evaluate(cells)]
        names = ("loss", "least", "rehearsal_kl")
        assert table == [float32(step[name]) for step in steps for name in names]
        assert shown(page, "#teach-numbers")["teach.least"] == float32(steps[-1]["least"])


def test_a_reply_and_other_ways_to_ask_it(opened: Open, student: Student) -> None:
    """A prompt, its reply and a phrasing, which is judged and not trained on."""
    with opened(student.address) as page:
        said = student.lm.reply(ASKED).text
        page.go(tab="teach")
        page.page.locator("#teach-prompt").fill(ASKED)
        page.page.locator("#teach-reply").fill(WANTED)
        page.page.locator("#teach-phrasings").fill("the cat is where")
        lesson = teach(page)[-1]["lesson"]
        taught, phrasing = lesson["sentences"]
        assert (taught["role"], phrasing["role"]) == ("taught", "phrasing")
        assert len(taught["positions"]) == len(phrasing["positions"]) == 4  # in the tree <end>
        assert [p["token"].strip() for p in taught["positions"][:3]] == WANTED.split()
        assert (taught["reply_before"], taught["reply_after"].strip()) == (said, WANTED)
        replies = page.page.locator("#teach-sides dd").all_inner_texts()
        assert [text.strip() for text in replies[:2]] == [said.strip(), WANTED]
        numbers = shown(page)
        right = sum(position["after"]["right"] for position in phrasing["positions"])
        assert numbers["lesson.generality"] == float32(right / 4)
        assert numbers["lesson.after[4].probability"] == float32(
            phrasing["positions"][0]["after"]["probability"]
        )


def test_stop_leaves_the_weights(opened: Open, student: Student) -> None:
    with opened(student.address) as page:
        read(page)
        carry(page)
        never(page)
        version = student.lm.version
        begin(page)
        page.page.locator("#teach-numbers").wait_for()
        page.page.locator("#tab-read").click()  # another tab stops nothing
        page.page.locator("#tab-teach").click()
        page.page.locator("#teach-stop").click()
        last = told(page)[-1]
        assert (last["event"], last["lesson"]["outcome"]) == ("not_learned", "stopped")
        assert status(page) == last["lesson"]["why"]
        assert student.lm.version == version == last["version"]
        assert page.page.locator("#teach-keep").get_attribute("aria-disabled") == "true"
