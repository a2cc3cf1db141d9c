"""The file that `look --html` writes: the same view, read-only, without a server or a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.page import models
from tests.page.conftest import Open
from tests.page.pages import Opened
from tests.page.test_access import violations
from tests.page.test_truth import FAMILIES, IDS, check_all
from tests.page.truth import Truth

from nextword.serve.html_export import write_html


@pytest.fixture
def page(opened: Open, tmp_path: Path) -> Iterator[Opened]:
    """The article's dialogue, written and opened as a file."""
    path = tmp_path / "shared.html"
    size = write_html(models.seed2(), IDS, path, position=3, layer=0, head=0)
    assert size == path.stat().st_size
    with opened(path.as_uri()) as page:
        page.page.goto(path.as_uri())
        page.ready()
        yield page


def test_every_number_of_a_shared_file(page: Opened) -> None:
    assert page.state("position", "recorded", "ids") == [3, True, IDS]
    for position in (3, 0, 5):
        page.select(position=position)
        assert check_all(page, Truth(IDS)) >= FAMILIES - {"next.exp"}


def test_it_is_read_only(page: Opened) -> None:
    assert page.page.locator("#tab-reply").count() == 0
    text = page.page.locator("#text")
    assert text.count() == 0 or not text.is_editable()
    assert not page.page.locator("#read").is_visible()


def test_an_equation_is_in_it(page: Opened) -> None:
    page.page.locator("#panel-3 nw-number button:visible").first.click()
    page.ready()
    assert page.page.locator("#inspector").is_visible()
    assert "holds only what was recorded" not in page.page.locator("#inspector").inner_text()


def test_what_was_not_recorded_is_said_quietly(page: Opened) -> None:
    page.select(token=0, against=1)
    assert "only what was recorded" in page.page.locator("body").inner_text()
    assert page.page.locator("#error").count() == 0 or not page.page.locator("#error").is_visible()


def test_it_is_accessible(page: Opened) -> None:
    assert violations(page) == []


def test_a_large_model_is_recorded_in_part(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "deep.html"
    lm = models.deep(context=128)
    ids = lm.ids(models.long_text(100))
    assert write_html(lm, ids, path, position=40, layer=3, head=2) < 20_000_000
    with opened(path.as_uri()) as page:
        page.page.goto(path.as_uri())
        page.ready()
        assert page.state("position", "layer", "head") == [40, 3, 2]
        printed = {number.name.split("[")[0] for number in page.numbers()}
        assert "blocks.3.attention.attention_weights" in printed
