"""`nextword doctor FOLDER`: what differs from the checksums, and accepting it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.formats.huggingface.models import edit, foreign, model

from nextword.cli.main import main
from nextword.common.folder_lock import hold
from nextword.formats.huggingface.save_load import load_model


def run(*arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert result.exit_code == exit_code, result.output
    return result


def report(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", exit_code=exit_code).stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model")


def test_a_sound_folder(folder: Path) -> None:
    assert run(str(folder)).stdout.endswith("All 6 files are as SHA256SUMS says.\n")
    found = report(str(folder))
    assert found["written"] is False and found["damage"] is None
    assert {file["state"] for file in found["files"]} == {"unchanged"}


def test_a_change_is_shown_refused_and_accepted(folder: Path) -> None:
    edit(folder / "config.json", rms_norm_eps=0.25)
    command = f"nextword doctor {folder} --accept-changes"
    refused = CliRunner().invoke(main, ["reply", str(folder), "the cat"])
    assert refused.exit_code == 1 and command in refused.stderr
    shown = run(str(folder), exit_code=1).stdout
    assert "config.json             changed" in shown
    assert shown.endswith(
        f"1 file differs from SHA256SUMS. If you changed that on purpose, run: {command}\n"
    )
    assert report(str(folder), exit_code=1)["written"] is False
    accepted = run(str(folder), "--accept-changes").stdout
    assert "config.json             changed" in accepted
    assert accepted.endswith("SHA256SUMS was written anew: all 6 files count as they are now.\n")
    assert load_model(folder).decoder.config.norm_epsilon == 0.25
    run(str(folder))


def test_the_keys_that_changed_are_shown_where_they_are_known(folder: Path) -> None:
    original = folder / "training" / "lessons" / "original"
    original.mkdir(parents=True)
    (original / "config.json").write_bytes((folder / "config.json").read_bytes())
    edit(folder / "config.json", rms_norm_eps=0.25)
    found = report(str(folder), "--accept-changes")
    assert found["written"] is True
    keys = {file["name"]: file["keys"] for file in found["files"] if file["state"] == "changed"}
    assert keys == {"config.json": ["rms_norm_eps: 1e-05 → 0.25"]}


def test_damaged_checksums(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("x\n")
    assert "line 1 is no checksum and name of a file" in run(str(folder), exit_code=1).stdout
    run(str(folder), "--accept-changes")
    run(str(folder))


def test_a_folder_of_others_gets_checksums_on_request(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "it's")
    shown = run(str(folder)).stdout
    assert "There is no SHA256SUMS, so nothing was compared" in shown
    assert not (folder / "SHA256SUMS").exists()
    assert "--accept-changes" in shown and "'\"'\"'" in shown  # quoted for the shell
    run(str(folder), "--accept-changes")
    assert run(str(folder)).stdout.endswith("All 6 files are as SHA256SUMS says.\n")


def test_a_folder_that_is_held_is_left_alone(folder: Path) -> None:
    edit(folder / "config.json", rms_norm_eps=0.25)
    before = (folder / "SHA256SUMS").read_bytes()
    with hold(folder, what="teaching"):
        result = run(str(folder), "--accept-changes", exit_code=1)
    assert "is held by process" in result.stderr
    assert (folder / "SHA256SUMS").read_bytes() == before


def test_what_is_no_model(tmp_path: Path) -> None:
    for option in ([], ["--accept-changes"]):
        assert "holds no model" in run(str(tmp_path), *option, exit_code=1).stderr
    assert not list(tmp_path.iterdir())
    assert "no folder" in run(str(tmp_path / "none"), exit_code=1).stderr
    assert "--accept-changes needs FOLDER" in run("--accept-changes", exit_code=2).stderr
