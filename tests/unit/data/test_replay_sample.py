"""A sample of the training data, kept in the model's folder."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save
from tests.small_runs import quick, request, write_dialogues, write_text

from nextword.config import TrainingConfig
from nextword.data import replay_sample
from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.data.replay_sample import RESERVOIR, Reservoir, read_reservoir, write_reservoir
from nextword.errors import FolderError
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.data.prepare import prepare_data
from nextword.training.pipeline import train

TRAINING = TrainingConfig(steps=1, batch_size=1, seed=3)


def prepared(data: Path, tmp_path: Path, held_out: float = 0.2) -> Prepared:
    corpus = open_corpus([str(data)])
    tokenizer = Tokenizer.learn([data.read_text()], kind="words")
    settings = {"held_out": held_out, "context": 7, "aim": "generalize"}
    asked = request(data, tmp_path / "out", **settings)
    return prepare_data(asked, corpus, tokenizer, tmp_path / "shards", warn=print)


def folder_with(data: Prepared, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "training").mkdir(parents=True)
    write_reservoir(folder / "training" / RESERVOIR, data, training=TRAINING)
    return folder


def test_dialogues_come_back_as_they_were_learned(tmp_path: Path) -> None:
    data = prepared(write_dialogues(tmp_path / "data.jsonl"), tmp_path)
    found = read_reservoir(folder_with(data, tmp_path))
    assert found is not None and found.held_out is not None
    held_out = data.held_out_samples(learn="everything")
    assert held_out is not None
    for batch, samples in (
        (found.known, data.samples(seed=3, learn="everything")),
        (found.held_out, held_out),
    ):
        wanted = samples.batch(0, samples.n_samples(0))
        for one, other in zip(batch, wanted, strict=True):
            assert one is not None and other is not None
            assert one.dtype == other.dtype and np.array_equal(one, other)


def test_text_has_no_documents_and_little_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(write_text(tmp_path / "data.txt"), tmp_path, held_out=0.0)
    for name, most, rows in (
        ("MOST_SEQUENCES", 5, 5),
        ("MOST_TOKENS", 27, 3),
        ("MOST_TOKENS", 6, 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(replay_sample, name, most)
            write_reservoir(tmp_path / RESERVOIR, data, training=TRAINING)
        tensors = load((tmp_path / RESERVOIR).read_bytes())
        assert set(tensors) == {"tokens", "targets"}
        assert tensors["tokens"].shape == (rows, 7) and tensors["tokens"].dtype == np.int32


@pytest.mark.parametrize("keep", [0, 9, 200, -10])
def test_a_cut_file_is_refused_and_a_missing_one_is_none(keep: int, tmp_path: Path) -> None:
    data = prepared(write_dialogues(tmp_path / "data.jsonl"), tmp_path)
    folder = folder_with(data, tmp_path)
    path = folder / "training" / RESERVOIR
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FolderError, match=rf"{RESERVOIR} is damaged: .* or delete it"):
        read_reservoir(folder)
    path.unlink()
    assert read_reservoir(folder) is None


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    data = prepared(write_dialogues(tmp_path / "data.jsonl"), tmp_path)
    folder = folder_with(data, tmp_path)
    path = folder / "training" / RESERVOIR
    whole, wanted = path.read_bytes(), read_reservoir(folder)
    assert wanted is not None
    refused = 0
    places = [*range(0, 500, 7), *range(500, len(whole), len(whole) // 60)]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << number % 8
        path.write_bytes(damaged)
        try:
            found = read_reservoir(folder)
        except FolderError as error:
            assert RESERVOIR in str(error)
            refused += 1
            continue
        assert found is not None
        assert_equal(found, wanted)
    assert refused > 0.8 * len(places)  # in the name "sha256" and in spaces a flip does no harm


def assert_equal(one: Reservoir, other: Reservoir) -> None:
    """Both have the same samples."""
    assert one.held_out is not None and other.held_out is not None
    for batch, wanted in ((one.known, other.known), (one.held_out, other.held_out)):
        for mine, theirs in zip(batch, wanted, strict=True):
            assert mine is not None and theirs is not None and np.array_equal(mine, theirs)


def test_another_tokenizers_sample_is_told_and_left_out(tmp_path: Path) -> None:
    data = prepared(write_dialogues(tmp_path / "data.jsonl"), tmp_path)
    folder = folder_with(data, tmp_path)
    assert read_reservoir(folder, fingerprint=data.tokenizer.fingerprint) is not None
    other = Tokenizer.learn(["a b c"], kind="words").fingerprint
    with pytest.warns(UserWarning, match="made with another tokenizer and is left out"):
        assert read_reservoir(folder, fingerprint=other) is None
    path = folder / "training" / RESERVOIR
    path.write_bytes(save(load(path.read_bytes())))  # as one that names none
    assert read_reservoir(folder, fingerprint=other) is not None


def test_a_training_leaves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    data = write_dialogues(tmp_path / "data.jsonl")
    train(request(data, tmp_path / "out", steps=2, aim="generalize"))
    found = read_reservoir(tmp_path / "out")
    assert found is not None and found.held_out is not None
    assert found.known[0].shape[1] == 16
