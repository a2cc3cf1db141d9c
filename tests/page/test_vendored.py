"""What is vendored is what was published, and what is served stays small."""

import re
from pathlib import Path

import pytest
from tests.page import vendor_files

PAGE = vendor_files.ROOT / "src/nextword/serve/page"
MOST_BYTES = 400_000
NOT_SERVED = ("*.d.ts", "README.md", "LICENSE", "vendored.json")


@pytest.mark.parametrize("list_path", vendor_files.LISTS, ids=lambda path: path.parts[-5])
def test_checksums(list_path: Path) -> None:
    assert vendor_files.differences(list_path) == []


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(b"changed")
    (tmp_path / "stranger.js").write_bytes(b"")
    (tmp_path / "vendored.json").write_text('[{"file": "a.js", "sha256": "00"}]')
    changed, stranger = vendor_files.differences(tmp_path / "vendored.json")
    assert "expected 00" in changed
    assert "stranger.js: not named" in stranger


def test_a_module_is_linked_anew_and_its_strings_are_left_alone() -> None:
    published = (
        b'import{a}from"lit-html/is-server.js";export*from"lit-html";import"./near.js";'
        b'f("lit-html")\n//# sourceMappingURL=a.js.map\n'
    )
    assert vendor_files.for_browsers(published) == (
        b'import{a}from"./is-server.js";export*from"./lit-html.js";import"./near.js";'
        b'f("lit-html")\n'
    )


def served_files() -> list[Path]:
    """The files of the page that a browser may ask for."""
    files = (path for path in PAGE.rglob("*") if path.is_file())
    return [path for path in files if not any(path.match(name) for name in NOT_SERVED)]


def test_what_is_served_is_small() -> None:
    sizes = {path.relative_to(PAGE).as_posix(): path.stat().st_size for path in served_files()}
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert {Path(name).suffix for name in sizes} == {".html", ".css", ".js"}


def test_nothing_names_another_address() -> None:
    """No address of the network stands in a file of the page, but for names and licences."""
    for path in served_files():
        found = re.findall(r"""(?:src|href|url|from|fetch|import)\W{1,3}(https?:[^\s"')]+)""",
                           path.read_text(encoding="utf-8"))  # fmt: skip
        assert found == [], path
