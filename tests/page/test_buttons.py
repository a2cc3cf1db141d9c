"""A button that cannot be pressed looks the same in every style, and can be read in every state."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.page import models
from tests.page.conftest import Open, Theme
from tests.page.pages import Opened

LEAST_CONTRAST = 4.5  # of text and what is behind it (WCAG 2.2, 1.4.3)
STYLES = (  # what stands around a button, and its class
    ("", ""),
    ("", "primary"),
    ("", "small"),
    ("", "link"),
    ("", "exact"),
    ("toolbar", "primary"),
    ("tabs", ""),
    ("candidates", ""),
    ("candidates", "excluded"),
    ("reply controls", "primary"),
    ("reply controls", ""),
    ("teach controls", "primary"),
    ("teach controls", ""),
)
SAMPLES = """styles => {
  const place = document.createElement('div');
  place.id = 'samples';
  for (const off of ['disabled', 'aria-disabled']) {
    for (const [around, style] of styles) {
      const box = document.createElement('div');
      const button = document.createElement('button');
      box.className = around;
      button.className = style;
      button.textContent = 'Sample';
      button.setAttribute(off, 'true');
      box.append(button);
      place.append(box);
    }
  }
  document.querySelector('main').prepend(place);
}"""
LOOK = """button => {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const over = (below, color) => {
    context.fillStyle = `rgb(${below.join(' ')})`;
    context.fillRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const line = [];
  for (let each = button; each; each = each.parentElement) line.unshift(getComputedStyle(each));
  const ground = line.reduce((below, style) => over(below, style.backgroundColor), [255, 255, 255]);
  const ink = over(ground, getComputedStyle(button).color);
  const light = color => color.map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const [low, high] = [light(ink), light(ground)].sort((a, b) => a - b);
  const {filter, opacity} = getComputedStyle(button);
  return {ink, ground, filter, opacity, contrast: (high + 0.05) / (low + 0.05)};
}"""


def look(button: Any) -> dict[str, Any]:
    """Its colors, and the contrast between them."""
    found: dict[str, Any] = button.evaluate(LOOK)
    assert found["contrast"] >= LEAST_CONTRAST, found
    assert (found["filter"], found["opacity"]) == ("none", "1")
    return found


def point_at(page: Opened, button: Any) -> None:
    """Move the pointer onto a button, whatever state it is in."""
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box is not None
    page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_disabled_in_every_style_and_state(
    opened: Open, addresses: Callable[[str], str], theme: Theme
) -> None:
    with opened(addresses("seed2"), theme=theme) as page:
        page.go()
        page.page.evaluate(SAMPLES, STYLES)
        buttons = page.page.locator("#samples button").all()
        assert len(buttons) == 2 * len(STYLES)
        looks = []
        for button in buttons:
            looks.append(look(button))
            point_at(page, button)
            looks.append(look(button))
            button.focus()
            looks.append(look(button))
            page.page.mouse.move(0, 0)
            looks.append(look(button))
        assert all(each == looks[0] for each in looks)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_next_word_under_the_pointer_when_the_reply_has_ended(
    opened: Open, addresses: Callable[[str], str], theme: Theme
) -> None:
    with opened(addresses("seed2"), theme=theme) as page:
        page.go(models.DIALOGUE[:1], tab="reply")
        button = page.page.locator("#reply-next")
        point_at(page, button)
        look_before = button.evaluate(LOOK)
        page.page.locator("#reply-run").click()
        page.ready()
        assert button.get_attribute("aria-disabled") == "true"
        point_at(page, button)
        assert look(button)["ground"] != look_before["ground"]
        button.focus()
        look(button)
