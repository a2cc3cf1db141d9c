"""Strangers who hold a connection open, or send without end, over a real socket."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.unit.serve.models import article

from nextword.cli.replying.serve import listen
from nextword.serve import connections
from nextword.serve.app import make_app
from nextword.serve.security import HEADERS
from nextword.serve.server import _Server

POST = b"POST /api/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SECONDS = 0.3  # that a request may take in these tests


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", SECONDS)
    monkeypatch.setattr(connections, "LINGER_SECONDS", SECONDS)


@pytest.fixture
def port() -> Iterator[int]:
    ready = threading.Event()
    lm = article(context=3000)
    lm.decoder.unembedding.bias.data[lm.tokenizer.end_id] = -1e9  # its replies never end
    with listen("127.0.0.1", 0) as listener:
        server = _Server(make_app(lm), ready.set, lambda: None)
        server.config.timeout_keep_alive = 1
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert ready.wait(20)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def stranger(port: int, sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts: list[bytes] = []
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[",
        b"GET /api/model HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET ",  # a second one, half
    ],
)
def test_a_request_that_does_not_come_to_its_end_is_closed(port: int, sent: bytes) -> None:
    started = time.monotonic()
    with stranger(port, sent) as connection:
        answer = everything(connection)
    assert time.monotonic() - started < 20 * SECONDS
    assert answer.startswith(b"HTTP/1.1 200 ") == sent.endswith(b"GET ")


def test_one_byte_at_a_time_gains_no_time(port: int) -> None:
    started = time.monotonic()
    with stranger(port, b"GET / HTTP/1.1\r\nX: ") as connection, pytest.raises(OSError):
        while time.monotonic() - started < 40 * SECONDS:
            connection.sendall(b"x")
            time.sleep(SECONDS / 10)
    assert time.monotonic() - started < 20 * SECONDS


def test_a_slow_client_that_goes_on_is_answered(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BYTES_PER_SECOND", 10.0)
    body = json.dumps({"turns": ["the cat"], "mode": "auto", "version": None}).encode()
    with stranger(
        port, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) as it:
        for place in range(0, len(body), 8):
            it.sendall(body[place : place + 8])
            time.sleep(SECONDS / 4)
        assert everything(it).startswith(b"HTTP/1.1 200 ")


def test_a_long_answer_is_not_cut_by_the_times_of_requests(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = json.dumps({"ids": [0], "config": {"temperature": 1}})
    client.request("POST", "/api/reply", body, {"Content-Type": "application/json"})
    answer = client.getresponse()
    started, lines = time.monotonic(), 0
    while time.monotonic() - started < 4 * SECONDS:
        assert json.loads(answer.readline())["event"] in ("start", "step")
        lines += 1
    assert lines > 3
    client.close()


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 900000000000", b"Transfer-Encoding: chunked"]
)
def test_a_body_without_end_is_cut_off(port: int, framing: bytes) -> None:
    chunk = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
    started, sent = time.monotonic(), 0
    with stranger(port, POST + framing + b"\r\n\r\n") as connection, pytest.raises(OSError):
        while time.monotonic() - started < 40 * SECONDS:
            connection.sendall(chunk)
            sent += len(chunk)
    assert sent < 100_000_000
    with stranger(port, POST + framing + b"\r\n\r\n" + chunk * 17) as connection:
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer


def test_two_lengths_are_refused_and_the_connection_is_closed(port: int) -> None:
    smuggled = b"GET /api/model HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with stranger(port, POST + both + smuggled) as connection:
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"code":"bad_framing"' in answer
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "sent", [b"no http\r\n\r\n", POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"]
)
def test_what_is_no_http_is_refused_with_the_guards_headers(port: int, sent: bytes) -> None:
    with stranger(port, sent) as connection:
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    for name, value in HEADERS.items():
        assert f"{name}: {value}".encode() in answer


def test_of_too_many_connections_the_longest_waiting_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 20.0)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    held = []
    for _ in range(9):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        held[-1].sendall(b"G")
        time.sleep(0.02)
    assert everything(held[0]) == b""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", "/api/model")
    assert client.getresponse().status == 200
    client.close()
    for connection in held:
        connection.close()
