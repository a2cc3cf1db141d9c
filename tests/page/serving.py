"""A model's page, served: from this process, or from a wheel as people install it."""

import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from nextword.language_model import LanguageModel
from nextword.serve.app import make_app

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds until a server that does not start is given up


@contextmanager
def served(lm: LanguageModel) -> Iterator[str]:
    """The address of the page of a model, served by a thread of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = uvicorn.Config(
            make_app(lm), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def unpacked_wheel(folder: Path) -> Path:
    """Build the wheel and unpack it: what an installation would put on the path."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("nextword-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@contextmanager
def served_from(site: Path, model: Path) -> Iterator[str]:
    """The address of `nextword serve MODEL` as the package under `site` serves it."""
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "nextword", "serve", str(model), "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=model, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def _address(process: subprocess.Popen[str]) -> str:
    """Read what the command prints until it names its address."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        for word in line.split():
            if word.startswith("http://"):
                return word.rstrip("/.,") + "/"
    raise AssertionError(f"nextword serve named no address:\n{''.join(said)}")
