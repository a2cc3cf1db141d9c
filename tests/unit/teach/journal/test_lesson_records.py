"""The events of a folder, and what follows from them."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.unit.teach.folders import model, teach
from tests.unit.teach.samples import lesson

from nextword.errors import LessonError
from nextword.teach.journal.lesson_records import (
    Event,
    Records,
    events_file,
    lessons_folder,
    sums_of,
    tidy,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = model(tmp_path / "model")
    (made / "training").mkdir()
    return made


def kept(folder: Path, number: int, before: str, after: str) -> None:
    """An event and its change; "now" stands for the sums of the weights that are there."""
    lessons_folder(folder).mkdir(exist_ok=True)
    (lessons_folder(folder) / f"{number:05d}.safetensors").touch()
    present = sums_of(folder)
    one, other = ({"w": name} if name != "now" else present for name in (before, after))
    Event(
        event="kept",
        number=number,
        time="2026-05-04T03:02:01+00:00",
        before=one,
        after=other,
        version_before=before,
        version_after=after,
        change={"file": f"{number:05d}.safetensors", "sha256": "5f"},
        lesson=lesson().as_json() | {"number": number},
    ).append_to(folder)


def undone(folder: Path, numbers: tuple[int, ...], before: str, after: str) -> None:
    one, other = ({"w": name} if name != "now" else sums_of(folder) for name in (before, after))
    Event(
        event="undone",
        numbers=numbers,
        time="2026-05-04T03:02:01+00:00",
        before=one,
        after=other,
        version_before=before,
        version_after=after,
        no_longer=(),
    ).append_to(folder)


def numbers(folder: Path) -> tuple[str, list[int], list[int], tuple[int, ...]]:
    found = Records.read(folder)
    active, absorbed = ([item.number for item in some] for some in (found.active, found.absorbed))
    return found.state, active, absorbed, found.undone


def test_nothing_was_taught(folder: Path) -> None:
    found = Records.read(folder)
    assert numbers(folder) == ("none", [], [], ())
    assert (found.original_version, found.present_version, found.next_number) == (None, None, 1)


def test_a_chain(folder: Path) -> None:
    kept(folder, 1, "a", "b")
    kept(folder, 2, "b", "c")
    kept(folder, 3, "c", "d")
    undone(folder, (2,), "d", "now")
    found = Records.read(folder)
    assert numbers(folder) == ("whole", [1, 3], [], (2,))
    assert (found.original_version, found.present_version, found.next_number) == ("a", "now", 4)
    assert found.versions == {(): "a", (1,): "b", (1, 2): "c", (1, 2, 3): "d", (1, 3): "now"}


def test_other_weights_in_between_and_at_the_end(folder: Path) -> None:
    kept(folder, 1, "a", "b")
    kept(folder, 2, "x", "y")
    kept(folder, 5, "y", "now")
    assert numbers(folder) == ("whole", [2, 5], [1], ())
    kept(folder, 6, "p", "q")
    assert numbers(folder) == ("absorbed", [], [1, 2, 5, 6], ())
    assert Records.read(folder).present_version is None


def test_an_event_that_never_happened(folder: Path) -> None:
    kept(folder, 1, "a", "now")
    whole = events_file(folder).read_bytes()
    kept(folder, 2, "now", "c")
    found = Records.read(folder)
    assert numbers(folder) == ("whole", [1], [], ())
    assert found.pending is not None and found.pending.number == 2
    assert found.next_number == 3  # whoever saw the number 2 is not misled
    for name in (".00003.safetensors.partial", "notes.txt"):
        (lessons_folder(folder) / name).touch()
    assert tidy(folder).pending is None
    assert events_file(folder).read_bytes() == whole
    left = {path.name for path in lessons_folder(folder).iterdir()}
    assert left == {"00001.safetensors", "notes.txt"}  # what is not ours is left alone


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"{}\n", b'{"format": 2}\n', b"\xff\n"])
def test_a_damaged_line_is_named(line: bytes, folder: Path) -> None:
    kept(folder, 1, "a", "now")
    events_file(folder).write_bytes(events_file(folder).read_bytes() + line)
    with pytest.raises(LessonError, match=r"lessons\.jsonl, line 2 is no event .*Put the file"):
        Records.read(folder)


def test_numbers_go_on_after_an_undo_of_all(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    assert (teach(folder, 1), teach(folder, 2)) == (1, 2)
    assert Records.read(folder).next_number == 3


def test_each_line_has_a_checksum_of_all_before_it(folder: Path) -> None:
    kept(folder, 1, "a", "b")
    kept(folder, 2, "b", "now")
    first, second = events_file(folder).read_bytes().splitlines(keepends=True)
    for earlier, line in ((b"", first), (first, second)):
        values = json.loads(line)
        digest = values.pop("sha256")
        content = json.dumps(values, ensure_ascii=False).encode()
        assert hashlib.sha256(earlier + content).hexdigest() == digest
        assert values["format"] == 2


def test_the_second_line_finds_out_a_change_in_the_first(folder: Path) -> None:
    kept(folder, 1, "a", "b")
    path = events_file(folder)
    values = json.loads(path.read_bytes())
    del values["sha256"], values["original"]
    path.write_text(json.dumps(values | {"format": 1}) + "\n")  # as version 0.1 wrote it
    assert Records.read(folder).absorbed[0].number == 1
    kept(folder, 2, "b", "now")
    assert numbers(folder) == ("whole", [1, 2], [], ())
    path.write_bytes(path.read_bytes().replace(b"2026-05-04", b"2026-05-05", 1))
    with pytest.raises(LessonError, match=r"line 2 is no event .*and the lines before it"):
        Records.read(folder)


def test_a_line_of_version_0_1_cannot_follow_one_with_a_checksum(folder: Path) -> None:
    kept(folder, 1, "a", "b")
    kept(folder, 2, "b", "now")
    path = events_file(folder)
    first, second = path.read_bytes().splitlines(keepends=True)
    values = json.loads(second)
    del values["sha256"], values["original"]
    path.write_bytes(first + json.dumps(values | {"format": 1}).encode() + b"\n")
    with pytest.raises(LessonError, match=r"line 2 is no event .*its format is another"):
        Records.read(folder)


@pytest.mark.parametrize(
    ("numbers", "told"), [((2, 1), "has a number that was before"), ((1, 1), "line 2 has a number")]
)
def test_numbers_only_rise(numbers: tuple[int, int], told: str, folder: Path) -> None:
    kept(folder, numbers[0], "a", "b")
    kept(folder, numbers[1], "b", "now")
    with pytest.raises(LessonError, match=told):
        Records.read(folder)


def test_an_undo_of_a_lesson_that_was_not_there(folder: Path) -> None:
    kept(folder, 1, "a", "b")
    undone(folder, (3,), "b", "now")
    with pytest.raises(LessonError, match="line 2 undoes lesson 3, which was not there"):
        Records.read(folder)


def test_sums_that_differ_in_a_few_digits_are_damaged_not_replaced(folder: Path) -> None:
    digest = "0123456789abcdef" * 4
    kept(folder, 1, "a", digest)
    kept(folder, 2, f"f{digest[1:]}", "now")
    with pytest.raises(LessonError, match="line 1 or what follows it is damaged"):
        Records.read(folder)


def test_a_damaged_sum_in_sha256sums_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    teach(folder, 1)
    path = folder / "SHA256SUMS"
    content = path.read_text()
    path.write_text(content.translate(str.maketrans("0123456789", "1234567890")))
    for act in (Records.read, tidy):
        with pytest.raises(LessonError, match=r"model\.safetensors is neither .* SHA256SUMS says"):
            act(folder)
    path.write_text(content)
    assert numbers(folder)[:2] == ("whole", [1])


def test_a_torn_line_is_left_over_only_while_the_weights_are_those_before_it(
    tmp_path: Path,
) -> None:
    folder = model(tmp_path / "model")
    teach(folder, 1)
    path = events_file(folder)
    one = path.read_bytes()
    teach(folder, 2)
    two = path.read_bytes()
    path.write_bytes(two + two[len(one) : -30])  # a third, torn: its weights never came
    assert numbers(folder)[:2] == ("whole", [1, 2])
    path.write_bytes(two[:-10])  # the weights have lesson 2
    for act in (Records.read, tidy):
        with pytest.raises(LessonError, match="its last line is torn, and the weights are not"):
            act(folder)
    assert path.read_bytes() == two[:-10]
    assert (lessons_folder(folder) / "00002.safetensors").exists()
    path.write_bytes(two)
    tidy(folder)
    assert numbers(folder)[:2] == ("whole", [1, 2])
