"""The page with one recorded sentence as a single file: to share, read offline, and keep.

The modules of the page stay as they are, but for the names in their imports: an import map gives
each its content as a `data:` address. The file's policy lets it reach no network.
"""

import base64
import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nextword.common.files import disk_error, write_whole
from nextword.errors import ConfigError
from nextword.interpret.points import check_place
from nextword.language_model import LanguageModel
from nextword.serve.responses import compact
from nextword.serve.schemas import check_ids
from nextword.serve.snapshot import Start, record_page
from nextword.serve.static_files import INDEX, Page, page_files

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
)
MAIN = "js/main.js"
STYLES = ("page.css", "panels.css", "deep.css", "teach.css")
RECORDED = '<script type="application/json" id="nextword-recorded">'
_HEAD_SIZE = 1 << 20  # bytes of an existing file in which RECORDED is looked for
# `import … from "./x.js"`, `export … from "./x.js"`, `import "./x.js"`; no import(…), no values
IMPORT = re.compile(r"""(\b(?:import|export)\b[^"'`;()=]*)(["'])(\.{1,2}/[^"'\n]+)\2""")


def write_html(
    lm: LanguageModel,
    ids: Sequence[int],
    path: Path,
    *,
    position: int = -1,
    layer: int = 0,
    head: int = 0,
) -> int:
    """Write the page with all that it may ask about one sentence; returns the file's bytes.

    Args:
        ids: the sentence.
        path: a new file, or such a page, which is replaced.
        position, layer, head: what it opens on, from 0, or from the end when below 0.

    Raises:
        ConfigError: the file holds something else; there is no such position, layer or head.
        ContextError, DataError: the sentence is too long, or empty.
        RequestError: it has a token that is not in the vocabulary.
        RunError: the file cannot be written.
    """
    check_replaceable(path)
    check_ids(ids, lm.config)
    start = Start(
        check_place("position", position, len(ids)),
        check_place("layer", layer, lm.config.n_layers) if lm.config.n_layers else 0,
        check_place("head", head, lm.config.n_heads) if lm.config.n_layers else 0,
    )
    content = make_html(page_files(), compact(record_page(lm, ids, start))).encode("utf-8")
    write_whole(path, content)
    return len(content)


def check_replaceable(path: Path) -> None:
    """Refuse to write over anything but a page of this kind.

    Raises:
        ConfigError: the file holds something else, or is none.
        RunError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD_SIZE)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; give the name of a file in it") from None
    except OSError as error:
        raise disk_error(path, error) from error
    if RECORDED.encode() not in start:
        raise ConfigError(
            f"{path} is there already and is no page of Nextword, so it is left as it is; "
            "give another name, or move it away"
        )


def make_html(files: Mapping[str, Page], recorded: str) -> str:
    """One file of the page's files and a recorded sentence.

    Args:
        files: of the page, by path.
        recorded: JSON, see `recording.py`.
    """
    text = {path: page.content.decode("utf-8") for path, page in files.items()}
    html = text[INDEX]
    for style in STYLES:
        link = f'<link rel="stylesheet" href="/page/{style}">'
        html = _replaced(html, link, f"<style>\n{_inert(text[style])}\n</style>")
    policy = f'<meta http-equiv="content-security-policy" content="{POLICY}">'
    html = _replaced(html, "<head>", f"<head>\n{policy}")
    # In JSON "<" stands only in texts; written as an escape it can end no script.
    data = recorded.replace("<", "\\u003c")
    html = _replaced(html, "<!-- recorded -->", f"{RECORDED}{data}</script>")
    modules = json.dumps({"imports": import_map(text)})
    start = (
        f'<script type="importmap">{modules}</script>\n'
        f'<script type="module">import "nextword/{MAIN}"</script>'
    )
    return _replaced(html, f'<script type="module" src="/page/{MAIN}"></script>', start)


def import_map(text: Mapping[str, str]) -> dict[str, str]:
    """Every module that MAIN needs, by its name, as a `data:` address."""
    found: dict[str, str] = {}
    waiting = [MAIN]
    while waiting:
        path = waiting.pop()
        name = f"nextword/{path}"
        if name in found:
            continue
        content, needed = _renamed(text, path)
        encoded = base64.b64encode(content.encode("utf-8")).decode("ascii")
        found[name] = f"data:text/javascript;base64,{encoded}"
        waiting += needed
    return found


def _renamed(text: Mapping[str, str], path: str) -> tuple[str, list[str]]:
    """A module with the full names of what it imports, and their paths."""
    needed: list[str] = []

    def rename(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[3]))
        assert target in text, f"{path} imports {match[3]}, which is no file of the page"
        needed.append(target)
        return f"{match[1]}{match[2]}nextword/{target}{match[2]}"

    return IMPORT.sub(rename, text[path]), needed


def _inert(style: str) -> str:
    assert "</" not in style, "a style sheet would end its own element"
    return style


def _replaced(html: str, old: str, new: str) -> str:
    assert html.count(old) == 1, f"{INDEX} must hold this exactly once: {old}"
    return html.replace(old, new)
