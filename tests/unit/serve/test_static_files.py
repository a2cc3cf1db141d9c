"""The files of the page, and that nothing else is served."""

import pytest
from starlette.applications import Starlette
from tests.unit.serve.calls import call
from tests.unit.serve.models import article

from nextword.serve.app import make_app
from nextword.serve.static_files import page_files


@pytest.fixture(scope="module")
def app() -> Starlette:
    return make_app(article())


def test_what_has_no_route(app: Starlette) -> None:
    for path in ("/nothing", "/api/nothing", "/api/see/", "/page/nothing.js", "/page"):
        reply = call(app, "GET", path)
        assert (reply.status, reply.error["code"]) == (404, "not_found")
    reply = call(app, "GET", "/api/read")
    assert (reply.status, reply.error["code"]) == (405, "bad_method")
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py", "/page/%2e%2e/app.py", "/page//etc/passwd", "/page/..\\app.py",
        "/page/js/../../guard.py", "/page/vendor/lit/LICENSE", "/page/vendor/vendored.json",
        "/page/vendor/README.md", "/page/vendor/lit/index.d.ts", "/page/index.html\x00.js",
        "/page/./index.html", "/page/INDEX.HTML",
    ],
)  # fmt: skip
def test_nothing_beside_the_page_is_served(app: Starlette, path: str) -> None:
    assert call(app, "GET", path).status == 404


def test_a_file_the_browser_has_is_not_sent_again(app: Starlette) -> None:
    path = "/page/vendor/lit/lit-html.js"
    first = call(app, "GET", path)
    assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = call(app, "GET", path, headers=[("if-none-match", first.headers["etag"])])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["content-security-policy"].startswith("default-src 'none'")


def test_only_what_a_browser_needs_is_served() -> None:
    found = page_files()
    assert "vendor/lit/lit-html.js" in found
    assert {path.rpartition(".")[2] for path in found} <= {"html", "css", "js"}
    assert not [path for path in found if path.startswith(("/", "."))]
    page = found["vendor/lit/index.js"]
    assert page.media_type == "text/javascript; charset=utf-8"
    assert len(page.etag) == 66
