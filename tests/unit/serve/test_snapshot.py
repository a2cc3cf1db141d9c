"""What is recorded of a sentence, and the file that holds it."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serve.models import SENTENCE, article, talker

from nextword.errors import ConfigError, ContextError
from nextword.language_model import LanguageModel
from nextword.serve import snapshot
from nextword.serve.html_export import IMPORT, MAIN, STYLES, import_map, make_html, write_html
from nextword.serve.responses import compact
from nextword.serve.routes.routes_trace import ROUTES
from nextword.serve.snapshot import Start, record_page
from nextword.serve.static_files import INDEX, Page, page_files


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return article()


def asked(record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The bodies that are answered, by route."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key in record["responses"]:
        route, _, body = key.partition(" ")
        found.setdefault(route, []).append(json.loads(body))
    return found


def test_everything_of_a_small_model_is_recorded(lm: LanguageModel) -> None:
    ids = lm.ids("the cat sat")
    record = record_page(lm, ids, Start(2, 0, 0))
    assert (record["version"], record["limited"]) == (lm.version, False)
    assert record["start"] == {"position": 2, "layer": 0, "head": 0}
    bodies = asked(record)
    assert set(bodies) == set(ROUTES)
    assert bodies["/api/see/row"] == [{"position": place, "layer": 0} for place in range(3)]
    assert bodies["/api/see/map"] == [{"layer": 0, "head": 0}]
    assert bodies["/api/see/lens"] == [{"positions": [0, 1, 2]}]
    nobody = {"token": None, "against": None}
    assert bodies["/api/see/account"] == [{"position": place} | nobody for place in range(3)]
    equations = bodies["/api/see/equation"]
    assert {"name": "blocks.0.attention.query", "index": [0, 2, 1]} in equations
    logits = [item["index"] for item in equations if item["name"] == "logits"]
    assert logits == [[t, v] for t in range(3) for v in range(lm.config.vocab_size)]


def test_keys_are_what_javascript_writes(lm: LanguageModel) -> None:
    record = record_page(lm, lm.ids("the cat"), Start(1, 0, 0))
    assert '/api/see/account {"position":1,"token":null,"against":null}' in record["responses"]
    assert "/api/see/overview {}" in record["responses"]
    name = '"name":"blocks.0.residual_mid","index":[1,0]'
    assert f"/api/see/equation {{{name}}}" in record["responses"]
    ends = record["responses"]['/api/see/ends {"position":1}']
    assert b'"token_embedding"' in base64.b64decode(ends["tensors"])
    assert "sentences" in record["responses"]['/api/see/narrate {"position":1}']["json"]


def test_what_is_too_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = talker()
    ids = [1, 2, 3, 4, 5] * 7
    whole = record_page(lm, ids, Start(3, 1, 2))
    assert "/api/see/equation" not in asked(whole)  # it is wider than the page has tables for
    assert asked(whole)["/api/see/lens"] == [
        {"positions": list(range(32))}, {"positions": [32, 33, 34]},
    ]  # fmt: skip
    monkeypatch.setattr(snapshot, "MOST_TEXT", 100_000)
    record = record_page(lm, ids, Start(3, 1, 2))
    assert record["limited"] is True
    bodies = asked(record)
    assert {body["position"] for body in bodies["/api/see/row"]} == {3, 34}
    assert {body["layer"] for body in bodies["/api/see/row"]} == {0, 1}
    assert bodies["/api/see/map"] == [{"layer": 1, "head": head} for head in range(4)]
    assert set(record["responses"]) < set(whole["responses"])


def test_equations_go_first(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = lm.ids("the cat")
    whole = record_page(lm, ids, Start(0, 0, 0))
    views = {key: value for key, value in whole["responses"].items() if "equation" not in key}
    room = sum(len(key) + len(compact(value)) for key, value in views.items())
    monkeypatch.setattr(snapshot, "MOST_TEXT", room)
    record = record_page(lm, ids, Start(0, 0, 0))
    assert (record["limited"], "/api/see/equation" in asked(record)) == (False, False)
    assert len(asked(record)["/api/see/row"]) == 2


@pytest.mark.parametrize("place", [{"position": 2}, {"layer": 1}, {"head": -2}])
def test_it_opens_on_what_is_there(
    lm: LanguageModel, tmp_path: Path, place: dict[str, int]
) -> None:
    with pytest.raises(ConfigError, match=next(iter(place))):
        write_html(lm, lm.ids("the cat"), tmp_path / "see.html", **place)


def test_a_sentence_must_fit(lm: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="17 tokens"):
        write_html(lm, [0] * 17, tmp_path / "see.html")


FILES = {
    INDEX: (
        "<html><head>\n"
        + "".join(f'<link rel="stylesheet" href="/page/{style}">\n' for style in STYLES)
        + '<!-- recorded -->\n<script type="module" src="/page/js/main.js"></script></head></html>'
    ),
    "page.css": "a { color: red }",
    "panels.css": "",
    "deep.css": "",
    "teach.css": "",
    MAIN: "// @ts-check\nimport { a } from './a.js';\nimport './deep/b.js';\nconst c = './d.js';\n",
    "js/a.js": "import{x}from\"../vendor/x.js\";export{x as default}from'./deep/b.js';",
    "js/deep/b.js": "/** @type {import('../a.js').A} */\nexport const b = './nowhere.js';",
    "js/unused.js": "",
    "vendor/x.js": "export const x=1",
}


def pages(files: dict[str, str]) -> dict[str, Page]:
    return {path: Page(text.encode(), "", "") for path, text in files.items()}


def test_modules_are_named_and_followed() -> None:
    made = {
        name: base64.b64decode(address.partition(",")[2]).decode()
        for name, address in import_map(FILES).items()
    }
    assert set(made) == {
        "nextword/js/main.js", "nextword/js/a.js", "nextword/js/deep/b.js", "nextword/vendor/x.js",
    }  # fmt: skip
    assert made["nextword/js/main.js"] == (
        "// @ts-check\nimport { a } from 'nextword/js/a.js';\nimport 'nextword/js/deep/b.js';\n"
        "const c = './d.js';\n"
    )
    assert made["nextword/js/a.js"] == (
        "import{x}from\"nextword/vendor/x.js\";export{x as default}from'nextword/js/deep/b.js';"
    )
    assert made["nextword/js/deep/b.js"] == FILES["js/deep/b.js"]


def test_the_file_holds_everything_and_reaches_nothing() -> None:
    recorded = json.dumps({"text": "</script><img src=x onerror=alert(1)><!--"})
    html = make_html(pages(FILES), recorded)
    assert "<style>\na { color: red }\n</style>" in html
    assert "<img" not in html
    assert "<!--" not in html
    (data,) = re.findall(r'id="nextword-recorded">(.*?)</script>', html)
    assert json.loads(data) == json.loads(recorded)
    assert "default-src 'none'; script-src 'unsafe-inline' data:" in html
    assert not re.search(r'(?:src|href)="/', html)


def test_a_page_without_its_marks_is_the_programmers_mistake() -> None:
    broken = FILES | {INDEX: FILES[INDEX].replace("<!-- recorded -->", "")}
    with pytest.raises(AssertionError, match="recorded"):
        make_html(pages(broken), "{}")
    with pytest.raises(AssertionError, match="no file of the page"):
        import_map(FILES | {"js/a.js": "import './gone.js'"})


def test_a_file_is_never_written_over_what_is_no_such_page(
    lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nextword.serve.html_export.page_files", lambda: pages(FILES))
    path, ids = tmp_path / "see.html", lm.ids("the cat")
    size = write_html(lm, ids, path)
    assert path.stat().st_size == size
    write_html(lm, ids, path, position=0)
    assert '"start":{"position":0,' in path.read_text()
    path.write_text("my own notes")
    with pytest.raises(ConfigError, match="left as it is"):
        write_html(lm, ids, path)
    assert path.read_text() == "my own notes"
    with pytest.raises(ConfigError, match="is a folder"):
        write_html(lm, ids, tmp_path)


def test_the_page_can_be_exported() -> None:
    """Only imports that the exporter sees, and none that it cannot follow."""
    text = {path: page.content.decode() for path, page in page_files().items()}
    scripts = {path: content for path, content in text.items() if path.endswith(".js")}
    for path, content in scripts.items():
        code = re.sub(r"/\*.*?\*/", "", content, flags=re.DOTALL)
        assert "import.meta" not in code, path
        assert not re.search(r"\bimport\s*\(", code), path
        found = re.findall(r"""\b(?:import|export)\b[^"'`;()=]*["']([^"'\n]+)["']""", code)
        assert all(name.startswith(("./", "../")) for name in found), path
        assert len(found) == len(IMPORT.findall(code)), path
    assert {name.removeprefix("nextword/") for name in import_map(text)} == set(scripts)


def test_the_whole_page_becomes_one_file(tmp_path: Path) -> None:
    lm = talker()
    size = write_html(lm, lm.ids(SENTENCE), tmp_path / "see.html", position=2, layer=1, head=3)
    html = (tmp_path / "see.html").read_text()
    assert size < 4_000_000
    assert '"start":{"position":2,"layer":1,"head":3}' in html
