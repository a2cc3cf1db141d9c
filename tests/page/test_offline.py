"""The page asks nothing of any machine but its own."""

from collections.abc import Callable

import pytest
from tests.page import models
from tests.page.conftest import Open


@pytest.mark.parametrize("name", ["seed2", "deep"])
def test_no_request_leaves_the_machine(
    opened: Open, addresses: Callable[[str], str], name: str
) -> None:
    """Read, look at every panel, change the theme, reply: each request is the server's own."""
    with opened(addresses(name)) as page:
        asked: list[str] = []
        page.page.on("request", lambda request: asked.append(request.url))
        page.go([models.SENTENCE if name == "deep" else models.DIALOGUE[0]], position=1)
        for panel in range(1, 6):
            if page.page.locator(f"#panel-{panel}").count():
                page.page.locator(f"#panel-{panel}").scroll_into_view_if_needed()
                page.ready()
        page.page.locator("#theme").click()
        page.page.locator("#tab-reply").click()
        page.page.locator("#reply-next").click()
        page.page.locator("#reply-steps [data-step]").first.wait_for()
        page.ready()
        assert len(asked) > 20
        assert [url for url in asked if not url.startswith(page.address)] == []


def test_its_own_policy_would_stop_one(opened: Open, addresses: Callable[[str], str]) -> None:
    """A request elsewhere fails in the browser before it is made."""
    with opened(addresses("seed2")) as page:
        page.go()
        failed = page.page.evaluate(
            "() => fetch('http://127.0.0.2:9/').then(() => 'answered', e => e.name)"
        )
        assert failed == "TypeError"
        assert page.strangers == []  # it did not even come as far as the network
        (complaint, *_) = page.complaints
        assert "Content Security Policy" in complaint
        page.complaints.clear()
