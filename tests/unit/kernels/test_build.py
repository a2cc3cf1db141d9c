"""Machine code is compiled once, kept where only its owner writes, and done without otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nextword.kernels import build
from nextword.kernels.build import cache_folder, find_compiler, kernels

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no C code is used there")
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nextword"


@needs_compiler
def test_it_is_compiled_once_for_each_dtype_and_kept(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kernels(torch.float32) is not None
    assert kernels(torch.float32) is not kernels(torch.bfloat16)
    kept = sorted(path.name for path in own_cache.iterdir())
    assert len(kept) == 2
    assert all(name.startswith("kernels-") and name.endswith(".so") for name in kept)

    def refuse(*words: object, **more: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(subprocess, "run", refuse)
    assert kernels(torch.bfloat16) is not None


def test_other_dtypes_have_none() -> None:
    assert kernels(torch.float64) is None


def test_without_a_compiler_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert find_compiler() is None
    assert kernels(torch.float32) is None


def test_the_compiler_that_cc_names_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "my-cc"
    mine.write_text("#!/bin/sh\nexit 1\n")
    mine.chmod(0o755)
    monkeypatch.setenv("CC", f"{mine} -O1")
    assert find_compiler() == [str(mine), "-O1"]


@pytest.mark.parametrize("does", ["exit 1", "echo not machine code > $o"])
def test_a_compiler_that_fails_leaves_nothing_and_training_goes_on(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    mine = tmp_path / "my-cc"
    mine.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done; o=$2\n{does}\n')
    mine.chmod(0o755)
    monkeypatch.setenv("CC", str(mine))
    assert kernels(torch.float32) is None
    assert not list(own_cache.glob("*.partial"))


@needs_compiler
def test_a_compiler_that_does_not_know_this_processor_is_asked_again(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = find_compiler()
    assert real is not None
    mine = tmp_path / "my-cc"
    mine.write_text(
        f'#!/bin/sh\ncase "$*" in *native*) exit 1;; esac\nexec {" ".join(real)} "$@"\n'
    )
    mine.chmod(0o755)
    monkeypatch.setenv("CC", str(mine))
    assert kernels(torch.float32) is not None
    assert len(list(own_cache.glob("*.so"))) == 1


def test_the_folder_is_the_owners_alone(own_cache: Path) -> None:
    assert cache_folder() == own_cache
    assert own_cache.stat().st_mode & 0o777 == 0o700


@needs_compiler
def test_a_folder_that_others_can_write_to_is_not_used(own_cache: Path) -> None:
    own_cache.mkdir(parents=True)
    own_cache.chmod(0o777)
    assert cache_folder() is None
    assert kernels(torch.float32) is not None  # from a folder of its own
    assert not list(own_cache.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_not_used(own_cache: Path) -> None:
    own_cache.mkdir(parents=True)
    own_cache.chmod(0o500)
    assert cache_folder() is None


def test_without_a_home_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert cache_folder() is None


@pytest.mark.parametrize("cc", ['gcc "unclosed', "gcc 'x", "cc \\"])
def test_a_cc_that_is_no_command_is_as_no_compiler_and_told(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, cc: str
) -> None:
    monkeypatch.setenv("CC", cc)
    assert build.find_compiler() is None
    assert build._load(torch.float32) is None
    assert f"CC is {cc!r}, which is no command" in str(build.cc_problem())


@pytest.mark.parametrize(
    "cc", ["", " ", "{folder}", "{folder}/plain", "./nowhere", "no\udcffthing"]
)
def test_a_cc_that_cannot_run_leaves_the_usual_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cc: str
) -> None:
    (tmp_path / "plain").write_text("no program")
    monkeypatch.setenv("CC", cc.format(folder=tmp_path))
    assert build.cc_problem() is None
    assert build.find_compiler() in (None, ["cc"], ["gcc"], ["clang"])


@pytest.mark.parametrize("body", ["exit 0", "exit 1", "kill -9 $$"])
def test_a_cc_that_makes_no_library_is_as_no_compiler(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    odd = tmp_path / "o\udcffdd"  # a name that is not UTF-8
    odd.write_text(f"#!/bin/sh\n{body}\n")
    odd.chmod(0o755)
    monkeypatch.setenv("CC", str(odd))
    assert build._load(torch.float32) is None
