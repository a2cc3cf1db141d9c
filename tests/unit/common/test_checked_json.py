"""JSON files with a checksum: read back as written, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from nextword.common.checked_json import checksum_of, read_checked_json, write_checked_json
from nextword.errors import FolderError

VALUES: dict[str, Any] = {"b": [1, 2.5, None], "a": {"é": "ß", "n": 1e-7}, "z": True}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_checked_json(path, VALUES)
    assert read_checked_json(path) == VALUES
    assert json.loads(path.read_text(encoding="utf-8"))["sha256"] == checksum_of(VALUES)


def test_the_checksum_by_hand() -> None:
    # printf %s '{"a":[1,2.5],"b":"\u00e9"}' | sha256sum, the escape as it stands
    wanted = "60d4fe7d84d09285a774fa6c850ed0e739e0153890529471751ae4df4e1df886"
    assert checksum_of({"b": "é", "a": (1, 2.5)}) == wanted


def test_spaces_and_order_do_not_count_and_old_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_checked_json(path, VALUES)
    written = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(sorted(written.items()))), encoding="utf-8")
    assert read_checked_json(path) == VALUES
    path.write_text(json.dumps(VALUES), encoding="utf-8")
    assert read_checked_json(path) == VALUES


def test_no_flipped_bit_gives_other_values(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_checked_json(path, VALUES)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_checked_json(path)
        except FolderError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert {key: found.get(key) for key in VALUES} == VALUES
    assert refused > 0.8 * len(whole)


@pytest.mark.parametrize("content", ["", "[1]", "7", '{"a": ', '{"a": 1, "sha256": 3}'])
def test_what_is_no_object_with_its_checksum_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(FolderError, match=r"a\.json"):
        read_checked_json(path)
