"""Rows of CSV and TSV as lines of text: the delimiter, and the cells of one line."""

import csv
from collections.abc import Mapping

from nextword.data.records.record_keys import is_dialogue_header

LONGEST_ROW = 64 << 20  # characters
DELIMITERS = ("\t", ",", ";")
HEADER_LOOKED_AT = 1 << 20  # characters

csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))  # only ever raised


def split_row(line: str, delimiter: str) -> list[str] | None:
    """Return the cells of one line; None where it is no row by itself."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(delimiter)
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def separator_line(line: str) -> str | None:
    """Return the delimiter that Excel's line `sep=;` names; None where it is no such line."""
    text = line.rstrip("\r\n").strip('"')
    return text[4] if len(text) == 5 and text[:4].lower() == "sep=" else None


def delimiter_of(text: str, *, expected: str) -> str:
    """Return the delimiter that the first line names or uses; the expected one where it can be."""
    header = text.split("\n", 1)[0]
    named = separator_line(header)
    if named is not None:
        return named
    for delimiter in (expected, *DELIMITERS):
        if len(split_row(header, delimiter) or ()) > 1:
            return delimiter
    return expected


def table_delimiter(text: str, columns: Mapping[str, str]) -> str | None:
    """Return the delimiter if a text begins like a table of dialogues, else None.

    Its first line names the columns of a prompt and its reply, and the next line has as many cells.
    """
    lines = text[:HEADER_LOOKED_AT].split("\n", 3)
    named = separator_line(lines[0])
    if named is not None:
        lines = lines[1:]
    if len(lines) < 2:
        return None
    for delimiter in DELIMITERS if named is None else (named,):
        header = [name.strip() for name in split_row(lines[0], delimiter) or ()]
        while header and not header[-1]:
            header.pop()
        row = lines[1].split(delimiter)
        if len(row) >= len(header) > 1 and is_dialogue_header(header, columns):
            return delimiter
    return None
