"""Lessons undone: bit for bit as if they had never been taught."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.teach.folders import (
    LLAMA,
    TOKENIZER,
    VOCAB,
    changed,
    contents,
    drawn_change,
    drawn_lesson,
    model,
    teach,
    version,
)

from nextword.common.folder_lock import hold
from nextword.config import ModelConfig
from nextword.errors import LessonError, TeachBusyError
from nextword.formats.huggingface import replace_weights
from nextword.formats.huggingface.replace_weights import sums_of
from nextword.formats.huggingface.save_load import load_model
from nextword.model.fingerprint import version_of
from nextword.presets import preset
from nextword.teach.edit.weight_delta import Change
from nextword.teach.journal.lesson_records import ORIGINAL, Records, lessons_folder
from nextword.teach.journal.persist import keep
from nextword.teach.journal.undo import list_lessons, undo

TIED = preset(
    "gpt2", vocab_size=VOCAB, context_length=11, d_model=14, n_heads=2, n_layers=2, d_ff=13
)
KINDS: dict[str, tuple[ModelConfig, torch.dtype | None, int | None]] = {
    "float32": (LLAMA, None, None),
    "shards": (LLAMA, None, 3000),
    "tied": (TIED, None, None),
    "bfloat16": (LLAMA, torch.bfloat16, None),
    "float16": (LLAMA, torch.float16, None),
}


def expected(first: Path, seeds: list[int]) -> str:
    """The version of the original with these changes, one after the other, in memory."""
    decoder = load_model(first).decoder
    for seed in seeds:
        decoder = changed(decoder, drawn_change(decoder, seed))
    return version_of(decoder)


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_lessons_undone_in_any_order(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, dtype, shard_bytes = KINDS[kind]
    sizes: dict[str, Any] = {}
    if shard_bytes is not None:
        sizes = {"shard_bytes": shard_bytes}
        monkeypatch.setattr(replace_weights, "SHARD_BYTES", shard_bytes)
    folder = model(tmp_path / "model", config=config, dtype=dtype, **sizes)
    shutil.copytree(folder, tmp_path / "first")
    assert (len(list(folder.glob("*.safetensors"))) > 1) == (kind == "shards")
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    states = []
    for seed in range(20):
        states.append(contents(folder))
        assert teach(folder, seed) == seed + 1
    assert undo(folder, [20]).version_after == version(folder)
    assert contents(folder) == states[19]  # the file before it, bit for bit
    left = list(range(19))
    order = random.Random(3)
    while len(left) > 3:
        gone = [left.pop(order.randrange(len(left))) for _ in range(3)]
        done = undo(folder, [seed + 1 for seed in gone])
        assert done.version_after == version(folder) == expected(tmp_path / "first", left)
        assert (done.numbers, done.remaining) == (tuple(sorted(s + 1 for s in gone)), len(left))
        assert done.sums == sums_of(folder)
    done = undo(folder, None)
    assert contents(folder) == contents(tmp_path / "first")
    assert sums_of(tmp_path / "first") == done.sums
    assert done.version_after == version(tmp_path / "first")
    changes = [path.name for path in lessons_folder(folder).iterdir()]
    assert changes == [ORIGINAL]


def test_a_later_lesson_that_stood_on_an_earlier_one(tmp_path: Path) -> None:
    """The first lesson makes token 11 follow everything; the later one only nudges."""
    folder = model(tmp_path / "model")
    decoder = load_model(folder).decoder
    ids = torch.tensor([[2, 3, 5, 1, 7]])
    states: list[torch.Tensor] = []
    decoder.final_norm.register_forward_hook(lambda *parts: states.append(parts[2][0, -1]))
    with torch.no_grad():
        decoder(ids)
    lift = torch.zeros_like(decoder.unembedding.weight)
    lift[11] = 100 * states[0] / states[0].norm()
    nudge = Change({"final_norm.weight": torch.full((LLAMA.d_model,), 1e-3)})
    for change in (Change({"unembedding.weight": lift}), nudge):
        decoder = load_model(folder).decoder
        after = changed(decoder, change)
        keep(folder, drawn_lesson(decoder, after), change, after)
    done = undo(folder, [1])
    (told,) = [item for item in done.no_longer if item.position == 4 and item.reply == "a cat"][:1]
    assert (told.number, told.token) == (2, "cat") and told.was > 0.9
    assert told.now < 0.5 and told.now_predicted != TOKENIZER.token(11)
    assert Records.read(folder).events[-1].no_longer is not None


class TestRefused:
    def test_unknown_absorbed_and_none(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model")
        with pytest.raises(LessonError, match="no lesson is kept in"):
            undo(folder, None)
        teach(folder, 1)
        teach(folder, 2)
        with pytest.raises(LessonError, match=r"there is no lesson 7 to undo .* there are 1, 2"):
            undo(folder, [2, 7])
        shutil.copy(model(tmp_path / "other", config=TIED) / "model.safetensors", folder)
        (folder / "SHA256SUMS").unlink()
        with pytest.raises(LessonError, match=r"lesson 2 cannot be undone: the weights in .* part"):
            undo(folder, [2])
        with pytest.raises(LessonError, match="no lesson is kept in"):
            undo(folder, None)

    @pytest.mark.parametrize("damaged", ["00001.safetensors", "original/model.safetensors"])
    def test_damage_is_named_and_nothing_changed(self, damaged: str, tmp_path: Path) -> None:
        folder = model(tmp_path / "model")
        teach(folder, 1)
        teach(folder, 2)
        before = contents(folder)
        path = lessons_folder(folder) / damaged
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()  # `original` shares its file with nobody any more
        path.write_bytes(content)
        with pytest.raises(LessonError, match=f"{damaged.split('/')[-1]}.* damaged or missing"):
            undo(folder, [2])
        assert contents(folder) == before
        if damaged == "00001.safetensors":  # it is not needed to undo that very lesson
            assert undo(folder, None).remaining == 0

    def test_while_somebody_teaches(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model")
        teach(folder, 1)
        with hold(folder, what="teaching"):
            with pytest.raises(TeachBusyError):
                undo(folder, None)
            assert undo(folder, None, held=True).remaining == 0


def test_the_list(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    first = version(folder)
    assert (list_lessons(folder).state, list_lessons(folder).active) == ("none", ())
    for seed in range(3):
        teach(folder, seed)
    undo(folder, [2])
    found = list_lessons(folder)
    assert [kept.number for kept in found.active] == [1, 3]
    assert [kept.number for kept in found.undone] == [2]
    assert (found.original_version, found.present_version) == (first, version(folder))
    assert json.loads(json.dumps(found.active[0].lesson))["number"] == 1
