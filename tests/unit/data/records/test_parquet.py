"""Parquet: needed columns alone, in bounded memory, and no error of pyarrow's own."""

import resource
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.files import DIALOGUES, PAIRS, read, refusal

from nextword.data.corpus import open_corpus
from nextword.data.dialogue import Dialogue
from nextword.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is an optional package")
from pyarrow import parquet  # noqa: E402

GROWTH = 300 << 20  # bytes of memory that a small file may take


def wrote(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def pairs() -> dict[str, Any]:
    return {name: [pair[name] for pair in PAIRS] for name in PAIRS[0]}


@pytest.mark.parametrize(
    "values",
    [
        lambda: pyarrow.array([1, 2], pyarrow.timestamp("ns")),
        lambda: pyarrow.array([2**50, 2**50], pyarrow.timestamp("ms")),
        lambda: pyarrow.array([10**7, 10**7], pyarrow.date32()),
        lambda: pyarrow.array([datetime(2020, 1, 1)] * 2, pyarrow.timestamp("us", tz="Mars/X")),
    ],
)
def test_columns_that_are_not_needed_are_not_converted(tmp_path: Path, values: Any) -> None:
    corpus = open_corpus([wrote(tmp_path / "a.parquet", {**pairs(), "when": values()})])
    assert list(corpus) == DIALOGUES
    assert corpus.reading_report()[0].unused == {"when": 2}


def test_messages_and_columns_in_other_letter_case(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "eins"}]
    assert read(wrote(tmp_path / "a.parquet", {"Messages": [turns]})) == DIALOGUES[:1]
    columns = {"Frage": ["one"], "Antwort": ["eins"]}
    path = wrote(tmp_path / "b.parquet", columns)
    assert read(path, columns={"prompt": "Frage", "reply": "Antwort"}) == DIALOGUES[:1]


def test_equal_values_are_not_unpacked_side_by_side(tmp_path: Path) -> None:
    value = "a cat " * 160_000  # 1 MB, kept once in the file
    path = wrote(tmp_path / "a.parquet", {"prompt": ["p"] * 560, "reply": [value] * 560})
    assert path.stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert sum(len(d.turns[1]) for d in open_corpus([path]) if isinstance(d, Dialogue)) > 1 << 29
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before < GROWTH


def test_a_column_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    values = [str(n) + "a" * (1 << 20) for n in range(300)]
    path = wrote(tmp_path / "a.parquet", {"text": values}, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1 << 20
    assert "row group 1 unpacks to" in refusal(path)


MUTANTS = """
import random, sys
from pathlib import Path
from nextword.errors import DataError
from nextword.data.corpus import open_corpus
path, seed = Path(sys.argv[1]), int(sys.argv[2])
whole, draws = path.read_bytes(), random.Random(seed)
refused = 0
for _ in range(300):
    content = bytearray(whole)
    for _ in range(draws.choice([1, 1, 2, 8])):
        content[draws.randrange(len(content))] = draws.randrange(256)
    if draws.random() < 0.1:
        del content[draws.randrange(len(content)):]
    path.write_bytes(content)
    try:
        list(open_corpus([path], skip_bad=True))
    except DataError:
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_files_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    columns = {name: values * 40 for name, values in pairs().items()}
    if seed == 2:
        turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "eins"}]
        columns = {"messages": [turns] * 40}
    path = wrote(tmp_path / "a.parquet", columns, row_group_size=16)
    command = [sys.executable, "-c", MUTANTS, str(path), str(seed)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr[-1000:]
    assert int(ran.stdout) > 30


def test_a_file_without_rows_or_with_a_torn_end(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.parquet", {"text": pyarrow.array([], pyarrow.string())})
    assert "without a single readable record" in refusal(path)
    content = wrote(tmp_path / "b.parquet", pairs()).read_bytes()
    for size in (4, 11, len(content) // 2, len(content) - 1):
        (tmp_path / "b.parquet").write_bytes(content[:size])
        with pytest.raises(DataError, match=r"^b\.parquet is damaged: .* Fetch or write it again"):
            read(tmp_path / "b.parquet")
