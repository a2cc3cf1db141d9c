"""What differs in a folder from its SHA256SUMS, and accepting it."""

from pathlib import Path

import pytest
from tests.unit.formats.huggingface.models import edit, foreign, model

from nextword.common.files import sha256_file
from nextword.errors import FolderError
from nextword.formats.huggingface.changes import accept_changes, compare
from nextword.formats.huggingface.checksums import read_sums
from nextword.formats.huggingface.save_load import load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model")


def states(folder: Path) -> dict[str, str]:
    """Return the state of every file that is not unchanged."""
    return {file.name: file.state for file in compare(folder).files if file.state != "unchanged"}


def test_a_sound_folder(folder: Path) -> None:
    found = compare(folder)
    assert found.complete and found.listed and found.differing == () and found.damage is None
    assert len(found.files) == 6


def test_each_file_is_told_apart(folder: Path) -> None:
    edit(folder / "config.json", rope_theta=2.0)
    (folder / "generation_config.json").unlink()
    (folder / "special_tokens_map.json").write_text("{}")
    assert states(folder) == {
        "config.json": "changed",
        "generation_config.json": "missing",
        "special_tokens_map.json": "not listed",
    }
    assert {file.name for file in compare(folder).differing} == set(states(folder))


def test_the_keys_are_told_where_a_copy_of_the_file_as_it_was_is_left(folder: Path) -> None:
    original = folder / "training" / "lessons" / "original"
    original.mkdir(parents=True)
    (original / "config.json").write_bytes((folder / "config.json").read_bytes())
    tokenizer = folder / "training" / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer_config.json").write_text("{}")  # not what was saved
    edit(folder / "tokenizer_config.json", eos_token="the")
    edit(folder / "config.json", rope_theta=2.0, rope_scaling=None, nextword={"kind": "text"})
    keys = {file.name: file.keys for file in compare(folder).differing}
    assert keys == {
        "config.json": (
            "rope_theta: 10000.0 → 2.0",
            "rope_scaling: null → absent",
            'nextword.kind: "dialogue" → "text"',
            "nextword.version: 1 → absent",
        ),
        "tokenizer_config.json": None,
    }


def test_what_is_accepted_counts_from_then_on(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(FolderError, match="--accept-changes"):
        load_model(folder)
    accept_changes(folder)
    assert load_model(folder).chat_template == "{{ messages }}"
    assert compare(folder).complete
    assert read_sums(folder)["model.safetensors"] == sha256_file(folder / "model.safetensors")


def test_damaged_checksums_are_told_and_written_anew(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("x\n")
    found = compare(folder)
    assert found.damage is not None and "line 1" in found.damage
    accept_changes(folder)
    assert compare(folder).complete


def test_a_folder_without_checksums_gets_them(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "other")
    found = compare(folder)
    assert not found.listed and not found.complete and found.differing == ()
    accept_changes(folder)
    assert compare(folder).complete


def test_small_files_that_version_0_1_did_not_list_do_not_differ(folder: Path) -> None:
    digest = sha256_file(folder / "model.safetensors")
    (folder / "SHA256SUMS").write_text(f"{digest}  model.safetensors\n")
    found = compare(folder)
    assert found.differing == () and not found.complete
    (folder / "SHA256SUMS").write_text(f"{digest}  other.safetensors\n")
    assert [file.name for file in compare(folder).differing] == ["model.safetensors"]


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="holds no model"):
        compare(tmp_path)
