"""What a model was taught before: read from its folder, and refused where that is damaged."""

from pathlib import Path

import pytest
import torch
from tests.damage import DAMAGES
from tests.unit.teach.folders import model, teach

from nextword.data.replay_sample import RESERVOIR
from nextword.errors import FolderError, LessonError
from nextword.formats.huggingface.save_load import load_model
from nextword.language_model import LanguageModel
from nextword.teach.journal.history import history_of
from nextword.teach.journal.lesson_records import events_file, lessons_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that was taught twice."""
    made = model(tmp_path / "model")
    teach(made, 1)
    teach(made, 2)
    return made


def test_the_lessons_and_the_weights_from_before_them(folder: Path, tmp_path: Path) -> None:
    found = history_of(LanguageModel.load(folder))
    assert len(found.lessons) == 2
    first = load_model(model(tmp_path / "first")).decoder
    for name, weight in first.named_parameters():
        assert torch.equal(found.anchor[name], weight)


@pytest.mark.parametrize("damage", ["flip in the middle", "cut", "empty", "delete"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damaged_original_weights_are_no_anchor(name: str, damage: str, folder: Path) -> None:
    lm = LanguageModel.load(folder)
    DAMAGES[damage](lessons_folder(folder) / "original" / name)
    with pytest.raises(LessonError, match=r"lessons/original.* is damaged or missing"):
        history_of(lm)


def test_a_damaged_journal_stops_a_lesson_before_it_begins(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    DAMAGES["cut"](events_file(folder))
    with pytest.raises(LessonError, match=r"lessons\.jsonl was cut: .*Put the file back"):
        lm.teach([("who sat", "a cat")])


def test_a_damaged_sample_is_not_rehearsed(folder: Path) -> None:
    (folder / "training" / RESERVOIR).write_bytes(b"damaged")
    with pytest.raises(FolderError, match=rf"{RESERVOIR} is damaged: .*--rehearse FILE"):
        LanguageModel.load(folder).teach([("who sat", "a cat")])


def test_nothing_is_known_of_a_folder_that_is_gone(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    folder.rename(folder.with_name("elsewhere"))
    assert history_of(lm).lessons == ()
