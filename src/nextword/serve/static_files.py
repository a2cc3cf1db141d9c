"""The files of the page, read once into a table: no request ever makes a path."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
INDEX = "index.html"


@dataclass(frozen=True)
class Page:
    """One file of the page."""

    content: bytes
    media_type: str
    etag: str


def page_files() -> dict[str, Page]:
    """The files that a browser needs, by their path in the folder `page`.

    Licences, type declarations and notes for people lie there, too, and are not served.
    """
    found = dict(_walk(files("nextword.serve") / "page", PurePosixPath()))
    return {path: _page(path, content) for path, content in sorted(found.items())}


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        inside = path / item.name
        if item.is_dir():
            yield from _walk(item, inside)
        elif inside.suffix in TYPES:
            yield inside.as_posix(), item.read_bytes()


def _page(path: str, content: bytes) -> Page:
    digest = hashlib.sha256(content).hexdigest()
    return Page(content, TYPES[PurePosixPath(path).suffix], f'"{digest}"')
