"""What lies under a path: links, pipes, devices, names of any bytes, other encodings."""

import io
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from tests.unit.data.files import DIALOGUES, LINES, read, refusal, written

from nextword.data.corpus import open_corpus
from nextword.data.dialogue import Text
from nextword.data.records import stdin_copy
from nextword.errors import DataError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_a_dangling_link_names_its_target(tmp_path: Path) -> None:
    link = tmp_path / "a.txt"
    link.symlink_to("gone.txt")
    assert refusal(link).endswith("is a link to gone.txt, which is not there; mend the link")


def test_a_dangling_link_in_a_folder_is_left_out_and_named(tmp_path: Path) -> None:
    written(tmp_path, "data/b.txt", "B")
    (tmp_path / "data" / "a.txt").symlink_to("gone.txt")
    warnings: list[str] = []
    corpus = open_corpus([tmp_path / "data"], warn=warnings.append)
    assert list(corpus) == [Text("B")]
    assert "data/a.txt is a link to gone.txt, which is not there; mend or remove" in warnings[0]
    (tmp_path / "data" / "b.txt").unlink()
    assert "holds 1 files but no text (data/a.txt is a link" in refusal(tmp_path / "data")


def test_a_git_lfs_pointer_is_no_data(tmp_path: Path) -> None:
    path = written(tmp_path, "data/a.jsonl", POINTER)
    assert "a.jsonl is a Git LFS pointer" in refusal(path)
    assert "git lfs pull" in refusal(path)
    written(tmp_path, "data/b.txt", "B")
    assert refusal(tmp_path / "data").endswith("--skip-bad leaves it out")
    assert read(tmp_path / "data", skip_bad=True) == [Text("B")]


def test_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    assert "/dev/zero is a device" in refusal("/dev/zero")
    link = tmp_path / "a.txt"
    link.symlink_to("/dev/zero")
    assert "is a device" in refusal(link)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "is a device or a socket" in refusal(tmp_path / "s")


def test_pipes_and_sockets_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    written(tmp_path, "b.txt", "B")
    assert read(tmp_path) == [Text("B")]


def test_a_pipe_without_a_writer_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin_copy, "WRITER_WAIT", 0.2)
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe, and nothing came from it" in refusal(tmp_path / "pipe")


def test_a_pipe_whose_writer_is_silent_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin_copy, "SILENCE", 0.2)
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        assert "is a pipe, and nothing came from it" in refusal(tmp_path / "pipe")
    finally:
        os.close(descriptor)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(LINES,))
    writer.start()
    assert read(tmp_path / "pipe") == DIALOGUES
    writer.join()


class Endless(io.BytesIO):
    """A stream that never ends."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self.taken = 0

    def read(self, size: int | None = -1) -> bytes:
        self.taken += 1
        return self.content


@pytest.mark.parametrize(
    ("content", "problem", "reads"),
    [(b"\0" * 100, "is a binary file", 1), (b"text\n" * 100, "has more than", 11)],
)
def test_an_endless_stream_is_cut_off_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str, reads: int
) -> None:
    monkeypatch.setattr(stdin_copy, "LARGEST_STREAM", 5000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stream = Endless(content)
    with pytest.raises(DataError, match=problem):
        stdin_copy.Copy(stream, name="standard input")
    assert stream.taken == reads
    assert list(tmp_path.iterdir()) == []


def test_a_stream_leaves_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stdin_copy, "SPARED", shutil.disk_usage(tmp_path).free * 2)
    with pytest.raises(DataError, match="set TMPDIR to a larger disk"):
        stdin_copy.Copy(io.BytesIO(b"text"), name="standard input")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    written(tmp_path, os.fsdecode(b"data/caf\xe9.txt"), "A")
    corpus = open_corpus([tmp_path / "data"])
    assert list(corpus) == [Text("A")]
    assert corpus.fingerprint()[0]["name"] == "data/caf\\xe9.txt"
    assert "caf\\xe9.tx" in refusal(tmp_path / os.fsdecode(b"data/caf\xe9.tx"))


def test_a_declared_encoding_is_taken(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<a>caf\u00e9</a>\n'
    corpus = open_corpus([written(tmp_path, "a.xml", text.encode("latin-1"))])
    assert list(corpus) == [Text(text)]
    assert "plain text (ISO8859-1)" in corpus.describe()[0]
    assert read(written(tmp_path, "b.xml", text)) == [Text(text)]  # it is UTF-8 all the same


def test_a_file_in_another_encoding_is_left_out_of_a_folder(tmp_path: Path) -> None:
    written(tmp_path, "data/a.txt", b"x" * (2 << 20) + b"\xe9")
    written(tmp_path, "data/b.jsonl", LINES)
    written(tmp_path, "data/c.json", b'[{"text": "\xe9"}]')
    assert "--skip-bad leaves such a file out" in refusal(tmp_path / "data" / "a.txt")
    assert "--skip-bad" in refusal(tmp_path / "data")
    warnings: list[str] = []
    corpus = open_corpus([tmp_path / "data"], skip_bad=True, warn=warnings.append)
    assert list(corpus) == DIALOGUES
    assert warnings[0].startswith("data/: 2 left out: data/a.txt: byte 2097152 of the file")
    assert [file["name"] for file in corpus.fingerprint()] == ["data/b.jsonl"]
