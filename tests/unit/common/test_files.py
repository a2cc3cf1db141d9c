"""Files written whole or not at all, and read with errors that say where."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nextword.common import files
from nextword.common.files import (
    append_line,
    disk_error,
    flush,
    read_bytes,
    read_json,
    read_text,
    sha256_file,
    sweep,
    sync_folder,
    write_json,
    write_whole,
)
from nextword.errors import FolderError, RunError


@pytest.mark.parametrize("content", [b"\x00\xff", b"", "grüße\n", "a\r\nb"])
def test_what_is_written_is_what_is_read(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "note.txt"
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [item.name for item in tmp_path.iterdir()] == ["note.txt"]


def test_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("a much longer old text")
    write_whole(path, "new")
    assert path.read_text() == "new"


def test_the_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flushed, then renamed, then the folder flushed: the order that survives a power cut."""
    happened: list[str] = []

    def noting(what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            happened.append(what)
            return act(*arguments)

        return noted

    monkeypatch.setattr(files, "sync", noting("sync", files.sync))
    monkeypatch.setattr(Path, "replace", noting("rename", Path.replace))
    monkeypatch.setattr(files, "sync_folder", noting("folder", files.sync_folder))
    write_whole(tmp_path / "note.txt", "x")
    assert happened == ["sync", "rename", "folder"]


@pytest.mark.parametrize("fails_at", ["sync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files if fails_at == "sync" else Path, fails_at, full)
    with pytest.raises(RunError, match=r"the disk is full: .*note\.txt could not be written"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["note.txt"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"absent.*note\.txt.* could not be written: No such"):
        write_whole(tmp_path / "absent" / "note.txt", "x")


def test_a_full_disk_says_what_to_do() -> None:
    full = disk_error(Path("a/b"), OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(full, RunError)
    assert "free some space and run the same command again" in str(full)
    refused = str(disk_error(Path("a/b"), PermissionError(errno.EACCES, "Permission denied")))
    assert refused.startswith(f"{Path('a/b')} may not be used: Permission denied. Give yourself")
    other = str(disk_error(Path("a/b"), OSError(errno.EIO, "Input/output error")))
    assert other == f"{Path('a/b')} could not be written: Input/output error"


def test_a_folders_names_can_be_flushed(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "absent")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 7])
def test_the_checksum_of_a_file_read_in_blocks(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    path = tmp_path / "weights"
    path.write_bytes(content[:size])
    assert sha256_file(path) == hashlib.sha256(content[:size]).hexdigest()


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"word": "猫", "sizes": [2, 3.5, None, True], "nested": {"a": "\n"}}
    path = tmp_path / "config.json"
    write_json(path, value)
    assert read_json(path) == value
    text = path.read_text(encoding="utf-8")
    assert "猫" in text
    assert text.endswith("}\n")
    assert text == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n  "a": 1,\n  "b": }\n', r"c\.json is not valid JSON: .* at line 3, column 8"),
        (b"", r"c\.json is not valid JSON: .* at line 1, column 1"),
        (b'{"a": "\xff"}', r"c\.json is not UTF-8 text"),
        (
            b'{"a": ' + b"7" * 5000 + b"}",
            r"a number has 5000 digits; at most 400",
        ),
        (b'{"a": "\\ud83d"}', r"c\.json holds half a character"),
        (b'{"\\uDE00": 1}', r"c\.json holds half a character"),
        (b"[" * 99_999, r"c\.json is nested too deeply"),
        (b"version https://git-lfs.github.com/spec/v1\noid", r"Git LFS pointer.*git lfs pull"),
        (None, r"c\.json does not exist"),
    ],
)
def test_broken_json_is_named_with_its_place(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FolderError, match=message):
        read_json(path)


def test_a_byte_order_mark_is_left_out_and_whole_characters_stay(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"a": "\\ud83d\\ude00"}')
    assert read_json(path) == {"a": "😀"}
    assert read_text(path).startswith("{")


class TestBounds:
    def test_a_larger_file_is_refused_with_both_numbers(self, tmp_path: Path) -> None:
        path = tmp_path / "c.json"
        path.write_bytes(b"x" * 7)
        assert read_bytes(path, limit=7) == b"x" * 7
        with pytest.raises(FolderError, match=r"c\.json has 7 bytes; at most 6 are allowed"):
            read_bytes(path, limit=6)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes with names")
    def test_what_is_no_file_is_refused_and_never_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "linked").symlink_to("pipe")
        (tmp_path / "zero").symlink_to("/dev/zero")
        (tmp_path / "folder").mkdir()
        for name, kind in (
            ("pipe", "a pipe"),
            ("linked", "a pipe"),
            ("zero", "a device"),
            ("folder", "a folder"),
        ):
            with pytest.raises(FolderError, match=f"{name} is {kind}, not a file"):
                read_json(tmp_path / name)

    def test_a_link_to_nothing_is_named_with_its_target(self, tmp_path: Path) -> None:
        (tmp_path / "c.json").symlink_to("../blobs/17")
        with pytest.raises(FolderError, match=r"is a link to \.\./blobs/17, which does not exist"):
            read_json(tmp_path / "c.json")


def test_lines_are_appended_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.jsonl"
    append_line(path, b"one\n")
    append_line(path, b"two\n")
    flush(path)
    open_ = Path.open

    class Full:
        """A file that takes three bytes and no more."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.file = open_(*arguments, **options)

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, line: bytes) -> int:
            return int(self.file.write(line[:3]))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *of, **how: Full(*of, **how))
        with pytest.raises(RunError, match="the disk is full"):
            append_line(path, b"three\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".note.txt.7.partial").touch()
    (tmp_path / ".folder.partial").mkdir()
    (tmp_path / "note.txt").touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".folder.partial", "note.txt"}
