"""Connections that hold nobody up: each request must come within a time, and only so many at once.

uvicorn bounds how long a connection may idle between two requests, but neither how long a request
may take to come nor how many connections are open.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from nextword.serve.responses import refusal, to_bytes
from nextword.serve.security import HEADERS, bad_framing

MAX_CONNECTIONS = 256  # open at once; of more, the one that has waited longest is closed
REQUEST_SECONDS = 20.0  # for a request to come, head and body, and a second more …
BYTES_PER_SECOND = 1000.0  # … for each so many bytes that have come of it
STALLED_SECONDS = 120.0  # in which who reads an answer must have taken some of it
LINGER_SECONDS = 2.0  # that an unread body is still taken in, so that its sender reads the answer
LINGER_BYTES = 8_000_000  # of it at most


class Connection(H11Protocol):
    """One connection; see uvicorn's, which does the work."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began = 0.0  # on the loop's clock, when what is awaited was first awaited
        self._came = 0  # bytes since then
        self._lingers = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # --- what uvicorn calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, in place of one that waits where there are too many."""
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > MAX_CONNECTIONS:
            waiting = [item for item in self.connections if isinstance(item, Connection)]
            longest = min((item for item in waiting if item.waits), key=lambda item: item._began)
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that has ended."""
        for name in list(self._timers):
            self._cancel(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the answer has been given already."""
        self._came += len(data)
        if self._lingers:
            if self._came > LINGER_BYTES:
                self.transport.abort()
            return
        was_waiting = self.waits and "request" in self._timers
        super().data_received(data)
        if not self.waits:
            self._cancel("request")
        elif not was_waiting:
            self._await_request()

    def on_response_complete(self) -> None:
        """Await the next request; a body that is still to come is cut off instead."""
        if self.conn.their_state is h11.SEND_BODY:
            self._linger()
            return
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, as every error is refused."""
        self._cancel("request")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            status, value = refusal(bad_framing(msg))
            body = to_bytes(value)
            headers = {"content-type": "application/json", "content-length": str(len(body))}
            headers |= {"connection": "close", "cache-control": "no-store", **HEADERS}
            response = h11.Response(status_code=status, headers=list(headers.items()))
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for who reads an answer too slowly, but not for ever."""
        super().pause_writing()
        self._start("write", STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: some of it was taken."""
        self._cancel("write")
        super().resume_writing()

    # --- requests that are awaited ---------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a request, or the rest of one, is still to come."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _await_request(self) -> None:
        self._began, self._came = self.loop.time(), 0
        self._start("request", REQUEST_SECONDS, self._check_request)

    def _check_request(self) -> None:
        """Close the connection, unless enough has come to wait longer."""
        earned = REQUEST_SECONDS + self._came / BYTES_PER_SECOND
        left = self._began + earned - self.loop.time()
        if left > 0:
            self._start("request", left, self._check_request)
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Say that this is all, and close when the sender has had time to read it."""
        self._lingers, self._came = True, 0
        self._cancel("request")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._start("linger", LINGER_SECONDS, self.transport.abort)

    def _start(self, name: str, seconds: float, call: Any) -> None:
        self._cancel(name)
        self._timers[name] = self.loop.call_later(seconds, call)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
