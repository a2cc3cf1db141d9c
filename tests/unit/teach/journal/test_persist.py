"""A lesson written to its folder: the change, the event, the weights; and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.unit.teach.folders import (
    changed,
    contents,
    drawn_change,
    drawn_lesson,
    model,
    teach,
    version,
)
from tests.unit.teach.samples import not_learned

from nextword.common.files import sha256_file
from nextword.common.folder_lock import hold
from nextword.errors import LessonError, TeachBusyError
from nextword.formats.huggingface.replace_weights import sums_of
from nextword.formats.huggingface.save_load import load_model
from nextword.teach.edit.weight_delta import Change
from nextword.teach.journal.lesson_records import Records, events_file, lessons_folder
from nextword.teach.journal.persist import keep
from nextword.teach.journal.undo import undo


def test_what_is_kept_can_be_loaded_and_read(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    before, was = contents(folder), version(folder)
    decoder = load_model(folder).decoder
    change = drawn_change(decoder, 1)
    after = changed(decoder, change)
    lesson = drawn_lesson(decoder, after)
    assert keep(folder, lesson, change, after) == 1
    assert version(folder) == lesson.version_after != was
    now = contents(folder)
    same = {name for name in before if before[name] == now[name]}
    assert set(before) == set(now)
    assert set(before) - same == {"model.safetensors", "SHA256SUMS", "README.md"}
    assert b"1 lesson was taught after these results" in now["README.md"]
    values = json.loads(events_file(folder).read_text())
    path = lessons_folder(folder) / values["change"]["file"]
    assert values["change"] == {"file": "00001.safetensors", "sha256": sha256_file(path)}
    assert (values["event"], values["number"], values["lesson"]["number"]) == ("kept", 1, 1)
    assert (values["before"], values["after"]) == (
        {"model.safetensors": sha256_file(lessons_folder(folder) / "original/model.safetensors")},
        {"model.safetensors": sha256_file(folder / "model.safetensors")},
    )
    assert (values["version_before"], values["version_after"]) == (was, lesson.version_after)


def test_an_imported_model_without_sums_gets_its_files_back(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", dtype=torch.float16)
    (folder / "SHA256SUMS").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["nextword"]
    (folder / "config.json").write_text(json.dumps(config))
    before = contents(folder)
    teach(folder, 1)
    now = contents(folder)
    assert now["README.md"] == before["README.md"]  # its card is not ours to write in
    written = json.loads(now["config.json"])
    assert written == config | {"dtype": "float32", "torch_dtype": "float32"}
    assert sums_of(folder) == {"model.safetensors": sha256_file(folder / "model.safetensors")}
    undo(folder, None)
    assert contents(folder) == before


def test_files_that_are_only_pointed_at_are_not_written(tmp_path: Path) -> None:
    """As in a cache of downloads, where every file is a symbolic link."""
    there = model(tmp_path / "there")
    first = contents(there)
    folder = tmp_path / "model"
    folder.mkdir()
    for path in there.iterdir():
        (folder / path.name).symlink_to(Path("..") / "there" / path.name)
    was = version(folder)
    teach(folder, 1)
    assert version(folder) != was and contents(there) == first
    undo(folder, None)
    assert contents(folder) == first


class TestRefused:
    def test_not_learned_and_already(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model")
        decoder = load_model(folder).decoder
        with pytest.raises(LessonError, match="nothing to keep: You stopped it"):
            keep(folder, not_learned(), drawn_change(decoder, 1), decoder)
        with pytest.raises(LessonError, match="nothing to keep"):
            keep(folder, drawn_lesson(decoder, decoder), Change(), decoder)
        assert not (folder / "training").exists()

    def test_other_weights_than_the_folder_s(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model")
        decoder = load_model(folder).decoder
        change = drawn_change(decoder, 1)
        after = changed(decoder, change)
        teach(folder, 2)
        before = contents(folder)
        with pytest.raises(LessonError, match="are not those that this lesson began with"):
            keep(folder, drawn_lesson(decoder, after), change, after)
        with pytest.raises(LessonError, match="no longer the one that this lesson led to"):
            keep(folder, drawn_lesson(decoder, after), change, decoder)
        assert contents(folder) == before and len(Records.read(folder).events) == 1

    def test_while_somebody_else_holds_the_folder(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model")
        with hold(folder, what="training"):
            with pytest.raises(TeachBusyError, match="training since"):
                teach(folder, 1)
            assert teach(folder, 1, held=True) == 1


def test_new_weights_from_elsewhere_begin_a_new_chain(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    teach(folder, 1)
    teach(folder, 2)
    other = model(tmp_path / "other")
    teach(other, 3)
    for name in ("model.safetensors", "SHA256SUMS"):
        shutil.copy(other / name, folder / name)
    replaced = (folder / "model.safetensors").read_bytes()
    found = Records.read(folder)
    assert (found.state, found.active, len(found.absorbed)) == ("absorbed", (), 2)
    assert teach(folder, 4) == 3
    found = Records.read(folder)
    assert (found.state, [kept.number for kept in found.active]) == ("whole", [3])
    assert [kept.number for kept in found.absorbed] == [1, 2]
    undo(folder, None)
    assert (folder / "model.safetensors").read_bytes() == replaced
