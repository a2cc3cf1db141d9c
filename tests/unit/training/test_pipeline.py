"""A run and its data: the same data under other names, and a model's folder among them."""

from pathlib import Path

import pytest
from tests.small_runs import (
    BrokenOffError,
    Notes,
    breaking_at,
    left_by,
    quick,
    request,
    write_dialogues,
)

from nextword.training.pipeline import train


@pytest.mark.parametrize("name", ["renamed.jsonl", "a.jsonl"])
def test_an_interrupted_run_goes_on_with_its_data_under_another_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data = write_dialogues(tmp_path / "a.jsonl")
    train(request(data, tmp_path / "whole"))
    with pytest.raises(BrokenOffError):
        train(request(data, tmp_path / "out"), reporter=breaking_at(6))
    data.rename(tmp_path / name)
    notes = Notes()
    train(request(tmp_path / name, tmp_path / "out"), reporter=notes)
    assert "going on from step 4" in notes.notes
    assert left_by(tmp_path / "out") == left_by(tmp_path / "whole")


def test_a_model_inside_its_data_is_trained_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    folder = tmp_path / "talks"
    folder.mkdir()
    write_dialogues(folder / "a.jsonl")
    first = train(request(folder, folder / "m"))
    again = train(request(folder, folder / "m"))
    assert again.already and again.lines() == first.lines()
    other = train(request(folder, folder / "m2"))
    assert not other.already
    assert left_by(folder / "m2") == left_by(folder / "m")
