"""Parquet → records: only the columns that are needed, a few rows at a time, in bounded memory.

This is the one door to pyarrow: whatever it raises over a file becomes a DataError.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nextword.data.records.file_format import File
from nextword.data.records.read_report import Tally
from nextword.data.records.readers import Record
from nextword.data.records.record_schemas import Shape
from nextword.errors import DataError, MissingExtraError

BATCH_ROWS = 512  # rows decoded at a time
BATCH_BYTES = 16 << 20  # that they should have at most, by what the file declares
BUFFER = 1 << 20  # bytes read at a time
LARGEST_GROUP = 256 << 20  # bytes that a row group may unpack to …
MOST_UNPACKED = 100  # … unless it is at most so many times larger than the file
LARGEST_FOOTER = 64 << 20  # bytes of metadata


def column_names(file: File) -> list[str]:
    """Return the names of a Parquet file's columns.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: the file is damaged, or holds no row.
    """
    with _opened(file) as table:
        if not table.metadata.num_rows:
            raise DataError(f"{file.name} is {file.title} without a single readable record")
        return list(table.schema_arrow.names)


def parquet_rows(file: File, shape: Shape, tally: Tally | None = None) -> Iterator[Record]:
    """One record per row of a Parquet file.

    Args:
        file: the file.
        shape: of its records; columns that it does not use are not read.
        tally: counts the columns that are not read.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: the file is damaged, or unpacks to more than fits into memory.
    """
    with _opened(file) as table:
        given, n_rows = table.schema_arrow.names, table.metadata.num_rows
        wanted = shape.columns(given)
        for name in given:
            if name not in wanted and tally is not None:
                tally.leave_unused(name, n_rows)
        batch_rows = _check_sizes(file, table.metadata)
        for number, value in enumerate(_values(table, wanted, batch_rows), 1):
            yield Record(value, f"row {number}", file.size * number // max(n_rows, 1))


def _values(table: Any, wanted: Sequence[str], batch_rows: int) -> Iterator[dict[str, Any]]:
    """The rows as objects; one is made at a time, as equal values are stored once."""
    for batch in table.iter_batches(batch_size=batch_rows, columns=list(wanted)):
        columns = [(name, batch.column(name)) for name in wanted]
        for row in range(batch.num_rows):
            yield {name: values[row].as_py() for name, values in columns}


@contextmanager
def _opened(file: File) -> Iterator[Any]:
    """A Parquet file; what goes wrong with it from here on is a DataError."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {file.name}") from None
    known = (
        *(pyarrow.ArrowException, ArithmeticError, LookupError, MemoryError, OSError),
        *(NotImplementedError, TypeError, UnicodeError, ValueError),
    )
    try:
        _check_footer(file)
        options = {"memory_map": False, "pre_buffer": False, "buffer_size": BUFFER}
        names = _texts(parquet.ParquetFile(file.path, **options))
        with parquet.ParquetFile(file.path, read_dictionary=names, **options) as table:
            yield table
    except known as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{file.name} is damaged: {reason}. Fetch or write it again") from error


def _texts(table: Any) -> list[str]:
    """Close a file and return its columns of text: equal values in them are kept only once."""
    with table:
        import pyarrow

        is_text = (pyarrow.types.is_string, pyarrow.types.is_large_string)
        return [item.name for item in table.schema_arrow if any(is_(item.type) for is_ in is_text)]


def _check_footer(file: File) -> None:
    """Refuse metadata that would not fit into memory, or that lie outside of the file."""
    if file.size < 12:
        raise ValueError(f"it has {file.size} bytes")
    with file.path.open("rb") as stream:
        stream.seek(-8, 2)
        end = stream.read(8)
    size = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or size > min(LARGEST_FOOTER, file.size - 8):
        raise ValueError("it does not end as a Parquet file does")


def _check_sizes(file: File, metadata: Any) -> int:
    """Return how many rows to decode at a time, by what the file declares.

    Only the row groups' own sizes are asked for: pyarrow ends the process over some damaged
    metadata of columns.

    Raises:
        DataError: a row group unpacks to far more than the file has.
    """
    largest_row = 1
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size, n_rows = group.total_byte_size, group.num_rows
        if size < 0 or n_rows < 0:
            raise ValueError(f"row group {number + 1} declares {size} bytes and {n_rows} rows")
        if size > LARGEST_GROUP and size > MOST_UNPACKED * file.size:
            raise DataError(
                f"{file.name}: row group {number + 1} unpacks to {size / 1e6:,.0f} MB, and the "
                f"file has {file.size / 1e6:,.3f} MB; write it with smaller row groups, or as JSON "
                "Lines"
            )
        largest_row = max(largest_row, size // max(n_rows, 1))
    return max(1, min(BATCH_ROWS, BATCH_BYTES // largest_row))
