"""What teaching leaves in a folder is no training run; and what a model card says of it."""

from pathlib import Path

import pytest

from nextword.common.lesson_files_layout import has_run, with_lessons


@pytest.mark.parametrize("name", ["settings.json", "finished.json", "checkpoints", "plan.json"])
def test_lessons_alone_are_no_run(name: str, tmp_path: Path) -> None:
    assert not has_run(tmp_path)
    (tmp_path / "training" / "lessons").mkdir(parents=True)
    for taught in ("lessons.jsonl", "lock", "holder.json", ".holder.json.7.partial"):
        (tmp_path / "training" / taught).touch()
    assert not has_run(tmp_path)
    (tmp_path / "training" / name).touch()
    assert has_run(tmp_path)


@pytest.mark.parametrize("card", ["# A model\n", "# A model\n\n## Results\n\nGood.\n\n\n", "x"])
def test_the_card_goes_back_to_what_it_was(card: str) -> None:
    one, three = with_lessons(card, 1), with_lessons(card, 3)
    assert one == (
        f"{card}\n## Lessons\n\n1 lesson was taught after these results were measured; it is in "
        "training/lessons.jsonl.\n"
    )
    assert three.endswith(
        "\n3 lessons were taught after these results were measured; they are in "
        "training/lessons.jsonl.\n"
    )
    assert with_lessons(one, 3) == three and with_lessons(three, 0) == card
    assert with_lessons(one + "\n## Mine\n", 0) == card + "\n## Mine\n"
