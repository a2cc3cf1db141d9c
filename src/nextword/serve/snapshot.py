"""A sentence with all that the page may ask about it, for a file that works without the server.

    {"version", "card", "read", "start": {"position", "layer", "head"}, "limited"?,
     "responses": {KEY: {"json": …} or {"tensors": base64}}}

KEY is the route, a space, and the body without its ids and version, as JSON.stringify writes it.
"""

import base64
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nextword.config import ModelConfig
from nextword.interpret.points import points_of
from nextword.language_model import LanguageModel
from nextword.serve.responses import compact, exact
from nextword.serve.routes.routes_model import card, read
from nextword.serve.routes.routes_trace import ROUTES, TOP_WORDS, Tensors
from nextword.serve.schemas import (
    MOST_POSITIONS,
    AccountFor,
    AtHead,
    AtPosition,
    AtRow,
    EquationOf,
    LensAt,
    NextAfter,
    Sentence,
)
from nextword.serve.tensor_bytes import pack

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace

MOST_TEXT = 16_000_000  # characters of answers; more, and less is recorded
TABLE_WIDTH, TABLE_WORDS = 16, 12  # up to these sizes the page shows every number in tables

Question = tuple[str, Sentence]  # a route, and what is asked there
Answers = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Start:
    """What the page opens on; places from 0."""

    position: int
    layer: int
    head: int


def record_page(lm: LanguageModel, ids: Sequence[int], start: Start) -> dict[str, Any]:
    """Everything about a sentence; if that is too much, what belongs to `start` and to the end.

    Args:
        ids: a sentence that the model can read.
        start: places that there are.
    """
    sentence = tuple(ids)
    trace = lm.trace_ids(sentence)
    answers, limited = _answers(trace, sentence, start, version=lm.version)
    return {
        "version": lm.version,
        "card": exact(card(lm)),
        "read": exact(read(trace, version=lm.version, ids=ids, read_as="ids", notes=())),
        "start": dataclasses.asdict(start),
        "limited": limited,
        "responses": answers,
    }


def _answers(
    trace: "Trace", ids: tuple[int, ...], start: Start, *, version: str
) -> tuple[Answers, bool]:
    """The answers to the largest plan that is not too much, and whether that leaves any out."""
    config, everywhere = trace.config, range(len(ids))
    few = sorted({start.position, len(ids) - 1})
    layers = range(config.n_layers)
    whole = list(_views(ids, everywhere, layers, config))
    least = list(_views(ids, few, [start.layer] if layers else [], config))
    known: Answers = {}
    for plan in (itertools.chain(whole, _equations(trace, ids)), whole):
        answers = _bounded(plan, trace, version, known)
        if answers is not None:
            return answers, False
    return {_key(*asked): _ask(trace, *asked, version, known) for asked in least}, True


def _bounded(
    plan: Iterable[Question], trace: "Trace", version: str, known: Answers
) -> Answers | None:
    """The answers to a plan; None as soon as they are too much."""
    answers: Answers = {}
    size = 0
    for route, body in plan:
        key = _key(route, body)
        answers[key] = _ask(trace, route, body, version, known)
        size += len(key) + len(compact(answers[key]))
        if size > MOST_TEXT:
            return None
    return answers


def _views(
    ids: tuple[int, ...], positions: Sequence[int], layers: Sequence[int], config: ModelConfig
) -> Iterator[Question]:
    """What the page asks when it shows these positions, and the heads of these layers.

    What is large and quickly made comes first, so that too much of it shows soon.
    """
    for layer, head in itertools.product(layers, range(config.n_heads)):
        yield "/api/see/map", AtHead(ids=ids, layer=layer, head=head)
        yield "/api/see/past", AtHead(ids=ids, layer=layer, head=head)
    for position, layer in itertools.product(positions, range(config.n_layers)):
        yield "/api/see/row", AtRow(ids=ids, position=position, layer=layer)
    yield "/api/see/overview", Sentence(ids=ids)
    for first in sorted({place - place % MOST_POSITIONS for place in positions}):
        block = range(first, min(first + MOST_POSITIONS, len(ids)))
        yield "/api/see/lens", LensAt(ids=ids, positions=tuple(block))
    for position in positions:
        here = AtPosition(ids=ids, position=position)
        yield "/api/see/ends", here
        yield "/api/see/narrate", here
        yield "/api/see/next", NextAfter(ids=ids, position=position)
        yield "/api/see/account", AccountFor(ids=ids, position=position)


def _equations(trace: "Trace", ids: tuple[int, ...]) -> Iterator[Question]:
    """Every number that the page shows in tables; none where it shows curves instead."""
    config = trace.config
    if config.d_model > TABLE_WIDTH or len(ids) > TABLE_WORDS:
        return
    words = [_words(trace, position) for position in range(len(ids))]
    for name, point in points_of(config).items():
        if point.shape == "T V":
            places: Iterable[tuple[int, ...]] = (
                (position, word) for position in range(len(ids)) for word in words[position]
            )
        else:
            places = itertools.product(*map(range, point.sizes(config, len(ids))))
        for index in places:
            yield "/api/see/equation", EquationOf(ids=ids, name=name, index=index)


def _words(trace: "Trace", position: int) -> list[int]:
    """The next words that the page lists at a position."""
    return sorted(word.token_id for word in trace.next_words(position, top=TOP_WORDS).words)


def _key(route: str, body: Sentence) -> str:
    """Under which an answer is found again."""
    names = [item.name for item in dataclasses.fields(body) if item.name not in ("ids", "version")]
    return f"{route} {compact({name: getattr(body, name) for name in names})}"


def _ask(
    trace: "Trace", route: str, body: Sentence, version: str, known: Answers
) -> dict[str, Any]:
    """The answer to one question, which is remembered in `known`."""
    key = _key(route, body)
    if key not in known:
        answer = ROUTES[route][1](trace, body)
        if isinstance(answer, Tensors):
            data = pack(answer.tensors, version=version, meta=answer.meta)
            known[key] = {"tensors": base64.b64encode(data).decode("ascii")}
        else:
            known[key] = {"json": exact(answer.value)}
    return known[key]
