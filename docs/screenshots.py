"""Takes the pictures of docs/see.md and docs/teach.md: the page of three models, light and dark.

    python -m docs.screenshots --try out/try    write docs/pictures/*.png anew
    python -m docs.screenshots --only teach     only those whose name begins so
    python -m docs.screenshots --models out/see write the two others' folders, for nextword serve

It needs chromium and what the tests need; the model of `make try` must have been made. The other
two are the tests' own: the article's of width 2, and one of the size of GPT-2 with random weights.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from tests.page import models
from tests.page.pages import Opened
from tests.page.serving import served

from nextword.language_model import LanguageModel

PICTURES = Path(__file__).resolve().parent / "pictures"
WIDTH = 1000  # pixels of the window
THEMES = ("light", "dark")
LONG_SENTENCE = models.long_text(120)
LESSON = {  # the fields of the Teach tab
    "prompt": "what is a query?",
    "reply": "It is what a word asks for.",
    "phrasings": "tell me about the query",
}
TALLEST_LESSON = 2810  # down to the measures


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What to photograph of a model's page.

    Attributes:
        name: of the files, see-NAME-THEME.png.
        turns: what is read.
        position, layer, head: what is chosen.
        part: CSS selector of what is in the picture.
        tallest: how many pixels of it; what is below is cut off.
    """

    name: str
    turns: Sequence[str]
    position: int
    tallest: int
    layer: int = 0
    head: int = 0
    part: str = "body"


def pictures(folder: Path) -> list[tuple[Picture, LanguageModel]]:
    """The three models, and what to show of each."""
    learned = LanguageModel.load(folder)
    asked = "what is a query?"
    seed = Picture(name="seed", turns=models.DIALOGUE, position=3, tallest=4600)
    turns = [asked, learned.reply(asked).text]
    trained = Picture(name="try", turns=turns, position=3, tallest=2200)
    deep = Picture(
        name="deep", turns=[LONG_SENTENCE], position=90, layer=6, head=7, part="#panel-5",
        tallest=2600,
    )  # fmt: skip
    large = models.deep(width=768, context=1024)
    return [(seed, models.seed2()), (trained, learned), (deep, large)]


def take(browser: Browser, picture: Picture, address: str, theme: str) -> None:
    """Open the page, wait until all is drawn, and write its picture."""
    with window(browser, address, theme) as opened:
        opened.go(picture.turns)  # in the way that this model learned to read
        opened.select(position=picture.position, layer=picture.layer, head=picture.head)
        write(opened, f"see-{picture.name}-{theme}", part=picture.part, tallest=picture.tallest)


def take_lesson(browser: Browser, folder: Path, theme: str) -> None:
    """Teach a copy of a model on the page; pictures of before and after."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / folder.name
        shutil.copytree(folder, copy)
        with served(LanguageModel.load(copy)) as address, window(browser, address, theme) as opened:
            opened.go(tab="teach")
            for name, text in LESSON.items():
                opened.page.locator(f"#teach-{name}").fill(text)
            opened.page.locator("#teach-start").focus()
            opened.ready()
            write(opened, f"teach-before-{theme}", tallest=TALLEST_LESSON)
            opened.page.locator("#teach-start").click()
            opened.page.locator("#teach-measures").wait_for(timeout=300_000)
            opened.ready()
            write(opened, f"teach-after-{theme}", tallest=TALLEST_LESSON)
            opened.page.locator("#teach-undo").click()  # nothing is open when the server ends
            opened.ready()


@contextmanager
def window(browser: Browser, address: str, theme: str) -> Iterator[Opened]:
    """A window of the browser on a model's page."""
    size = {"width": WIDTH, "height": 900}
    with browser.new_context(viewport=size, color_scheme=theme) as context:  # type: ignore[arg-type]
        yield Opened(page=context.new_page(), address=address)


def write(opened: Opened, name: str, *, part: str = "body", tallest: int) -> None:
    """Write a picture of a part of the page, with as few colors as it needs."""
    path = PICTURES / f"{name}.png"
    box = opened.page.locator(part).bounding_box()
    assert box is not None
    box["height"] = min(box["height"], tallest)
    opened.page.screenshot(path=path, full_page=True, clip=box)
    with Image.open(path) as full:  # a palette takes a third of the bytes
        small = full.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(path)


def main() -> None:
    """Take all pictures; with --models keep the models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--try", dest="learned", type=Path, default=Path("out/try"),
                        help="the folder that make try wrote (default: out/try)")  # fmt: skip
    parser.add_argument("--models", type=Path, help="a folder for the models themselves")
    parser.add_argument("--only", choices=("see", "teach"), help="only these pictures")
    arguments = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for theme in THEMES if arguments.only != "see" else ():
            take_lesson(browser, arguments.learned, theme)
        for picture, lm in pictures(arguments.learned) if arguments.only != "teach" else ():
            if arguments.models is not None and picture.name != "try":
                lm.save(arguments.models / picture.name, replace=True)
            with served(lm) as address:
                for theme in THEMES:
                    take(browser, picture, address, theme)
        browser.close()


if __name__ == "__main__":
    main()
