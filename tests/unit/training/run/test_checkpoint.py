"""Checkpoints: whole or not at all, verified before they are read."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nextword.common.files
from nextword.errors import CheckpointError, RunError
from nextword.training.run.checkpoint import Checkpoints, damage, plain, read_checkpoint

FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from nextword.errors import RunError
from nextword.training.run.checkpoint import Checkpoints

checkpoints = Checkpoints(Path(sys.argv[1]), warn=print)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    checkpoints.save(7, {"weights": {"w": torch.ones(131, 103)}}, {})
except RunError as error:
    print(error)
else:
    sys.exit("a file above the limit was written")
"""


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path: Path, warnings: list[str]) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", warn=warnings.append)


def save(checkpoints: Checkpoints, step: int) -> Path:
    """A small checkpoint whose every value is its step."""
    tensors = {"a": torch.full((3, 5), float(step)), "count": torch.tensor(step)}
    checkpoints.save(step, {"weights": tensors, "optimizer": {"m": tensors["a"]}}, {"at": step})
    return checkpoints.folder / f"step-{step:08d}"


def loaded_step(checkpoints: Checkpoints) -> int:
    """The step of the checkpoint that loads; its values must agree with it."""
    checkpoint = checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.state == {"at": checkpoint.step}
    assert set(checkpoint.parts) == {"weights", "optimizer"}
    expected = torch.full((3, 5), float(checkpoint.step))
    assert torch.equal(checkpoint.parts["weights"]["a"], expected)
    assert torch.equal(checkpoint.parts["optimizer"]["m"], expected)
    assert checkpoint.parts["weights"]["count"].item() == checkpoint.step
    return checkpoint.step


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def test_tensors_of_every_kind_come_back_bit_for_bit(checkpoints: Checkpoints) -> None:
    whole = torch.arange(35, dtype=torch.float32).reshape(5, 7)
    tensors = {
        "scalar": torch.tensor(2.5),
        "long": torch.tensor([2**62 + 1, -3]),
        "half": torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).bfloat16(),
        "bool": torch.tensor([True, False, True]),
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "empty": torch.empty(0, 11),
        "special": torch.tensor([float("nan"), float("inf"), -0.0]),
        "whole": whole,
        "same storage": whole,
        "transposed": whole.T,
        "slice": whole[1:3, 2:5],
        "expanded": torch.tensor([1.5]).expand(13),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    checkpoints.save(3, {"all_kinds": tensors, "nothing": {}}, {})

    checkpoint = checkpoints.load()

    assert checkpoint is not None
    assert checkpoint.parts["nothing"] == {}
    read = checkpoint.parts["all_kinds"]
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and read[name].shape == tensor.shape, name
        assert torch.equal(read[name].isnan(), tensor.isnan()), name
        assert torch.equal(read[name].nan_to_num(), tensor.detach().nan_to_num()), name
    assert torch.signbit(read["special"]).tolist()[2]


def test_what_was_loaded_does_not_depend_on_the_file(checkpoints: Checkpoints) -> None:
    folder = save(checkpoints, 5)
    checkpoint = checkpoints.load()
    assert checkpoint is not None

    with (folder / "weights.safetensors").open("rb+") as file:
        file.write(bytes(200))
    checkpoint.parts["weights"]["a"] += 1

    assert torch.equal(checkpoint.parts["weights"]["a"], torch.full((3, 5), 6.0))


def test_nothing_is_loaded_where_nothing_was_saved(checkpoints: Checkpoints) -> None:
    assert checkpoints.load() is None


def test_the_newest_two_stay(checkpoints: Checkpoints) -> None:
    for step in (20, 100, 99_999_999, 100_000_000):
        save(checkpoints, step)

    assert names(checkpoints) == ["step-100000000", "step-99999999"]
    assert loaded_step(checkpoints) == 100_000_000


def test_the_manifest_tells_size_and_sha256_of_every_file(checkpoints: Checkpoints) -> None:
    folder = save(checkpoints, 4)

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))

    assert manifest["step"] == 4
    assert set(manifest["files"]) == {"weights.safetensors", "optimizer.safetensors", "state.json"}
    for name, item in manifest["files"].items():
        assert item["size"] == (folder / name).stat().st_size
        assert item["sha256"] == nextword.common.files.sha256_file(folder / name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("weights.safetensors", "weights.safetensors has SHA-256 "),
        ("optimizer.safetensors", "optimizer.safetensors has SHA-256 "),
        ("state.json", "state.json has SHA-256 "),
        ("manifest.json", "manifest.json is not valid JSON"),
    ],
)
def test_one_flipped_bit_is_named_and_the_one_before_is_used(
    checkpoints: Checkpoints, warnings: list[str], name: str, told: str
) -> None:
    save(checkpoints, 10)
    flip(save(checkpoints, 20) / name, at=-1 if name != "manifest.json" else 0)

    assert loaded_step(checkpoints) == 10
    assert len(warnings) == 1
    assert told in warnings[0] and "step-00000020" in warnings[0]
    assert warnings[0].endswith("training goes on from step 10 instead")


def _truncate(folder: Path) -> None:
    os.truncate(folder / "weights.safetensors", 11)


def _remove_part(folder: Path) -> None:
    (folder / "optimizer.safetensors").unlink()


def _remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _add_part(folder: Path) -> None:
    shutil.copy(folder / "weights.safetensors", folder / "x.safetensors")


def _newer_format(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "format": 2}), encoding="utf-8")


def _other_step(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "step": 21}), encoding="utf-8")


@pytest.mark.parametrize(
    ("hurt", "told"),
    [
        (_truncate, r"weights.safetensors has 11 bytes, its manifest says \d+"),
        (_remove_part, "optimizer.safetensors is missing"),
        (_remove_manifest, "manifest.json does not exist"),
        (_add_part, "x.safetensors is not in its manifest"),
        (_newer_format, "manifest.json has format 2, this Nextword reads format 1"),
        (_other_step, "manifest.json says step 21"),
    ],
)
def test_every_kind_of_damage_is_named(checkpoints: Checkpoints, hurt: Any, told: str) -> None:
    folder = save(checkpoints, 20)
    hurt(folder)

    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole: .*--fresh"):
        checkpoints.load()


def test_a_flipped_bit_anywhere_in_the_manifest_never_loads_other_values(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, warn=print)
    folder = save(checkpoints, 20)
    manifest = folder / "manifest.json"
    good = manifest.read_bytes()

    @settings(max_examples=60, deadline=None, database=None)
    @given(at=st.integers(0, len(good) - 1), bit=st.integers(0, 7))
    def check(at: int, bit: int) -> None:
        flip(manifest, at, bit)
        try:
            problem = damage(folder)
            assert problem is None or isinstance(problem, str)
            if problem is None:
                assert read_checkpoint(folder).state == {"at": 20}
        finally:
            manifest.write_bytes(good)

    check()


def test_training_past_a_damaged_one_replaces_it(
    checkpoints: Checkpoints, warnings: list[str]
) -> None:
    save(checkpoints, 10)
    flip(save(checkpoints, 20) / "state.json", at=3)
    assert loaded_step(checkpoints) == 10

    save(checkpoints, 15)
    assert names(checkpoints) == ["step-00000010", "step-00000015"]
    save(checkpoints, 20)

    assert names(checkpoints) == ["step-00000015", "step-00000020"]
    assert loaded_step(checkpoints) == 20
    assert len(warnings) == 1


def test_a_damaged_one_does_not_count_among_those_kept(checkpoints: Checkpoints) -> None:
    save(checkpoints, 10)
    _truncate(save(checkpoints, 20))
    save(checkpoints, 30)

    assert names(checkpoints) == ["step-00000010", "step-00000030"]


def test_the_same_step_can_be_saved_again(checkpoints: Checkpoints) -> None:
    save(checkpoints, 10)
    checkpoints.save(10, {"weights": {"b": torch.ones(7)}}, {"second": True})

    checkpoint = checkpoints.load()

    assert checkpoint is not None and checkpoint.state == {"second": True}
    assert set(checkpoint.parts["weights"]) == {"b"}
    assert names(checkpoints) == ["step-00000010"]


def test_sweep_removes_half_written_ones_and_puts_back_what_was_aside(
    checkpoints: Checkpoints,
) -> None:
    save(checkpoints, 10)
    folder = save(checkpoints, 20)
    folder.rename(folder.with_name(".step-00000020.aside"))  # killed between two renames
    half = checkpoints.folder / ".step-00000030.partial"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")

    checkpoints.sweep()

    assert names(checkpoints) == ["step-00000010", "step-00000020"]
    assert loaded_step(checkpoints) == 20


@pytest.mark.parametrize("calls_before", range(8))
def test_a_full_disk_at_any_flush_leaves_the_last_good_one(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, calls_before: int
) -> None:
    """Flushes of one save: two parts, then file and folder for state and manifest, then rename."""
    save(checkpoints, 10)
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > calls_before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        if calls_before < 7:
            with pytest.raises(RunError, match=r"the disk is full: .* free some space"):
                save(checkpoints, 20)
        else:
            save(checkpoints, 20)

    assert loaded_step(checkpoints) == (10 if calls_before < 6 else 20)
    assert not [name for name in names(checkpoints) if name.startswith(".")]
    save(checkpoints, 30)
    assert loaded_step(checkpoints) == 30


def test_an_interrupt_leaves_no_rubbish(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(checkpoints, 10)

    def fsync(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fsync", fsync)
        save(checkpoints, 20)

    assert names(checkpoints) == ["step-00000010"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_write_that_the_system_refuses_is_explained(checkpoints: Checkpoints) -> None:
    """The real thing: safetensors itself meets the limit (50 000 bytes; it needs 53 972)."""
    save(checkpoints, 5)

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(checkpoints.folder)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "weights.safetensors could not be written: File too large" in done.stdout
    assert names(checkpoints) == ["step-00000005"]
    assert loaded_step(checkpoints) == 5


def test_no_permission_says_how_to_mend_it(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(checkpoints, 5)

    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("nextword.training.run.checkpoint.sha256_file", refuse)

    with pytest.raises(RunError, match=r"may not be used: Permission denied\. Give yourself"):
        checkpoints.load()


def test_a_bad_sector_is_damage(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(checkpoints, 5)

    def fail(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("nextword.training.run.checkpoint.sha256_file", fail)

    assert "cannot be read: Input/output error" in str(damage(folder))


def test_an_old_one_that_cannot_be_removed_does_not_stop_the_run(
    checkpoints: Checkpoints, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(checkpoints, 10)
    save(checkpoints, 20)
    rename = Path.rename

    def stubborn(path: Path, target: Path) -> Path:
        if path.name == "step-00000010":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stubborn)
    save(checkpoints, 30)

    assert loaded_step(checkpoints) == 30
    assert len(warnings) == 1 and "step-00000010 could not be removed" in warnings[0]


def test_plain_turns_tuples_into_lists_and_keeps_the_rest() -> None:
    given = {"a": (1, 2.5, None), "b": {"c": [True, "x"]}, "odd name": "caf\udce9"}

    assert plain(given, "settings") == {
        "a": [1, 2.5, None],
        "b": {"c": [True, "x"]},
        "odd name": "caf\\udce9",
    }


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {"b": float("nan")}}, r"settings\.a\.b is nan \(float\)"),
        ({"a": [1, float("inf")]}, r"settings\.a\[1\] is inf \(float\)"),
        ({"a": torch.tensor(1)}, r"settings\.a is tensor\(1\) \(Tensor\)"),
        ({"a": {1: 2}}, r"settings\.a is .* \(dict\), .* mappings with text keys"),
    ],
)
def test_plain_refuses_what_json_cannot_hold(value: Any, told: str) -> None:
    with pytest.raises(RunError, match=told):
        plain(value, "settings")
