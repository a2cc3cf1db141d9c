"""The wheel: every file of the package is in it, and `nextword serve` runs from it."""

import http.client
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.unit.serve.models import article

from nextword.serve.static_files import Page, page_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built as pip builds it, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    quiet = ["--disable-pip-version-check", "--no-index", "--quiet"]
    built = subprocess.run(
        [*command, *quiet, "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "nextword").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if ".dist-info/" not in name}
    assert names == files
    needed_files = ("js/main.js", "js/teach/nw-teach.js", "teach.css", "index.html")
    for needed in (*needed_files, "vendor/lit/lit-html.js", "vendor/lit/LICENSE"):
        assert f"nextword/serve/page/{needed}" in names


def test_the_page_is_served_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    inside = tmp_path / "site"
    with zipfile.ZipFile(wheel) as content:
        content.extractall(inside)
    article().save(tmp_path / "model")
    command = [sys.executable, "-m", "nextword", "serve", str(tmp_path / "model"), "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(inside)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found, process.communicate()[1]
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
            for path, page in {"/": page_files()["index.html"], **_addresses()}.items():
                connection.request("GET", path)
                answer = connection.getresponse()
                assert (path, answer.status, answer.read()) == (path, 200, page.content)
            connection.close()
        finally:
            process.kill()
    where = subprocess.run(
        [sys.executable, "-c", "import nextword.serve as s; print(s.__file__)"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(inside)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(inside)


def _addresses() -> dict[str, Page]:
    return {f"/page/{path}": page for path, page in page_files().items()}
