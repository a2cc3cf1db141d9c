"""`nextword doctor`: its report for people and for programs."""

import importlib
import importlib.util
import json
import platform
import shutil
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from click.testing import CliRunner, Result

from nextword import hardware
from nextword.cli.machine import doctor as module
from nextword.cli.main import main

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def quick_and_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No measuring, and a machine about which there is nothing to say."""
    monkeypatch.setattr(hardware, "matrix_peak", lambda device, dtype: 1.25e11)
    monkeypatch.setattr(hardware, "cores", lambda: torch.get_num_threads())
    monkeypatch.setattr(hardware, "features", lambda: ["avx2", "bf16"])
    monkeypatch.setattr(hardware, "memory_bytes", lambda: 8 * 2**30)
    monkeypatch.setattr(hardware, "processor_name", lambda: "Abacus 3")
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.1")


def run(*arguments: str, columns: int = 80) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments], env={"COLUMNS": str(columns)})


def report() -> dict[str, Any]:
    result = run("--json")
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if found["usable"] else 1)
    return found


def test_a_sound_machine_has_nothing_to_mend() -> None:
    found = report()
    assert found["usable"] is True
    assert found["broken"] == found["advice"] == []
    assert found["facts"]["software"]["torch"] == "99.1"
    assert found["facts"]["processor"]["name"] == "Abacus 3"
    assert found["facts"]["processor"]["memory"] == 8 * 2**30
    assert found["facts"]["devices"]["cpu float32"] == 1.25e11
    assert found["facts"]["disk"]["free"] > 0


@pytest.mark.parametrize("columns", [100, 60])
def test_the_report_fits_and_has_no_control_codes(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run(columns=columns)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert "\x1b" not in result.stdout
    assert result.stdout.endswith("Nextword works here.\n")
    for part in ("Software\n", "memory", "8.0 GiB", "125 GFLOP/s, measured", "Worth mending\n"):
        assert part in result.stdout


def test_a_missing_package_says_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert report()["advice"] == [
        "pyarrow is missing: Parquet files can't be read; pip install 'nextword[parquet]'",
        "tensorboard is missing: curves can't be written for TensorBoard;"
        " pip install 'nextword[tensorboard]'",
    ]


def test_a_broken_package_is_no_reason_to_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def failing(name: str) -> Any:
        if name == "torch":
            raise OSError("libtorch.so:\ncannot open shared object file")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", failing)
    monkeypatch.setattr(hardware, "facts", lambda: failing("torch"))
    found = report()
    assert found["usable"] is False
    assert found["broken"][0] == (
        "torch does not load: OSError: libtorch.so: cannot open shared object file"
    )
    assert found["broken"][1].startswith("the machine could not be examined: OSError:")
    result = run()
    assert result.exit_code == 1
    assert result.stdout.endswith("Nextword cannot work here yet.\n")


def test_an_old_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"torch": "2.8.1+cpu"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: old.get(name, "99.1"))
    expected = "torch 2.8.1+cpu is old, Nextword needs 2.9; pip install -U torch"
    assert report()["advice"] == [expected]
    assert module.numbers("2.13.0+cpu") == (2, 13, 0) > module.numbers("2.9")


def test_threads_other_than_the_cores_slow_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 7)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert report()["advice"] == [
        "torch uses 1 of 7 cores by itself, which is slow: OMP_NUM_THREADS=1 is set; unset it"
    ]
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert report()["advice"] == [
        "torch uses 1 of 7 cores by itself, which is slow: give --threads"
    ]


class Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


def test_what_slows_training_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "features", list)
    monkeypatch.setattr(hardware, "is_translated", lambda: True)
    monkeypatch.setattr(hardware, "memory_bytes", lambda: 2**30)
    monkeypatch.setattr(hardware, "processor_name", lambda: "QEMU Virtual CPU")
    monkeypatch.setattr(hardware, "devices", lambda: ["cpu"])
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("nextword.kernels.build.find_compiler", lambda: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9, 8, 1))
    advice = "\n".join(report()["advice"])
    for part in ("Rosetta", "QEMU", "no AVX2", "no C compiler", "1.0 GiB", "load 99.0"):
        assert part in advice
    for part in ("NVIDIA driver", "less than 1 GiB is free"):
        assert part in advice


def test_the_tables_say_what_the_project_file_says() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert [f"{name}>={oldest}" for name, oldest in module.REQUIRED.items()] == project[
        "dependencies"
    ]
    extras = project["optional-dependencies"]
    for package, (extra, _) in module.OPTIONAL.items():
        assert [need.split(">=")[0] for need in extras[extra]] == [package]
    optional = {extra for extra, _ in module.OPTIONAL.values()}
    assert set(extras) - {"test", "check", "oracle"} == optional
