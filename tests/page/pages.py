"""The page in a browser, as the tests read and drive it."""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import BrowserContext, Page, Route
from playwright.sync_api import Error as BrowserError

READY = "html[data-ready='1']"
SETTLED_MS = 20_000  # on two busy cores, for the largest model of these tests
NUMBERS = """within => [...document.querySelectorAll(within + ' [data-name][data-value]')]
  .map(e => ({name: e.dataset.name, value: e.dataset.value, unit: e.dataset.unit ?? '',
    text: e.textContent.trim(), panel: e.closest('section')?.id ?? e.closest('[id]')?.id ?? ''}))"""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A number on the page.

    Attributes:
        name: its canonical name.
        value: all its digits, as a float32 prints them.
        unit: "", "percent" or "count".
        text: what people read.
        panel: the id of the section that it stands in.
    """

    name: str
    value: float
    unit: str
    text: str
    panel: str

    @property
    def expected_text(self) -> str:
        """The value rounded to as many digits as are shown."""
        percent = self.unit == "percent" or self.text.endswith("%")
        scale = 100 if percent else 1
        value = float(np.float32(scale * self.value))
        if np.isinf(value):
            return "−∞" if value < 0 else "∞"
        decimals = re.search(r"\.(\d+)", self.text)
        text = f"{abs(value):.{len(decimals[1]) if decimals else 0}f}"
        sign = "−" if value < 0 and float(text) != 0 else ""
        return sign + text + (" %" if percent else "")


@dataclass
class Opened:
    """A page that is open, and what went wrong on it.

    Attributes:
        page: Playwright's.
        address: of the server, ending in a slash.
        strangers: addresses asked that are not the server's.
        complaints: errors of the page and of its console.
    """

    page: Page
    address: str
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, turns: Sequence[str] = (), **selection: object) -> None:
        """Open the address of a text and a selection, and wait until all is drawn."""
        tab = selection.pop("tab", "read")
        fields = [("text", turn) for turn in turns]
        fields += [(name, str(value)) for name, value in selection.items()]
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{tab}?{urlencode(fields)}")
        self.ready()

    def ready(self) -> None:
        """Wait until no request is open and everything is drawn."""
        self.page.wait_for_selector(READY, state="attached", timeout=SETTLED_MS)

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true; the page's policy forbids it to do so."""
        deadline = time.monotonic() + SETTLED_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(20)

    def state(self, *names: str) -> Any:
        """What the page has selected, and anything else of its store."""
        values = self.page.evaluate("names => names.map(n => nextword.store.state[n])", names)
        return values[0] if len(names) == 1 else values

    def select(self, **patch: int | None) -> None:
        """Lock a selection and wait until it is drawn."""
        self.page.evaluate("patch => nextword.store.select(patch)", patch)
        self.ready()

    def numbers(self, within: str = "body") -> list[Shown]:
        """Every number with a name inside a CSS selector."""
        found = self.page.evaluate(NUMBERS, within)
        return [Shown(**number | {"value": as_float(number["value"])}) for number in found]

    def held(self, path: str) -> "Held":
        """Hold back all requests for a path from now on."""
        held = Held()
        self.page.route(f"{self.address}{path}", lambda route: held.take(route))
        return held

    def refused(self, path: str) -> None:
        """Let the server fail at all requests for a path until `unroute_all`."""
        error = {"error": {"message": "the server had a fault", "code": "internal"}}
        self.page.route(
            f"{self.address}{path}", lambda route: route.fulfill(status=500, json=error)
        )

    def focused(self) -> str:
        """Where the keyboard is: `#id`, or the element's name and label."""
        script = """() => { const e = document.activeElement;
          return e.id ? '#' + e.id : e.localName + ' ' + (e.getAttribute('aria-label') ?? ''); }"""
        return str(self.page.evaluate(script))

    def tab_to(self, where: str, *, key: str = "Tab", most: int = 60) -> None:
        """Press Tab until an element that matches a CSS selector has the keyboard."""
        self._press_until(f"document.activeElement?.matches({where!r})", key=key, most=most)

    def tab_to_button(self, text: str, *, key: str = "Tab", most: int = 60) -> None:
        """Press Tab until the button that says `text` has the keyboard."""
        self._press_until(f"document.activeElement?.innerText === {text!r}", key=key, most=most)

    def _press_until(self, condition: str, *, key: str, most: int) -> None:
        for _ in range(most):
            if self.page.evaluate(condition):
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"{most} × {key} do not lead to {condition}: now {self.focused()}")


@dataclass
class Held:
    """Requests that are held back until they are let go.

    Attributes:
        requests: in the order in which they came.
        over: whether they are let go, and further ones are not held back.
    """

    requests: list[Route] = field(default_factory=list)
    over: bool = False

    def take(self, request: Route) -> None:
        """Hold a request back, or send it on at once."""
        self.requests.append(request)
        if self.over:
            self.send(-1)

    def send(self, place: int) -> None:
        """Send one on, unless the page no longer waits for it."""
        with suppress(BrowserError):
            self.requests[place].continue_()

    def let_go(self) -> None:
        """Send all on, the oldest first."""
        self.over = True
        for place in range(len(self.requests)):
            self.send(place)


def as_float(text: str) -> float:
    """A number as JavaScript prints it."""
    return float(text.replace("Infinity", "inf"))


def watch(context: BrowserContext, opened: Opened) -> None:
    """Note every foreign request, which is refused, and every complaint of the page."""
    own = re.escape(opened.address)

    def refuse(route: Any) -> None:
        opened.strangers.append(route.request.url)
        route.abort()

    context.route(re.compile(rf"^(?!{own}|data:|about:)"), refuse)
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on(
        "console",
        lambda said: opened.complaints.append(said.text) if said.type == "error" else None,
    )


def picture(opened: Opened, path: Path) -> None:
    """The whole page as a PNG, for people who look into a failure."""
    opened.page.screenshot(path=path, full_page=True)
