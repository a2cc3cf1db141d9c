"""The face of the package: what `import nextword` offers, and that it keeps what it promises."""

import importlib.metadata
import subprocess
import sys
import tomllib
from operator import attrgetter
from pathlib import Path

import pytest

import nextword

ROOT = Path(__file__).resolve().parents[2]


def test_all_names_are_there_and_sorted() -> None:
    assert nextword.__all__ == sorted(nextword.__all__)
    for name in nextword.__all__:
        assert getattr(nextword, name) is not None


def test_every_name_says_what_it_is_for() -> None:
    for name in nextword.__all__:
        assert (getattr(nextword, name).__doc__ or "").strip(), name


def test_names_come_from_the_homes_that_type_checkers_see() -> None:
    for name in nextword.__all__:
        found = getattr(nextword, name)
        assert found is getattr(importlib.import_module(found.__module__), name)
        assert found.__module__.startswith("nextword.")


def test_dir_lists_the_public_names() -> None:
    assert set(dir(nextword)) == {*nextword.__all__, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nextword' has no attribute 'trian'"):
        attrgetter("trian")(nextword)
    with pytest.raises(ImportError, match="trian"):
        exec("from nextword import trian")


def test_a_star_import_brings_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from nextword import *", names)
    assert set(nextword.__all__) <= set(names)


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert nextword.__version__ == project["version"]
    assert importlib.metadata.version("nextword") == project["version"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_public_name_loads_only_its_own_home() -> None:
    code = (
        "import sys, nextword\n"
        "nextword.ModelConfig(vocab_size=7, d_model=4)\n"
        "print(sorted(name for name in sys.modules if name.startswith('nextword.')))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = ["nextword.config", "nextword.errors", "nextword.validation"]
    assert ran.stdout.strip() == str(own)


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src" / "nextword" / "py.typed").is_file()
