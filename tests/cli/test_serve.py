"""`nextword serve` as a person runs it: a process, its address, its end, and its mistakes."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.serve.models import SENTENCE, article

from nextword.cli.main import main
from nextword.cli.replying import serve as module
from nextword.common.folder_lock import hold
from nextword.errors import RunError
from nextword.language_model import LanguageModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "article"
    article().save(folder)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["serve", *map(str, arguments)])


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A server on a free port, without a terminal; its first line and its port."""
    command = [sys.executable, "-m", "nextword", "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r":(\d+)/", line)
            assert found, line + (process.communicate()[1] or "")
            yield process, line, int(found[1])
        finally:
            process.kill()


def test_it_says_where_it_is_answers_and_ends_cleanly(folder: Path) -> None:
    with started(folder) as (process, line, port):
        assert line == f"article is served at http://127.0.0.1:{port}/ (Ctrl-C ends it)\n"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/model")
        answer = connection.getresponse()
        assert json.load(answer)["name"] == "article"
        assert answer.headers["server"] is None
        body = json.dumps({"turns": [SENTENCE]})
        connection.request("POST", "/api/read", body, {"Content-Type": "application/json"})
        assert len(json.load(connection.getresponse())["positions"]) == 6
        connection.request("GET", "/api/model", headers={"Host": "evil.example"})
        assert connection.getresponse().read().startswith(b'{"error"')
        connection.close()
        evil = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        evil.request("GET", "/page/../app.py")
        assert evil.getresponse().status == 404
        evil.close()
        second = run(folder, "--port", port)
        assert (second.exit_code, second.stdout) == (1, "")
        assert second.stderr.startswith(f"nextword: port {port} on 127.0.0.1 is in use")
        assert f"--port {port % 65535 + 1}" in second.stderr
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest, errors) == (130, "", "nextword: stopped by Ctrl-C\n")


def test_chunks_without_end_are_cut_off(folder: Path) -> None:
    with started(folder) as (_, _, port):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as stranger:
            stranger.sendall(
                b"POST /api/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
            for _ in range(16):  # 1,048,576 bytes
                stranger.sendall(chunk)
            answer = stranger.recv(10_000)
            answer += stranger.recv(10_000) if answer.endswith(b"\r\n\r\n") else b""
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"too_large"' in answer


def test_a_running_reply_does_not_hold_up_the_end(tmp_path: Path) -> None:
    lm = article(context=100_000)
    lm.decoder.unembedding.bias.data[lm.tokenizer.end_id] = -1e9  # it never ends
    lm.save(tmp_path / "talks")
    with started(tmp_path / "talks") as (process, _, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        body = json.dumps({"ids": [0], "config": {"temperature": 1}})
        connection.request("POST", "/api/reply", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert json.loads(answer.readline())["event"] == "start"
        assert json.loads(answer.readline())["event"] == "step"
        process.send_signal(signal.SIGINT)
        last = json.loads(answer.read().splitlines()[-1])
        assert (last["event"], last["error"]["code"]) == ("error", "stopped")
        connection.close()
        assert process.communicate(timeout=20)[1] == "nextword: stopped by Ctrl-C\n"
        assert process.returncode == 130


def test_the_end_drops_a_lesson_that_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "learns"
    article().save(folder)
    version = LanguageModel.load(folder).version
    with started(folder) as (process, _, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        config = {"margin": 0.0, "largest_kl": 99, "learning_rate": 0.1}
        body = json.dumps({"pairs": [["the cat", "the"]], "config": config})
        connection.request("POST", "/api/teach", body, {"Content-Type": "application/json"})
        events = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        assert events[-1]["event"] == "done", events[-1]
        connection.close()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest) == (130, "")
        dropped = "an unkept lesson was dropped; the folder is as it was\n"
        assert errors == f"{dropped}nextword: stopped by Ctrl-C\n"
    assert LanguageModel.load(folder).version == version != events[-1]["version"]
    with hold(folder, what="teaching"):
        pass


def test_a_lesson_under_way_does_not_hold_up_the_end(tmp_path: Path) -> None:
    article().save(tmp_path / "learns")
    with started(tmp_path / "learns") as (process, _, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        config = {"margin": 0.999999, "steps": 100_000, "learning_rate": 1e-9}
        body = json.dumps({"pairs": [["the cat", "the"]], "config": config})
        connection.request("POST", "/api/teach", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert json.loads(answer.readline())["event"] == "started"
        assert json.loads(answer.readline())["event"] == "step"
        process.send_signal(signal.SIGTERM)
        last = json.loads(answer.read().splitlines()[-1])
        assert (last["event"], last["error"]["code"]) == ("error", "stopped")
        connection.close()
        assert process.communicate(timeout=20) == ("", "nextword: stopped by SIGTERM\n")
        assert process.returncode == 143


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        result = run(folder, "--port", 0)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("nextword: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--port", "70000"), 2, "70000"),
        (("--port", "http"), 2, "'http'"),
        (("--threads", "0"), 2, "0"),
        (("--prot", "8000"), 2, "--port"),
        (("--host", "no such host", "--port", "0"), 1, "is no address"),
        (("--host", "192.0.2.1", "--port", "0"), 1, "this machine's addresses"),  # RFC 5737
    ],
)
def test_mistakes_take_one_line(
    folder: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_two_servers_cannot_share_a_port_even_while_they_load() -> None:
    with module.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(RunError, match=f"port {port} on 127.0.0.1 is in use"):
            module.listen("127.0.0.1", port)


def test_letting_others_in_is_told(folder: Path) -> None:
    with started(folder, "--host", "0.0.0.0") as (process, line, port):
        assert f"http://127.0.0.1:{port}/" in line
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for host, status in (("10.0.0.7", 200), ("evil.example", 403), ("localhost", 200)):
            connection.request("GET", "/api/model", headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            assert (host, answer.status) == (host, status)
        connection.close()
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=20)[1]
    assert errors.startswith("note: --host 0.0.0.0 lets everybody who can reach this machine")
    assert "without a password" in errors


def test_addresses_as_a_browser_takes_them() -> None:
    class Listener:
        def __init__(self, *name: object) -> None:
            self.name = name

        def getsockname(self) -> tuple[object, ...]:
            return self.name

    for name, address in (
        (("127.0.0.1", 8321), "http://127.0.0.1:8321/"),
        (("0.0.0.0", 80), "http://127.0.0.1:80/"),
        (("::1", 8321, 0, 0), "http://[::1]:8321/"),
        (("::", 8321, 0, 0), "http://[::1]:8321/"),
    ):
        assert module._address(Listener(*name)) == address  # type: ignore[arg-type]


def test_the_page_is_opened_or_its_address_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    module._open("http://127.0.0.1:1/")
    assert (opened, capsys.readouterr().err) == (["http://127.0.0.1:1/"], "")
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    module._open("http://127.0.0.1:1/")
    assert "open http://127.0.0.1:1/ yourself" in capsys.readouterr().err
