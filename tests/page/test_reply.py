"""The reply, word by word: what could have come, branches, why it stopped, each step read."""

import math
from collections.abc import Callable

import pytest
from tests.page import models
from tests.page.conftest import Open
from tests.page.pages import Opened
from tests.page.truth import Truth

PROMPT = models.seed2().ids(models.DIALOGUE[0])
END = models.seed2().tokenizer.end_id
NAMES = [models.seed2().tokenizer.token(id).strip() for id in range(7)]


def greedy(ids: list[int], steps: int) -> list[int]:
    """The words that numpy would add."""
    for _ in range(steps):
        ids = [*ids, Truth(ids).ranked(len(ids) - 1)[0]]
    return ids


def replying(page: Opened) -> None:
    """Read the prompt and turn to its reply."""
    page.go(models.DIALOGUE[:1], mode="dialogue")
    page.page.locator("#tab-reply").click()
    page.ready()


def next_word(page: Opened) -> None:
    """Press *Next word* and wait until it stands there."""
    count = page.page.locator("#reply-steps [data-step]").count()
    page.page.locator("#reply-next").click()
    page.page.locator("#reply-steps [data-step]").nth(count).wait_for()
    page.ready()


def test_next_word_is_numpys(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("seed2")) as page:
        replying(page)
        for _ in range(2):
            next_word(page)
        expected = greedy(PROMPT, 2)
        steps = page.page.locator("#reply-steps [data-step]")
        assert steps.count() == 2
        for place, token in enumerate(expected[len(PROMPT) :]):
            assert NAMES[token] in steps.nth(place).inner_text()
        printed = {n.name: n.value for n in page.numbers("#panel-1")}
        for place in range(2):
            so_far = expected[: len(PROMPT) + place]
            likely = Truth(so_far).probabilities[-1, expected[len(PROMPT) + place]]
            assert printed[f"reply.probability[{place}]"] == pytest.approx(likely, rel=1e-5)


def test_every_candidate_has_both_probabilities(
    opened: Open, addresses: Callable[[str], str]
) -> None:
    """With top-k 2 all others are greyed and said to be excluded."""
    with opened(addresses("seed2")) as page:
        replying(page)
        page.page.locator("#panel-1 details summary").first.click()
        page.page.get_by_label("top-k", exact=False).fill("2")
        page.page.keyboard.press("Tab")
        next_word(page)
        candidates = page.page.locator("[data-candidate]")
        assert candidates.count() == 7
        excluded = page.page.locator("[data-candidate]", has_text="excluded")
        assert excluded.count() == 5
        probabilities = Truth(PROMPT).probabilities[-1]
        best = Truth(PROMPT).ranked(len(PROMPT) - 1)
        text = page.page.locator("#panel-1").inner_text()
        share = probabilities[best[0]] / (probabilities[best[0]] + probabilities[best[1]])
        assert f"{100 * probabilities[best[0]]:.1f} %" in text
        assert f"{100 * share:.1f} %" in text or math.isclose(share, 1)


def test_run_to_the_end_and_why_it_stopped(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("seed2")) as page:
        replying(page)
        page.page.locator("#reply-run").click()
        page.page.locator("#reply-reason").wait_for()
        page.ready()
        ids = list(PROMPT)
        while len(ids) < 32:
            ids = greedy(ids, 1)
            if ids[-1] == END:
                break
        assert page.page.locator("#reply-steps [data-step]").count() == len(ids) - len(PROMPT)
        reason = page.page.locator("#reply-reason").inner_text()
        assert ("predicted the end token" if ids[-1] == END else "context is full") in reason


def test_an_alternative_makes_a_branch(opened: Open, addresses: Callable[[str], str]) -> None:
    """Rewind to the first step, take its second word, and go on; both ways stay in the tree."""
    with opened(addresses("seed2")) as page:
        replying(page)
        next_word(page)
        next_word(page)
        page.page.locator("#reply-steps [data-step]").first.locator("button").first.click()
        page.ready()
        second = Truth(PROMPT).ranked(len(PROMPT) - 1)[1]
        candidate = page.page.locator(f"[data-candidate='{second}']").first
        clickable = candidate.locator("button")
        (clickable.first if clickable.count() else candidate).click()
        page.ready()
        items = page.page.locator("#branches [role=treeitem]")
        assert items.count() >= 2
        text = page.page.locator("#reply-steps").inner_text()
        assert NAMES[second] in text
        items.first.click()
        page.ready()
        first = Truth(PROMPT).ranked(len(PROMPT) - 1)[0]
        assert NAMES[first] in page.page.locator("#panel-1").inner_text()


def test_stop_ends_a_long_reply(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("long")) as page:
        page.go(["the old river"])
        page.page.locator("#tab-reply").click()
        page.page.locator("#reply-run").click()
        page.page.locator("#reply-steps [data-step]").nth(3).wait_for()
        page.page.locator("#reply-stop").click()
        page.page.locator("#reply-reason").wait_for()
        assert "You stopped it" in page.page.locator("#reply-reason").inner_text()
        count = page.page.locator("#reply-steps [data-step]").count()
        page.ready()
        assert page.page.locator("#reply-steps [data-step]").count() == count


def test_a_step_opens_in_read(opened: Open, addresses: Callable[[str], str]) -> None:
    with opened(addresses("seed2")) as page:
        replying(page)
        next_word(page)
        page.page.get_by_role("button", name="Open in Read").first.click()
        page.ready()
        assert page.state("tab") == "read"
        ids = page.state("ids")
        assert ids in (PROMPT, greedy(PROMPT, 1))
        assert page.page.locator("#strip [data-position]").count() == len(ids)
        page.page.reload()  # the address names them
        page.ready()
        assert page.state("ids", "tab") == [ids, "read"]
