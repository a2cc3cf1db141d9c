"""A browser, and the page of each model in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.page import models
from tests.page.pages import Opened, watch
from tests.page.serving import served, served_from, unpacked_wheel
from tests.small_runs import quick

from nextword.language_model import LanguageModel

Theme = Literal["light", "dark"]
Open = Callable[..., AbstractContextManager[Opened]]
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--enable-precise-memory-info")
NO_BROWSER = "chromium is not installed; on Debian: apt-get install chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder that asks for a browser carries the marker `page`."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("page")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium; without it the tests are skipped, but on CI they fail."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def addresses() -> Iterator[Callable[[str], str]]:
    """The address of each model's page by its name; it is served when first asked for."""
    makers = models.MAKERS | {"long": lambda: models.deep(context=1024)}
    known: dict[str, str] = {}
    with ExitStack() as servers:

        def address(name: str) -> str:
            if name not in known:
                known[name] = servers.enter_context(served(makers[name]()))
            return known[name]

        yield address


@dataclass(frozen=True)
class Student:
    """A model that a test may teach, its folder, and the address of its page."""

    lm: LanguageModel
    folder: Path
    address: str


@pytest.fixture(scope="session")
def learned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model that is taught; trained once, never changed."""
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        return models.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def student(learned_folder: Path, tmp_path: Path) -> Iterator[Student]:
    """A copy of it, served."""
    folder = tmp_path / "student"
    shutil.copytree(learned_folder, folder)
    lm = LanguageModel.load(folder)
    with served(lm) as address:
        yield Student(lm, folder, address)


@pytest.fixture(scope="session")
def wheel_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of seed2, served by the command of an unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    models.seed2().save(folder / "model")
    with served_from(unpacked_wheel(folder), folder / "model") as address:
        yield address


@pytest.fixture(scope="session")
def opened(browser: Browser) -> Open:
    """Opens a browser window at an address; whatever leaves the machine or fails is an error."""

    @contextmanager
    def open_(
        address: str,
        *,
        width: int = 1280,
        height: int = 900,
        theme: Theme = "light",
        **options: Any,
    ) -> Iterator[Opened]:
        size: Any = {"width": width, "height": height}
        with browser.new_context(viewport=size, color_scheme=theme, **options) as context:
            window = Opened(page=context.new_page(), address=address)
            watch(context, window)
            yield window
            assert window.strangers == []
            assert window.complaints == []

    return open_
