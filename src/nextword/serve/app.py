"""The application: which route does what, one question to the model at a time."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from nextword.language_model import LanguageModel
from nextword.serve.lesson_session import Lessons
from nextword.serve.request_queue import Turns
from nextword.serve.responses import (
    LINES,
    UNTOUCHED,
    VERSION,
    RequestError,
    error_event,
    exact,
    json_answer,
    refusal,
    to_bytes,
)
from nextword.serve.routes.routes_model import card, read, read_ids
from nextword.serve.routes.routes_reply import Event, Replying
from nextword.serve.routes.routes_teach import teach_routes
from nextword.serve.routes.routes_trace import ROUTES, Tensors
from nextword.serve.schemas import (
    Body,
    Read,
    ReplyTo,
    Sentence,
    check_ids,
    check_places,
    check_version,
    parse,
)
from nextword.serve.security import LOOPBACK, Guard
from nextword.serve.static_files import INDEX, page_files
from nextword.serve.tensor_bytes import CONTENT_TYPE, pack
from nextword.serve.trace_cache import Traces


def make_app(lm: LanguageModel, *, hosts: frozenset[str] = LOOPBACK) -> Starlette:
    """The application that serves a model and its page.

    Args:
        lm: the model.
        hosts: the names under which it may be asked; see `Guard`.

    Returns:
        It, with `state.stopping`: once True, replies and lessons end after the step that they are
        at; and `state.lessons`, to be closed when nothing is answered any more.
    """
    turns = Turns(lm)
    model, lessons, pages = _Model(lm, turns), Lessons(lm, turns), _Pages()
    routes = [
        Route("/", pages.answer, methods=["GET"]),
        Route("/page/{path:path}", pages.answer, methods=["GET"]),
        Route("/api/model", model.card, methods=["GET"]),
        Route("/api/read", model.read, methods=["POST"]),
        Route("/api/reply", model.reply, methods=["POST"]),
        *(Route(path, model.see, methods=["POST"]) for path in ROUTES),
        *teach_routes(lm, turns, lessons),
    ]
    guard = Middleware(Guard, hosts=hosts, version=lambda: turns.version)
    handlers: dict[Any, Any] = {HTTPException: _no_route}
    app = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.stopping = False
    app.state.lessons = lessons
    return app


def _no_route(_: Request, error: HTTPException) -> Response:
    """What the router refuses, in the shape of every error."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = RequestError(f"this address takes only {allowed}", status=405, code="bad_method")
    else:
        problem = RequestError("there is nothing here", status=404, code="not_found")
    status, value = refusal(problem)
    return json_answer(value, status=status, headers=error.headers)


class _Pages:
    """The files of the page."""

    def __init__(self) -> None:
        self._files = page_files()

    async def answer(self, request: Request) -> Response:
        """A file, or that the browser's own is still the same."""
        page = self._files.get(request.path_params.get("path", INDEX))
        if page is None:
            raise HTTPException(404)
        headers = {"etag": page.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == page.etag:
            return Response(status_code=304, headers=headers)
        return Response(page.content, media_type=page.media_type, headers=headers)


class _Model:
    """What is asked of the model."""

    def __init__(self, lm: LanguageModel, turns: Turns) -> None:
        self._lm = lm
        self._turns = turns
        self._traces = Traces(lm)

    async def card(self, request: Request) -> Response:
        """What the model is."""
        made = await self._turns.run(request, lambda: card(self._lm))
        return json_answer(exact(made.result), version=made.version)

    async def read(self, request: Request) -> Response:
        """Verdicts at every position."""
        body = parse(Read, await request.body())

        def work() -> dict[str, Any]:
            self._check(body)
            ids, read_as, notes = read_ids(self._lm, body)
            trace = self._traces.get(ids)
            return read(trace, version=self._lm.version, ids=ids, read_as=read_as, notes=notes)

        made = await self._turns.run(request, work)
        return json_answer(exact(made.result), version=made.version)

    async def see(self, request: Request) -> Response:
        """One view of a sentence's trace."""
        kind, look = ROUTES[request.url.path]
        body = parse(kind, await request.body())

        def work() -> Response:
            self._check(body)
            answer = look(self._traces.get(body.ids), body)
            version = self._lm.version
            if isinstance(answer, Tensors):
                content = pack(answer.tensors, version=version, meta=answer.meta)
                return Response(content, headers={VERSION: version}, media_type=CONTENT_TYPE)
            return json_answer(exact(answer.value), version=version)

        return (await self._turns.run(request, work)).result

    async def reply(self, request: Request) -> Response:
        """A reply, token by token."""
        body = parse(ReplyTo, await request.body())

        def work() -> Replying:
            self._check(body)
            return Replying(self._lm, body)

        made = await self._turns.run(request, work)
        return StreamingResponse(
            self._lines(request, made.result.events()),
            headers={VERSION: made.version},
            media_type=LINES,
        )

    async def _lines(self, request: Request, events: Iterator[Event]) -> AsyncIterator[bytes]:
        """One line of JSON for each event; other questions may come between two of them."""
        while True:
            try:
                event = (await self._turns.run(request, lambda: next(events, None))).result
            except UNTOUCHED:
                raise
            except BaseException as error:  # a library's panic is no Exception
                event = error_event(error)
            if event is None:
                return
            yield to_bytes(event) + b"\n"
            if event["event"] == "error":
                return

    def _check(self, body: Body) -> None:
        check_version(body, self._lm.version)
        if isinstance(body, Sentence):
            check_ids(body.ids, self._lm.config)
            check_places(body, self._lm.config)
