"""The routes that teach: a lesson step by step, keep or undo it, and the lessons that are kept."""

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from nextword.data.replay_sample import read_reservoir
from nextword.errors import DataError
from nextword.language_model import LanguageModel
from nextword.serve.lesson_session import Event, Lessons
from nextword.serve.request_queue import Turns
from nextword.serve.responses import (
    LINES,
    UNTOUCHED,
    VERSION,
    RequestError,
    error_event,
    exact,
    json_answer,
    to_bytes,
)
from nextword.serve.routes.routes_model import card
from nextword.serve.schemas import (
    Body,
    TeachThis,
    UndoThese,
    check_ids,
    check_place,
    check_version,
    config_of,
    parse,
)
from nextword.teach.config import RATES, TeachingConfig
from nextword.teach.edit.correction import Correction, Pair
from nextword.teach.edit.edit_optimizers import methods
from nextword.teach.edit.weight_delta import resolve
from nextword.teach.journal.lesson_records import Kept, Records
from nextword.teach.lesson_text import lesson_title

if TYPE_CHECKING:
    from nextword.teach.session import Teaching

MOST_OTHERS = 8  # sequences to look at before and after a lesson
MOST_TOKENS = 40  # of each


def teach_routes(lm: LanguageModel, turns: Turns, lessons: Lessons) -> list[Route]:
    """The routes of teaching one model."""
    asked = _Teach(lm, turns, lessons)
    posts = {
        "/api/teach": asked.teach,
        "/api/teach/stop": asked.stop,
        "/api/teach/keep": asked.keep,
        "/api/teach/undo": asked.undo,
        "/api/lessons/undo": asked.undo_kept,
        "/api/reload": asked.reload,
    }
    return [
        *(Route(path, answer, methods=["POST"]) for path, answer in posts.items()),
        Route("/api/lessons", asked.lessons, methods=["GET"]),
        Route("/api/teach/state", asked.state, methods=["GET"]),
        Route("/api/teach/others", asked.others, methods=["GET"]),
    ]


class _Teach:
    """What is asked about lessons."""

    def __init__(self, lm: LanguageModel, turns: Turns, lessons: Lessons) -> None:
        self._lm = lm
        self._turns = turns
        self._lessons = lessons

    async def teach(self, request: Request) -> Response:
        """A lesson, step by step."""
        body = parse(TeachThis, await request.body())
        config = config_of(TeachingConfig, body.config)
        teaching = await self._lessons.begin(lambda: _teaching(self._lm, body, config))
        return _LessonStream(
            _lines(self._lessons.events(request, teaching, config=config)),
            version=self._turns.version,
            ended=lambda: self._lessons.drop(teaching),
        )

    async def stop(self, request: Request) -> Response:
        """Stop the lesson under way."""
        parse(Body, await request.body())
        return self._answer({"stopped": self._lessons.stop()})

    async def keep(self, request: Request) -> Response:
        """Keep the lesson that is not kept."""
        await self._checked(request)
        made = await self._lessons.keep()
        lesson = made.result
        return self._answer(
            {
                "version": made.version,
                "number": lesson.number,
                "lesson": exact(lesson.as_json()),
            },
            version=made.version,
        )

    async def undo(self, request: Request) -> Response:
        """Undo the lesson that is not kept."""
        await self._checked(request)
        version = (await self._lessons.undo(request)).version
        return self._answer({"version": version}, version=version)

    async def undo_kept(self, request: Request) -> Response:
        """Undo lessons that are kept."""
        body = parse(UndoThese, await request.body())
        check_version(body, self._turns.version)
        made = await self._lessons.undo_kept(request, body.numbers)
        listed = await run_in_threadpool(self._listed)
        answer = {
            "version": made.version,
            "no_longer": exact(made.result.no_longer),
            "items": listed["items"],
        }
        return self._answer(answer, version=made.version)

    async def reload(self, request: Request) -> Response:
        """Read the folder again, and tell what the model is now."""
        parse(Body, await request.body())  # its version is the one that is given up
        await self._lessons.reload(request)
        made = await self._turns.run(request, lambda: card(self._lm))
        return self._answer(exact(made.result), version=made.version)

    async def lessons(self, _: Request) -> Response:
        """The lessons that are kept, and where the one stands that is not."""
        listed = await run_in_threadpool(self._listed)
        unkept = self._lessons.unkept
        answer = {
            "version": self._turns.version,
            "folder": self._lm.folder is not None,
            "unkept": None if unkept is None else exact(unkept.as_json()),
            "teaching": self._lessons.teaching,
            "settings": _settings(self._lm),
        }
        return self._answer(answer | listed)

    async def state(self, _: Request) -> Response:
        """Whether a lesson is under way, or in force without being kept; for every tab."""
        unkept = self._lessons.unkept
        return self._answer(
            {
                "version": self._turns.version,
                "folder": self._lm.folder is not None,
                "teaching": self._lessons.teaching,
                "unkept": None if unkept is None else lesson_title(unkept),
            }
        )

    async def others(self, _: Request) -> Response:
        """Other sentences, to see what a lesson does to them."""
        sentences = await run_in_threadpool(_others, self._lm)
        return self._answer({"version": self._turns.version, "sentences": sentences})

    async def _checked(self, request: Request) -> None:
        """Read a body that has nothing to say but the version that it is about."""
        check_version(parse(Body, await request.body()), self._turns.version)

    def _answer(self, value: Any, *, version: str | None = None) -> Response:
        return json_answer(value, version=version or self._turns.version)

    def _listed(self) -> dict[str, Any]:
        """What the folder says of lessons."""
        if self._lm.folder is None:
            return {"state": "none", "changed": False, "items": [], "no_longer": []}
        found = Records.read(self._lm.folder)
        last = found.events[-1] if found.events else None
        return {
            "state": found.state,
            "changed": self._lessons.changed(found.present),
            "items": exact(_items(found)),
            "no_longer": exact(last.no_longer or () if last else ()),
        }


class _LessonStream(StreamingResponse):
    """A lesson's events, of which the lesson is dropped when nobody takes them any more.

    Args:
        ended: called when the answer is at its end, however it came to it.
    """

    def __init__(
        self, content: AsyncIterator[bytes], *, version: str, ended: Callable[[], None]
    ) -> None:
        super().__init__(content, headers={VERSION: version}, media_type=LINES)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a hang-up cuts it off between two events, or before the first one."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _lines(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """One line of JSON for each event; an error is the last one."""
    try:
        async for event in events:
            yield to_bytes(event) + b"\n"
    except UNTOUCHED:
        raise
    except BaseException as error:  # a library's panic is no Exception
        yield to_bytes(error_event(error)) + b"\n"


def _teaching(lm: LanguageModel, body: TeachThis, config: TeachingConfig) -> "Teaching":
    """The lesson that is asked for."""
    check_version(body, lm.version)
    if (body.ids is None) == (body.pairs is None):
        raise RequestError("give either pairs, or ids and right", param="pairs")
    taught = _pairs(body.pairs or ()) if body.ids is None else [_word(lm, body.ids, body.right)]
    return lm.teaching(
        taught, phrasings=list(body.phrasings), config=config, also_prompt=body.also_prompt
    )


def _pairs(given: Sequence[Sequence[str]]) -> list[Pair | Correction]:
    if not all(len(texts) > 1 for texts in given):
        raise DataError("a pair has too few texts; it needs a prompt's turns and then the reply")
    return [(texts[0] if len(texts) == 2 else tuple(texts[:-1]), texts[-1]) for texts in given]


def _word(lm: LanguageModel, ids: Sequence[int], right: int | str | None) -> Correction:
    check_ids(ids, lm.config)
    if right is None:
        raise RequestError("right is missing: the word that should have come", param="right")
    if isinstance(right, int):
        check_place("right", right, lm.config.vocab_size)
    return lm.correction(ids, right)


def _settings(lm: LanguageModel) -> dict[str, Any]:
    """What a lesson of this model is like where nothing else is asked for.

    Its defaults, with the scope that they come to; and of each scope the learning rate and the
    rules by which the weights are adjusted, one tried after the other.
    """
    defaults = TeachingConfig()
    return {
        "defaults": dataclasses.asdict(defaults) | {"scope": resolve(defaults, lm.decoder)},
        "rates": RATES,
        "rules": {scope: [method.rule for method in methods(scope)] for scope in RATES},
    }


def _items(found: Records) -> list[dict[str, Any]]:
    """Every lesson of a folder, the first one first."""
    kinds = (("kept", found.active), ("absorbed", found.absorbed), ("undone", found.gone))
    items = [_item(kept, status) for status, all_kept in kinds for kept in all_kept]
    return sorted(items, key=lambda item: item["number"])


def _item(kept: Kept, status: str) -> dict[str, Any]:
    lesson = kept.lesson
    first = lesson["sentences"][0]  # what was taught stands before its other phrasings
    return {
        "number": kept.number,
        "time": kept.time,
        "prompt": first["prompt"],
        "reply": first["reply"],
        "reliability": lesson["reliability"],
        "generality": lesson["generality"],
        "locality": lesson["known"]["share"],
        "reply_reliability": lesson.get("reply_reliability"),  # older records have none
        "reply_generality": lesson.get("reply_generality"),
        "reply_locality": (lesson.get("known_replies") or {}).get("share"),
        "seconds": lesson["seconds"],
        "status": status,
    }


def _others(lm: LanguageModel) -> list[dict[str, Any]]:
    """Up to MOST_OTHERS sequences that were never trained on, or else that were; always the same.

    Of each only what it begins with: the first document in it, up to MOST_TOKENS. `cut` is True
    where the document goes on after it, and `whole` then all that is kept of the document, or None
    where that is no more.
    """
    found = (
        None
        if lm.folder is None
        else read_reservoir(lm.folder, fingerprint=lm.tokenizer.fingerprint)
    )
    if found is None:
        return []
    tokens, _, documents = found.known if found.held_out is None else found.held_out
    rows = []
    for row in range(min(MOST_OTHERS, len(tokens))):
        ids = tokens[row]
        if documents is not None:
            ids = ids[documents[row] == documents[row, 0]]
        kept = ids[:MOST_TOKENS].tolist()
        apart = lm.kind == "dialogue" and lm.prompting.is_own
        turns = _turns(lm, kept) if apart else None
        rows.append(
            {
                "turns": turns,
                "ids": kept,
                "text": lm.tokenizer.decode(kept),
                "cut": kept[-1] not in lm.tokenizer.end_ids,
                "whole": lm.tokenizer.decode(ids.tolist()) if len(ids) > MOST_TOKENS else None,
            }
        )
    return rows


def _turns(lm: LanguageModel, ids: Sequence[int]) -> list[str]:
    """The turns of a dialogue, the last one perhaps cut off."""
    ends = lm.tokenizer.end_ids
    parts = [list(part) for end, part in groupby(ids, key=lambda id: id in ends) if not end]
    return [lm.tokenizer.decode(part) for part in parts]
