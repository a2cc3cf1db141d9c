"""Takes the pictures of docs/see.md: the page of three models, light and dark.

    python -m docs.screenshots --try out/try    write docs/pictures/see-*.png anew
    python -m docs.screenshots --models out/see write the two others' folders, for nextword serve

It needs chromium and what the tests need; the model of `make try` must have been made. The other
two are the tests' own: the article's of width 2, and one of the size of GPT-2 with random weights.
"""

import argparse
import shutil
from collections.abc import Sequence
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


def take(browser: Browser, picture: Picture, address: str, theme: str) -> Path:
    """Open the page, wait until all is drawn, and write its picture."""
    path = PICTURES / f"see-{picture.name}-{theme}.png"
    size = {"width": WIDTH, "height": 900}
    with browser.new_context(viewport=size, color_scheme=theme) as context:  # type: ignore[arg-type]
        opened = Opened(page=context.new_page(), address=address)
        opened.go(picture.turns)  # in the way that this model learned to read
        opened.select(position=picture.position, layer=picture.layer, head=picture.head)
        box = opened.page.locator(picture.part).bounding_box()
        assert box is not None
        box["height"] = min(box["height"], picture.tallest)
        opened.page.screenshot(path=path, full_page=True, clip=box)
    with Image.open(path) as full:  # a palette takes a third of the bytes
        small = full.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return path


def main() -> None:
    """Take all pictures; with --models keep the models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--try", dest="learned", type=Path, default=Path("out/try"),
                        help="the folder that make try wrote (default: out/try)")  # fmt: skip
    parser.add_argument("--models", type=Path, help="a folder for the models themselves")
    arguments = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for picture, lm in pictures(arguments.learned):
            if arguments.models is not None and picture.name != "try":
                lm.save(arguments.models / picture.name, replace=True)
            with served(lm) as address:
                for theme in THEMES:
                    print(take(browser, picture, address, theme))
        browser.close()


if __name__ == "__main__":
    main()
