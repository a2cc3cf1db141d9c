"""Files replaced together, and second names of them."""

import shutil
from pathlib import Path

import pytest

from nextword.common.atomic_dir import SAVED, finish, put, settled, whole_folder


def no(name: str) -> bool:
    return False


def flat(name: str) -> int:
    return 0


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_before_the_rename_all_is_whole_and_the_old_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    seen: list[tuple[str, str, bool]] = []

    def look() -> None:
        new = (tmp_path / ".saving" / "a").read_text()
        seen.append((new, (settled(tmp_path) / "a").read_text(), (tmp_path / SAVED).exists()))

    with whole_folder(tmp_path, replaces=no, order=flat, before_rename=look) as staging:
        (staging / "a").write_text("new")
    assert seen == [("new", "old", False)]
    assert (tmp_path / "a").read_text() == "new" and names(tmp_path) == {"a"}


def test_an_error_before_the_rename_leaves_the_old(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fail() -> None:
        raise ValueError("no")

    def replace() -> None:
        with whole_folder(tmp_path, replaces=no, order=flat, before_rename=fail) as staging:
            (staging / "a").write_text("new")

    with pytest.raises(ValueError, match="no"):
        replace()
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == {"a"}


def test_finishing_again_leaves_no_rests(tmp_path: Path) -> None:
    """As after a crash between a file put in its place and the end."""
    (tmp_path / SAVED).mkdir()
    for name in "ab":
        (tmp_path / SAVED / name).write_text(name)
    put(tmp_path / SAVED / "a", tmp_path / "a")
    finish(tmp_path, replaces=no, order=flat)
    assert names(tmp_path) == {"a", "b"}


def test_a_second_name_of_one_file_of_a_link_and_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    source = tmp_path / "there" / "file"
    source.write_text("x")
    link = tmp_path / "link"
    link.symlink_to(Path("there") / "file")
    (tmp_path / "deep").mkdir()
    put(link, tmp_path / "deep" / "name")
    assert not (tmp_path / "deep" / "name").is_symlink()
    assert (tmp_path / "deep" / "name").samefile(source)
    put(source, tmp_path / "deep" / "name")
    assert names(tmp_path / "deep") == {"name"}
    shutil.copy(source, tmp_path / "copy")
    put(source, tmp_path / "copy")
    assert (tmp_path / "copy").samefile(source)
