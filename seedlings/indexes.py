"""Indexes: a CSV file that names images and says what is to be learnt of each."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from seedlings.errors import SeedlingsError
from seedlings.params import Index
from seedlings.tasks import Task


def read(raw: Path, index: Index, task: Task) -> tuple[pd.DataFrame, list[str]]:
    """Every image that the index names, sorted by path, and why other rows cannot be used.

    Columns: path (relative to `raw`, with /), label (text), and split (""). Several tags of one
    image are brought to one space between them.

    Raises SeedlingsError where the index is missing, is no CSV, or lacks a column.
    """
    cells = _cells(raw / index.file, index)
    rows, reasons, seen = [], [], set()
    for number, (name, text) in enumerate(cells, start=2 if index.header else 1):
        path = _path(name, index)
        label = _label(text, index)
        problem = task.problem(label) or _problem(raw, path)
        if path in seen:
            problem = f"{path} is named a second time"
        seen.add(path)
        if problem:
            reasons.append(f"{raw / index.file}, line {number}: {problem}")
        else:
            rows.append((str(path), label, ""))
    table = pd.DataFrame(rows, columns=["path", "label", "split"], dtype=str)
    return table.sort_values("path", ignore_index=True), reasons


def unnamed(raw: Path, table: pd.DataFrame, index: Index) -> list[str]:
    """The files that lie there and are not named by the index, sorted."""
    named = {*table["path"], index.file}
    files = (path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
    return sorted(set(files) - named)


def _cells(path: Path, index: Index) -> list[tuple[str, str]]:
    """The cells of the two columns, as text, row by row."""
    if not path.is_file():
        raise SeedlingsError(
            f"data.index.file: expected a CSV file at {path}, found none; "
            "it is looked for in what data.path (and data.folder) holds"
        )
    try:
        table = pd.read_csv(
            path,
            header=0 if index.header else None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SeedlingsError(f"{path} is no CSV file in UTF-8: {error}") from error
    columns = [
        _column(table, wanted, path, key)
        for wanted, key in ((index.path, "path"), (index.label, "label"))
    ]
    return list(zip(*(column.str.strip() for column in columns), strict=True))


def _column(table: pd.DataFrame, wanted: int | str, path: Path, key: str) -> pd.Series:
    names = list(table.columns)
    if isinstance(wanted, str) and wanted in names:
        return table[wanted]
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return table.iloc[:, wanted]
    raise SeedlingsError(
        f"data.index.{key}: expected a column of {path}, found {wanted!r}; there are "
        f"{', '.join(map(str, names))} (numbered from 0)"
    )


def _path(name: str, index: Index) -> PurePosixPath:
    """Where the image lies: as its row says, or by the last part of that alone."""
    if index.match == "name":
        name = PureWindowsPath(name).name  # knows both kinds of slashes
    return PurePosixPath(index.images) / (name + index.ending)


def _label(text: str, index: Index) -> str:
    tags = [tag.strip() for tag in text.split(index.separator)] if index.separator else [text]
    return " ".join(tag.replace(" ", "_") for tag in tags if tag) if index.separator else text


def _problem(raw: Path, path: PurePosixPath) -> str | None:
    if path.is_absolute() or ".." in path.parts:
        return f"{path} leaves the folder of images"
    try:
        there = (raw / path).is_file()
    except OSError as error:
        return f"{raw / path} cannot be looked for ({error.strerror})"
    return None if there else f"{raw / path} is not there"
