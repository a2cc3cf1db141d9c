"""CSV and TSV → records. A quote that is never closed costs its own line, not those after it.

A quoted cell may run over several lines. Where that goes wrong, or looks wrong, the lines after
the first are read again as rows, or the lines that are lost are counted and named.
"""

import csv
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nextword.data.records.delimited_rows import LONGEST_ROW, separator_line, split_row
from nextword.data.records.file_format import File
from nextword.data.records.read_report import Tally
from nextword.data.records.readers import Broken, Record, lines_of, not_in_encoding
from nextword.errors import DataError

MANY_LINES = 10  # a cell of more is named
ROW_LIKE = 0.9  # of the lines within a cell: so many look like rows where a quote is not closed
LINES_LOOKED_AT = 1000
MOST_REPAIRS = 100  # times that lines are read again; beyond, they are counted as lost
LONGEST_TSV_CELL = 100  # lines; a quote that is still open after them is an ordinary character


@dataclass(frozen=True, slots=True)
class _Line:
    text: str  # with its line break
    number: int
    read: int  # bytes of the file up to its end


@dataclass
class _Row:
    """A row, or why there is none; and the lines that it took."""

    cells: list[str]
    lines: list[_Line]
    problem: str = ""

    @property
    def place(self) -> str:
        """Its lines, as "3" or "3-17"."""
        first, last = self.lines[0].number, self.lines[-1].number
        return str(first) if first == last else f"{first}-{last}"

    @property
    def is_blank(self) -> bool:
        return not self.problem and not any(cell.strip() for cell in self.cells)


def table_rows(file: File, broken: Broken, tally: Tally | None = None) -> Iterator[Record]:
    """One record per row of CSV or TSV; the first row names the columns.

    Rows without any text are passed over, and so are Excel's empty columns at the right.

    Args:
        file: the file.
        broken: is told of rows that cannot be read, and how many lines they took.
        tally: is told of cells that look as if a quote were not closed.
    """
    table = _Table(file, broken, Tally(file.name) if tally is None else tally)
    for row in table.rows():
        value = dict(zip(table.columns, row.cells, strict=True))
        yield Record(value, row.place, min(row.lines[-1].read, file.size))


@dataclass
class _Table:
    file: File
    broken: Broken
    tally: Tally
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines = _decoded_lines(self.file, self.broken)
        self._again: deque[_Line] = deque()
        self._repairs = 0

    def rows(self) -> Iterator[_Row]:
        """The rows below the first, each with as many cells as there are columns."""
        while (line := self._next()) is not None:
            if line.number == 1 and separator_line(line.text) is not None:
                continue
            row = self._row(line)
            if row.is_blank:
                continue
            if not self.columns and not row.problem:
                self.columns = _column_names(self.file, row.cells)
            elif self._is_sound(row):
                yield row

    def _next(self) -> _Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _row(self, line: _Line) -> _Row:
        """The row that begins with a line."""
        if '"' not in line.text:
            return self._fitted(_Row(_plain_cells(line.text, self.file.delimiter), [line]))
        row = self._fitted(self._quoted(line))
        is_tsv = self.file.delimiter == "\t"
        if is_tsv and (row.problem or self._holds_rows(row.lines[1:-1])):
            self._again.extendleft(reversed(row.lines[1:]))  # TSV has no quotes in practice
            return self._fitted(_Row(_plain_cells(line.text, "\t"), [line]))
        return row

    def _quoted(self, line: _Line) -> _Row:
        """A row with quotes, which may take several lines."""
        lines = [line]
        longest = LONGEST_TSV_CELL if self.file.delimiter == "\t" else None

        def feed() -> Iterator[str]:
            size = len(line.text)
            yield line.text
            while size <= LONGEST_ROW and (longest is None or len(lines) < longest):
                following = self._next()
                if following is None:
                    return
                lines.append(following)
                size += len(following.text)
                yield following.text

        try:
            cells = next(csv.reader(feed(), delimiter=self.file.delimiter, strict=True))
        except csv.Error as error:
            problem = str(error)
            if "unexpected end" in problem or len(lines) > 1:
                problem = f"a quote that opens in line {line.number} is not closed"
            return _Row([], lines, f"not valid CSV ({problem})")
        return _Row(cells, lines)

    def _fitted(self, row: _Row) -> _Row:
        """The row without Excel's empty cells at the right; a problem where it does not fit."""
        n = len(self.columns)
        if row.problem or not n or row.is_blank:
            return row
        while len(row.cells) > n and not row.cells[-1].strip():
            row.cells.pop()
        if len(row.cells) != n:
            row.problem = f"{len(row.cells)} fields for {n} columns"
        return row

    def _is_sound(self, row: _Row) -> bool:
        """Whether a row can be used; if not, it is told, and what it swallowed is read again."""
        lines = row.lines
        if not row.problem:
            if len(lines) > 1:
                self._note_long_cell(row)
            return True
        if self._holds_rows(lines[1:]) and self._repairs < MOST_REPAIRS:
            self._repairs += 1
            self._again.extendleft(reversed(lines[1:]))
            first = lines[0].number
            self.broken(f"{self.file.name}:{first}", "a quote is opened and never closed")
        else:
            lost = f"; lines {row.place.replace('-', ' to ')}" if len(lines) > 1 else ""
            where = f"{self.file.name}:{row.place}"
            self.broken(where, f"{row.problem}{lost}", lines=len(lines))
        return False

    def _note_long_cell(self, row: _Row) -> None:
        place = f"lines {row.place.replace('-', ' to ')}"
        if self._holds_rows(row.lines[1:-1]):
            what = "a cell that holds lines like rows: is a quote not closed there?"
            self.tally.note(what, place)
        elif len(row.lines) > MANY_LINES:
            self.tally.note(f"a cell of more than {MANY_LINES} lines", place)

    def _holds_rows(self, lines: Sequence[_Line]) -> bool:
        """Whether lines look as if each were a row of its own."""
        n = len(self.columns)
        looked_at = [line for line in lines[:LINES_LOOKED_AT] if line.text.strip()]
        if n < 2 or not looked_at:
            return False
        cells = (split_row(line.text, self.file.delimiter) for line in looked_at)
        fitting = sum(len(row or ()) == n for row in cells)
        return fitting >= ROW_LIKE * len(looked_at)


def _plain_cells(text: str, delimiter: str) -> list[str]:
    return text.rstrip("\r\n").split(delimiter)


def _decoded_lines(file: File, broken: Broken) -> Iterator[_Line]:
    """The lines of a file as text, at any kind of line break."""
    number = 0
    for line, begin in lines_of(file):
        for part in line.splitlines(keepends=True):
            number += 1
            try:
                text = part.decode("utf-8")
            except UnicodeDecodeError as error:
                broken(f"{file.name}:{number}", not_in_encoding(file, begin + error.start))
            else:
                yield _Line(text, number, begin + len(part))
            begin += len(part)


def _column_names(file: File, row: Sequence[str]) -> list[str]:
    """The names of the columns, without empty ones at the right."""
    names = [name.strip() for name in row]
    while names and not names[-1]:
        names.pop()
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        raise DataError(f"{file.name} has two columns named {twice[:80]!r}; rename one of them")
    return names
