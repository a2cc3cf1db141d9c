"""1,000 words, 12 layers of 12 heads: the page stays quick, and small in memory."""

import statistics
from collections.abc import Callable, Iterator

import pytest
from tests.page import models
from tests.page.conftest import Open, Student
from tests.page.lessons import carry, read
from tests.page.pages import Opened

TOKENS = 1000
MOST_MS = 16.0  # of drawing in an interaction, median
MOST_NODES = 5_000
MOST_HEAP = 150e6  # bytes
MOST_PAINT_MS = 1_000
TRIES = 3  # of what is measured in time: a busy machine only adds to it
DRAWN = """() => { const spent = performance.getEntriesByName('nw-draw')
  .reduce((sum, entry) => sum + entry.duration, 0);
  performance.clearMeasures('nw-draw'); return spent; }"""
STEPS = 200  # of a lesson
STREAMED = """async count => {
  const {teaching} = await import('/page/js/teach/teaching.js');
  const frame = look => new Promise(done => requestAnimationFrame(() => done(look())));
  const [spent, nodes] = [[], []];
  teaching.set({phase: 'teaching', lesson: null, steps: []});
  await frame(() => 0);
  for (let step = 0; step < count; step += 1) {
    const event = {step, loss: 7 / (1 + step), least: step / count, rehearsal_kl: 0.01};
    const began = frame(() => performance.now());  // the page draws in the same frame, between
    teaching.set({steps: [...teaching.state.steps, event]});
    const ended = frame(() => document.body.scrollHeight && performance.now());
    spent.push(await ended - await began);
    nodes.push(document.querySelectorAll('*').length);
  }
  if (document.querySelector('#teach-numbers nw-number').dataset.value !== String(count - 1)) {
    throw new Error('the last step is not shown');
  }
  teaching.set({phase: 'idle', steps: []});
  await frame(() => 0);
  return [spent, nodes];
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@pytest.fixture(scope="module")
def page(opened: Open, addresses: Callable[[str], str]) -> Iterator[Opened]:
    """The long sentence, opened at its last word."""
    with opened(addresses("long")) as page:
        page.go()
        page.page.locator("#text").fill(models.long_text(TOKENS))
        page.page.locator("#read").click()
        page.until(f"nextword.store.state.ids?.length === {TOKENS}")
        page.ready()
        yield page


def interactions(page: Opened) -> Iterator[str]:
    """Thirty things that a reader does, one at a time."""
    keyboard = page.page.keyboard
    for place in range(8):
        page.page.evaluate("p => nextword.store.hover({position: p})", 100 + 101 * place)
        yield "hover over a word"
    page.page.evaluate("nextword.store.hover(null)")
    for place in range(6):
        page.page.evaluate("p => nextword.store.select({position: p})", 999 - 137 * place)
        yield "choose a word"
    page.page.locator("#panel-3 h2").click()
    for key in (".", ".", "]", "]", ".", "["):
        keyboard.press(key)
        yield f"press {key}"
    grid = page.page.locator("[role=grid]").first
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    assert box is not None
    for place in range(6):
        page.page.mouse.move(box["x"] + 20 + 9 * place, box["y"] + 15 + 11 * place)
        yield "hover over a cell"
    for _ in range(4):
        page.page.mouse.wheel(0, 600)
        yield "scroll"


def test_the_first_paint(opened: Open, addresses: Callable[[str], str]) -> None:
    """Each time in a new window, which has nothing in its cache."""
    paints = []
    for _ in range(TRIES):
        with opened(addresses("long")) as page:
            page.go()
            paints.append(page.page.evaluate(PAINT))
        if 0 < paints[-1] < MOST_PAINT_MS:
            return
    raise AssertionError(paints)


def drawing(page: Opened) -> list[float]:
    """Milliseconds of drawing in each interaction."""
    page.page.evaluate(DRAWN)
    spent = []
    for _ in interactions(page):
        page.ready()
        spent.append(page.page.evaluate(DRAWN))
    return spent


def test_drawing_nodes_and_memory(page: Opened) -> None:
    for attempt in range(1, TRIES + 1):
        spent = drawing(page)
        assert len(spent) == 30
        assert sum(ms > 0 for ms in spent) >= 10  # the measure is there
        if statistics.median(spent) <= MOST_MS:
            break
        assert attempt < TRIES, spent
    assert page.page.evaluate("document.querySelectorAll('*').length") <= MOST_NODES
    heap = page.page.evaluate("performance.memory.usedJSHeapSize")
    assert heap <= MOST_HEAP


def test_a_number_deep_in_a_long_sentence_is_exact(page: Opened) -> None:
    """Bytes serve for colour only: what is printed is the float32 of the trace."""
    lm = models.deep(context=1024)
    page.select(position=777, layer=7, head=5)
    trace = lm.trace(models.long_text(TOKENS))
    row = trace.row("blocks.7.attention.attention_weights", 777, head=5)
    name = "blocks.7.attention.attention_weights[5,777,"
    weights = [number for number in page.numbers() if number.name.startswith(name)]
    assert len(weights) >= 10
    for number in weights:
        expected = float(row[int(number.name[len(name) : -1])])
        assert number.value == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert number.text == number.expected_text


def test_a_newer_wish_aborts_the_older(page: Opened) -> None:
    """Who moves on quickly does not wait for what was asked on the way."""
    aborted: list[str] = []
    page.page.on("requestfailed", lambda request: aborted.append(request.failure or ""))
    for place in range(10):
        page.page.evaluate("p => nextword.store.select({position: p})", 10 + 83 * place)
        page.page.wait_for_timeout(20)
    page.ready()
    assert page.state("position") == 10 + 83 * 9
    assert aborted and set(aborted) == {"net::ERR_ABORTED"}


def test_a_lesson_that_streams(opened: Open, student: Student) -> None:
    """Little work for each step that is told, and no more nodes however many there were."""
    with opened(student.address) as page:
        read(page)
        carry(page)
        for attempt in range(1, TRIES + 1):
            spent, nodes = page.page.evaluate(STREAMED, STEPS)
            assert len(spent) == STEPS
            if 0 < statistics.median(spent[-STEPS // 4 :]) <= MOST_MS:
                break
            assert attempt < TRIES, spent
        assert max(nodes[STEPS // 4 :]) <= max(nodes[: STEPS // 4])
