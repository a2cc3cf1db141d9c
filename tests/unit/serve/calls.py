"""Asks an ASGI application without a network: what a browser, or a stranger, would send."""

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from starlette.types import ASGIApp, Message

HOST = "127.0.0.1:8321"
PATIENCE = 20  # seconds for one answer
PAGE = [("content-type", "application/json"), ("origin", f"http://{HOST}")]
T = TypeVar("T")


@dataclass
class Reply:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    parts: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """What the body says went wrong."""
        return self.json["error"]


def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes | Sequence[bytes] = b"",
    headers: Sequence[tuple[str, str]] = (),
    host: str | None = HOST,
    hang_up_after: int | None = None,
) -> Reply:
    """Send one request.

    Args:
        body: in several parts: as chunks, whose length is not told before.
        headers: besides Host.
        host: None leaves the header out.
        hang_up_after: close the connection after this many parts of the answer; 0: at once.
    """
    return _run(_call(app, method, path, body, list(headers), host, hang_up_after))


def post(app: ASGIApp, path: str, value: Any, **settings: Any) -> Reply:
    """Send JSON, as the page does."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return call(app, "POST", path, body=body, headers=PAGE, **settings)


def post_together(app: ASGIApp, path: str, values: Sequence[Any]) -> list[Reply]:
    """Send many requests at once."""
    headers = [("content-type", "application/json")]

    async def send() -> list[Reply]:
        bodies = [json.dumps(value).encode() for value in values]
        calls = [_call(app, "POST", path, body, headers, HOST, None) for body in bodies]
        return await asyncio.gather(*calls)

    return _run(send())


class Open:
    """An answer that is under way."""

    def __init__(self) -> None:
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._gone = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop
        self.done: Future[Reply]

    async def begin(self, app: ASGIApp, path: str, value: Any) -> Reply:
        """Send the request, and take what comes."""
        self.loop = asyncio.get_running_loop()
        body = json.dumps(value).encode()
        return await _call(
            app, "POST", path, body, PAGE, HOST, None, gone=self._gone, told=self._told
        )

    def _told(self, part: bytes) -> None:
        for line in part.splitlines():
            self._lines.put(json.loads(line))

    def event(self) -> dict[str, Any]:
        """The next event; waits for it."""
        return self._lines.get(timeout=PATIENCE)

    def rest(self) -> list[dict[str, Any]]:
        """All events that are left, up to the end of the answer."""
        self.done.result(PATIENCE)
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    def hang_up(self) -> None:
        """Close the connection; the application may notice only later."""
        self.loop.call_soon_threadsafe(self._gone.set)


class Browser:
    """Asks one application from one event loop, while earlier answers are under way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def begin(self, path: str, value: Any) -> Open:
        """Send JSON, and do not wait for the answer."""
        answer = Open()
        work = answer.begin(self.app, path, value)
        answer.done = asyncio.run_coroutine_threadsafe(work, self._loop)
        return answer

    def post(self, path: str, value: Any) -> Reply:
        """Send JSON, and wait for the answer."""
        return self.begin(path, value).done.result(PATIENCE)

    def get(self, path: str) -> Reply:
        """Ask, and wait for the answer."""
        work = _call(self.app, "GET", path, b"", [], HOST, None)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Await it in a thread of its own: a browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _call(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes | Sequence[bytes],
    headers: list[tuple[str, str]],
    host: str | None,
    hang_up_after: int | None,
    *,
    gone: asyncio.Event | None = None,
    told: Callable[[bytes], None] = lambda part: None,
) -> Reply:
    parts = [body] if isinstance(body, bytes) else list(body)
    reply, gone = Reply(), gone or asyncio.Event()
    if hang_up_after == 0:
        gone.set()
    waiting: list[Message] = [
        {"type": "http.request", "body": part, "more_body": place < len(parts) - 1}
        for place, part in enumerate(parts)
    ]

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            assert len(reply.headers) == len(message["headers"]), "a header stands twice"
        elif message.get("body"):
            reply.parts.append(message["body"])
            told(message["body"])
            if len(reply.parts) == hang_up_after:
                gone.set()

    all_headers = [*([("host", host)] if host is not None else []), *headers]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in all_headers],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8321),
    }
    await asyncio.wait_for(app(scope, receive, send), timeout=PATIENCE)
    reply.body = b"".join(reply.parts)
    return reply
