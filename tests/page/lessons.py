"""Driving the Teach tab: carry a wrong word there, teach it, read what the page says of it."""

import json
from typing import Any

import numpy as np
from tests.page.pages import Opened

ASKED, WANTED = "where is the cat", "in the tree"  # which is not what it learned
AT = 4  # the end token of the prompt, after which “in” should come

LISTEN = """() => {
  const send = window.fetch;
  window.told = new Promise(resolve => {
    window.fetch = async (...asked) => {
      const answer = await send(...asked);
      if (!String(asked[0]).endsWith('/api/teach')) return answer;
      window.fetch = send;
      const [here, there] = answer.body.tee();
      resolve(new Response(there).text());
      return new Response(here, {status: answer.status, headers: answer.headers});
    };
  });
}"""


def read(page: Opened) -> None:
    """Read the prompt with the reply that it should have, and look at where it goes wrong."""
    page.go([ASKED, WANTED], mode="dialogue", position=AT)


def carry(page: Opened) -> None:
    """Take the wrong word to Teach."""
    page.page.locator("#should-be").click()
    page.ready()
    assert page.state("tab") == "teach"


def begin(page: Opened) -> None:
    """Press Teach, and listen to what the server tells: a browser keeps no stream."""
    page.page.evaluate(LISTEN)
    page.page.locator("#teach-start").click()


def told(page: Opened) -> list[dict[str, Any]]:
    """The events of the lesson that was begun, once it has ended and is drawn."""
    lines = page.page.evaluate("window.told")
    page.ready()
    return [json.loads(line) for line in lines.splitlines()]


def teach(page: Opened) -> list[dict[str, Any]]:
    """Teach what the form holds; the events of the lesson."""
    begin(page)
    return told(page)


def press(page: Opened, name: str) -> None:
    """Press a button by its id and wait until all is drawn."""
    page.page.locator(f"#{name}").click()
    page.ready()


def status(page: Opened) -> str:
    """What the page says of the lesson."""
    return page.page.locator("#teach-status").inner_text()


def shown(page: Opened, within: str = "#teach-panel") -> dict[str, float]:
    """The named numbers of the tab."""
    return {number.name: number.value for number in page.numbers(within)}


def float32(value: float) -> float:
    """A number as the page prints it."""
    return float(np.float32(value))


def never(page: Opened) -> None:
    """Settings under which a lesson goes on for long: steps so small that nothing moves."""
    page.page.evaluate("document.querySelector('#teach-settings').open = true")
    for name, value in {"rate": "0.0000001", "steps": "1000000", "seconds": "600"}.items():
        page.page.locator(f"#teach-{name}").fill(value)
    page.page.keyboard.press("Tab")
