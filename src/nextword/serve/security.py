"""The guard at the door: who may ask, how much, and what every answer forbids the browser.

The server listens on this machine, but so does every page that a person has open: a stranger's
page can send requests here, and a stranger's domain can be made to point here (DNS rebinding).
So the Host must be one of ours, the Origin our own, and a POST must be JSON, which another
origin cannot send without asking first.
"""

import ipaddress
import re
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nextword.serve.responses import UNTOUCHED, VERSION, RequestError, refusal, to_bytes

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # what a server listens on to be reached by every one
LARGEST_BODY = 1_000_000  # bytes
BAD_FRAMING = "bad_framing"
METHODS = ("GET", "HEAD", "POST")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)


class Guard:
    """ASGI middleware around everything that the server answers, its errors too.

    Args:
        app: what it guards.
        hosts: the names that the Host header may have. With an address of ANY_ADDRESS among
            them, any address in digits, too: only a name can be made to point elsewhere.
        version: gives the version of the model's weights, at once; for the answers of the API that
            do not say themselves for which they are.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], version: Callable[[], str]) -> None:
        self.app = app
        self.hosts = hosts
        self.version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(send, self.version if _is_api(scope) else None)
        try:
            self._check(scope)
            if scope["method"] == "POST":
                receive = await _read(receive)
            await self.app(scope, receive, answer.send)
        except _GoneError:
            return
        except UNTOUCHED:
            raise
        except BaseException as error:  # a library's panic is no Exception
            await answer.refuse(error)

    def _check(self, scope: Scope) -> None:
        """Refuse a request that no page of ours would send."""
        if _all(scope, b"content-length") and _all(scope, b"transfer-encoding"):
            raise bad_framing("the request has both a Content-Length and a Transfer-Encoding")
        if scope["method"] not in METHODS:
            allowed = ", ".join(METHODS)
            raise RequestError(
                f"the method {scope['method'][:20]} is not answered; allowed are: {allowed}",
                status=405,
                code="bad_method",
            )
        host = _only(scope, b"host")
        if host is None or not self._is_ours(host):
            raise RequestError(
                f"the Host of this request is not answered; allowed are: {self._names()}. Open the "
                "address that nextword serve printed",
                status=403,
                code="bad_host",
            )
        self._check_origin(scope, host)
        if scope["method"] == "POST":
            _check_body(scope)

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]")
        return name in self.hosts or bool(self.hosts & ANY_ADDRESS and _is_address(name))

    def _names(self) -> str:
        numbers = ["any address in digits"] if self.hosts & ANY_ADDRESS else []
        return ", ".join([*sorted(self.hosts - ANY_ADDRESS), *numbers])

    def _check_origin(self, scope: Scope, host: str) -> None:
        sites = _all(scope, b"sec-fetch-site") if _is_api(scope) else []
        ours = all(origin == f"http://{host}" for origin in _all(scope, b"origin"))
        if not ours or any(site not in ("same-origin", "none") for site in sites):
            raise RequestError(
                "this request comes from another page, which may not ask this server",
                status=403,
                code="bad_origin",
            )


class _Answer:
    """Sends an answer on, with the guard's headers; or, if none has begun, an error.

    Args:
        version: of the weights, for an answer that does not have one; None: it needs none.
    """

    def __init__(self, send: Send, version: Callable[[], str] | None) -> None:
        self._send = send
        self._version = version
        self._begun = False

    async def send(self, message: Message) -> None:
        """Pass a message of the answer on."""
        if message["type"] == "http.response.start":
            self._begun = True
            message = {**message, "headers": self._with_ours(list(message.get("headers", ())))}
        await self._send(message)

    def _with_ours(self, own: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        there = {name for name, _ in own}
        if b"cache-control" not in there:
            own.append((b"cache-control", b"no-store"))
        if self._version is not None and VERSION.encode() not in there:
            own.append((VERSION.encode(), self._version().encode()))
        return own + [(key.encode(), value.encode()) for key, value in HEADERS.items()]

    async def refuse(self, error: BaseException) -> None:
        """Answer with an error; too late where an answer has begun: then it is cut off."""
        status, value = refusal(error)
        if self._begun:
            return
        body = to_bytes(value)
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        if isinstance(error, RequestError) and error.code == BAD_FRAMING:
            headers.append((b"connection", b"close"))  # what follows may be no request of its own
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


class _GoneError(Exception):
    """Who asked has hung up."""


async def _read(receive: Receive) -> Receive:
    """Read a body, counting as it comes, since its length may not be told; then hand it over.

    Raises:
        RequestError: more than LARGEST_BODY bytes.
    """
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            raise _too_large()
        parts.append(part)
        more = message.get("more_body", False)
    left = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _check_body(scope: Scope) -> None:
    kind = (_only(scope, b"content-type") or "").partition(";")[0].strip()
    if kind != "application/json":
        raise RequestError(
            "a POST must have content-type: application/json",
            status=415,
            code="bad_content_type",
        )
    length = _only(scope, b"content-length") or "0"
    if length.isdecimal() and (len(length) > 12 or int(length) > LARGEST_BODY):
        raise _too_large()


def bad_framing(problem: str) -> RequestError:
    """Return the error for bytes of which nobody can tell where the request ends."""
    return RequestError(problem, status=400, code=BAD_FRAMING)


def _too_large() -> RequestError:
    return RequestError(
        f"the body is too large; at most {LARGEST_BODY} bytes are read",
        status=413,
        code="too_large",
    )


def _is_api(scope: Scope) -> bool:
    return str(scope["path"]).startswith("/api/")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _all(scope: Scope, name: bytes) -> list[str]:
    """Every header of this name, in small letters."""
    return [value.decode("latin-1").lower() for key, value in scope["headers"] if key == name]


def _only(scope: Scope, name: bytes) -> str | None:
    """The header of this name; None if there is none, or if there are several."""
    found = _all(scope, name)
    return found[0] if len(found) == 1 else None
