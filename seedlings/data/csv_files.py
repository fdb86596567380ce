"""CSV files as spreadsheets and statistics programs write them: encodings, delimiters, lines.

The reader is Python's `csv`. That of pandas takes the first column for an index if the rows end
with a delimiter, fills rows that are too short, and does not tell the line of a row.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seedlings.errors import SeedlingsError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
_NAMES = {letter: name for name, letter in DELIMITERS.items()}
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls
_DECLARATION = re.compile(
    r'sep=([^\w\s"]|[\t ])(\r\n|\r|\n)', re.IGNORECASE
)  # of Excel, on the first line


class Row(NamedTuple):
    """A row of a CSV file: the line on which it begins, and its cells without outer blanks."""

    line: int
    cells: list[str]


def read(
    path: Path, encoding: str | None = None, *, setting: str | None = "data.annotations.encoding"
) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark.

    A file without a byte order mark is in `encoding`, if that is given; `setting` is the parameter
    for it, if there is one. Raises SeedlingsError if
    the file is in another encoding, or a workbook.
    """
    data = path.read_bytes()
    if data.startswith(_WORKBOOKS):
        raise SeedlingsError(f"{path}: expected a CSV file, found a workbook; save it as CSV")
    marked = (codec for mark, codec in _BYTE_ORDER_MARKS.items() if data.startswith(mark))
    codec = next(marked, encoding or "utf-8")
    advice = f", or set {setting} to its encoding" if setting else ""
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        line = 1 + len(re.findall(b"\r\n|\r|\n", data[: error.start]))
        raise SeedlingsError(
            f"{path}, line {line}: expected text in {codec}, found the bytes "
            f"{data[error.start : error.end + 8]!r}; save the file in UTF-8"
            + (f"{advice}, such as cp1252 (Windows in Western Europe)" if advice else "")
        ) from error
    if "\0" in text:
        raise SeedlingsError(
            f"{path}: expected text in {codec}, found zero bytes; save the file in UTF-8"
            + (f"{advice}, such as utf-16-le" if advice else "")
        )
    return text.lstrip("\ufeff")  # a second byte order mark


def delimiters(text: str) -> list[str]:
    """Return the delimiters that a text may have: that of its line `sep=`, or those on line 1.

    Those that are there more often are first. A blank is none of them, as it is part of many names.
    """
    if declared := _DECLARATION.match(text):
        return [_NAMES.get(declared[1], declared[1])]
    first = re.split("[\r\n]", text.lstrip(), maxsplit=1)[0]
    counts = {name: first.count(letter) for name, letter in DELIMITERS.items() if name != "space"}
    found = [name for name in counts if counts[name]]
    return sorted(found, key=lambda name: -counts[name]) or ["comma"]


def rows(path: Path, text: str, delimiter: str) -> list[Row]:
    """Return the rows of the text of a CSV file; rows whose cells are all empty are left out.

    A cell in quotation marks may contain the delimiter and line breaks. `delimiter` is a name in
    DELIMITERS, or a letter. Raises SeedlingsError with the line for wrong quotation marks.
    """
    letter = DELIMITERS.get(delimiter, delimiter)
    try:
        return list(_parse(text, letter))
    except _QuotationError:
        pass
    try:  # without the blanks between a quotation mark and a delimiter
        return list(_parse(re.sub(f'" +(?=[{re.escape(letter)}\r\n]|$)', '"', text), letter))
    except _QuotationError as error:
        raise SeedlingsError(
            f"{path}, line {error.line}: expected quotation marks around whole cells, and two for "
            f"each one inside, found others ({error})"
        ) from error


class _QuotationError(ValueError):
    def __init__(self, line: int, reason: object) -> None:
        super().__init__(reason)
        self.line = line


def _parse(text: str, letter: str) -> Iterator[Row]:
    lines = io.StringIO(text, newline="")
    declared = _DECLARATION.match(text)
    above = 1 if declared else 0
    lines.seek(declared.end() if declared else 0)
    reader = csv.reader(lines, delimiter=letter, skipinitialspace=True, strict=True)
    line = above + 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield Row(line, stripped)
            line = above + reader.line_num + 1
    except csv.Error as error:
        raise _QuotationError(line, error) from error
