"""The application: which route does what, one question to the model at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from nextword.language_model import LanguageModel
from nextword.serve.answers import RequestError, exact, refusal, to_bytes
from nextword.serve.guard import LOOPBACK, Guard
from nextword.serve.pages import INDEX, page_files
from nextword.serve.reading import card, read, read_ids
from nextword.serve.replying import Event, Replying
from nextword.serve.requests import (
    Body,
    Read,
    ReplyTo,
    Sentence,
    check_ids,
    check_places,
    check_version,
    parse,
)
from nextword.serve.see import ROUTES, Tensors
from nextword.serve.tensors import CONTENT_TYPE, pack
from nextword.serve.traces import Traces

ResultT = TypeVar("ResultT")
HUNG_UP = 499  # nginx's number for an answer that nobody waits for


def make_app(lm: LanguageModel, *, hosts: frozenset[str] = LOOPBACK) -> Starlette:
    """The application that serves a model and its page.

    Args:
        lm: the model.
        hosts: the names under which it may be asked; see `Guard`.

    Returns:
        It, with `state.stopping`: once True, replies end after the step that they are at.
    """
    model, pages = _Model(lm), _Pages()
    routes = [
        Route("/", pages.answer, methods=["GET"]),
        Route("/page/{path:path}", pages.answer, methods=["GET"]),
        Route("/api/model", model.card, methods=["GET"]),
        Route("/api/read", model.read, methods=["POST"]),
        Route("/api/reply", model.reply, methods=["POST"]),
        *(Route(path, model.see, methods=["POST"]) for path in ROUTES),
    ]
    guard = Middleware(Guard, hosts=hosts, version=lambda: lm.version)
    handlers: dict[Any, Any] = {HTTPException: _no_route}
    app = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.stopping = False
    return app


def _no_route(_: Request, error: HTTPException) -> Response:
    """What the router refuses, in the shape of every error."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = RequestError(f"this address takes only {allowed}", status=405, code="bad_method")
    else:
        problem = RequestError("there is nothing here", status=404, code="not_found")
    status, value = refusal(problem)
    return _json(value, status=status, headers=dict(error.headers or {}))


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        to_bytes(value), status_code=status, media_type="application/json", headers=headers
    )


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

    def __init__(self, lm: LanguageModel) -> None:
        self._lm = lm
        self._traces = Traces(lm)
        self._turn = asyncio.Lock()
        assert lm.version  # worked out now, and then known

    async def card(self, request: Request) -> Response:
        """What the model is."""
        return _json(exact(await self._run(request, lambda: card(self._lm))))

    async def read(self, request: Request) -> Response:
        """Verdicts at every position."""
        body = parse(Read, await request.body())

        def work() -> dict[str, Any]:
            self._check(body)
            ids, read_as, notes = read_ids(self._lm, body)
            trace = self._traces.get(ids)
            return read(trace, version=self._lm.version, ids=ids, read_as=read_as, notes=notes)

        return _json(exact(await self._run(request, work)))

    async def see(self, request: Request) -> Response:
        """One view of a sentence's trace."""
        kind, look = ROUTES[request.url.path]
        body = parse(kind, await request.body())

        def work() -> Response:
            self._check(body)
            answer = look(self._traces.get(body.ids), body)
            if isinstance(answer, Tensors):
                content = pack(answer.tensors, version=self._lm.version, meta=answer.meta)
                return Response(content, media_type=CONTENT_TYPE)
            return _json(exact(answer.value))

        return await self._run(request, work)

    async def reply(self, request: Request) -> Response:
        """A reply, token by token."""
        body = parse(ReplyTo, await request.body())

        def work() -> Replying:
            self._check(body)
            return Replying(self._lm, body)

        replying = await self._run(request, work)
        return StreamingResponse(
            self._lines(request, replying.events()), media_type="application/x-ndjson"
        )

    async def _lines(self, request: Request, events: Iterator[Event]) -> AsyncIterator[bytes]:
        """One line of JSON for each event; other questions may come between two of them."""
        while True:
            try:
                event = await self._run(request, lambda: next(events, None))
            except Exception as error:
                event = {"event": "error"} | refusal(error)[1]
            if event is None:
                return
            yield to_bytes(event) + b"\n"
            if event["event"] == "error":
                return

    async def _run(self, request: Request, work: Callable[[], ResultT]) -> ResultT:
        """Work on the model, in a thread, when all who asked before have their answer.

        One thread at a time. A question whose asker has gone while it waited, as when the pointer
        moves on, is not worked out any more; one that is being worked out keeps its turn.
        """
        async with self._turn:
            if await request.is_disconnected():
                raise RequestError("nobody waits for this", status=HUNG_UP, code="hung_up")
            if request.app.state.stopping:
                raise RequestError("the server was stopped", status=503, code="stopped")
            return await run_in_threadpool(work)

    def _check(self, body: Body) -> None:
        check_version(body, self._lm.version)
        if isinstance(body, Sentence):
            check_ids(body.ids, self._lm.config)
            check_places(body, self._lm.config)
