"""Annotations: a CSV file with the path and the label of each image."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.tasks import Task


def read(raw: Path, annotations: Annotations, task: Task) -> tuple[pd.DataFrame, list[str]]:
    """Return the images in the annotations, sorted by path, and why other rows cannot be used.

    Columns: path (relative to `raw`, with slashes), label (text), split (""), and row (the place in
    the file, among the rows that can be used). The tags of an image are separated by one space.

    Raises SeedlingsError if the file is missing, is not CSV, or does not have the columns.
    """
    cells = _cells(annotations.table(raw), annotations)
    rows, reasons, seen = [], [], set()
    for number, (name, text) in enumerate(cells, start=2 if annotations.header else 1):
        path = _path(name, annotations)
        label = _label(text, annotations)
        problem = task.problem(label) or _problem(raw, path)
        if path in seen:
            problem = f"{path} is named a second time"
        seen.add(path)
        if problem:
            reasons.append(f"{annotations.table(raw)}, line {number}: {problem}")
        else:
            rows.append((str(path), label, ""))
    table = pd.DataFrame(rows, columns=["path", "label", "split"], dtype=str)
    table["row"] = np.arange(len(table))
    return table.sort_values("path", ignore_index=True), reasons


def units(table: pd.DataFrame, block: int | None) -> NDArray[np.uint64]:
    """Return the unit of each image of a table with hashes: what gets one draw of the split.

    A unit is named by a hash `exact`: with `block` that of the image which begins the block of the
    row, else that of the image itself. A row begins a block if its hash is the smallest of the
    block/2 rows before and after it (Bjørner et al. 2010, Content-dependent chunking for
    differential compression, the local maximum approach). So blocks have about `block` rows and
    at least half as many, and a row that is added or removed changes only the blocks beside it. The
    rows before the first of these rows belong to its block.
    """
    if block is None:
        return table["exact"].to_numpy(dtype=np.uint64)
    order = np.argsort(table["row"].to_numpy(), kind="stable")
    exact = table["exact"].to_numpy(dtype=np.uint64)[order]
    ranks = np.unique(exact, return_inverse=True)[1]  # the filter would round 64-bit numbers
    begins = ranks == minimum_filter1d(ranks, 2 * (block // 2) + 1, mode="nearest")
    firsts = exact[begins]
    found = np.empty_like(exact)
    found[order] = firsts[np.maximum(np.cumsum(begins) - 1, 0)]
    return found


def unnamed(raw: Path, table: pd.DataFrame, annotations: Annotations) -> list[str]:
    """Return the files in `raw` that the annotations do not name, sorted."""
    named = {*table["path"], annotations.file}
    files = (path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
    return sorted(set(files) - named)


def _cells(path: Path, annotations: Annotations) -> list[tuple[str, str]]:
    """Return the path and the label of each row, as text."""
    if not path.is_file():
        raise SeedlingsError(
            f"data.annotations.file: expected a CSV file at {path}, found none; "
            "the path is relative to the downloaded data (data.path and data.folder)"
        )
    try:
        table = pd.read_csv(
            path,
            header=0 if annotations.header else None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SeedlingsError(f"{path} is no CSV file in UTF-8: {error}") from error
    columns = [
        _column(table, wanted, path, key)
        for wanted, key in ((annotations.path, "path"), (annotations.label, "label"))
    ]
    return list(zip(*(column.str.strip() for column in columns), strict=True))


def _column(table: pd.DataFrame, wanted: int | str, path: Path, key: str) -> pd.Series:
    names = list(table.columns)
    if isinstance(wanted, str) and wanted in names:
        return table[wanted]
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return table.iloc[:, wanted]
    raise SeedlingsError(
        f"data.annotations.{key}: expected a column of {path}, found {wanted!r}; there are "
        f"{', '.join(map(str, names))} (numbered from 0)"
    )


def _path(name: str, annotations: Annotations) -> PurePosixPath:
    """Return the path of an image: the path in its row, or only the name at its end."""
    if annotations.match == "name":
        name = PureWindowsPath(name).name  # splits at slashes and backslashes
    return PurePosixPath(annotations.images) / (name + annotations.ending)


def _label(text: str, annotations: Annotations) -> str:
    if not annotations.separator:
        return text
    tags = [tag.strip() for tag in text.split(annotations.separator)]
    return " ".join(tag.replace(" ", "_") for tag in tags if tag)


def _problem(raw: Path, path: PurePosixPath) -> str | None:
    if path.is_absolute() or ".." in path.parts:
        return f"{path} leaves the folder of images"
    try:
        there = (raw / path).is_file()
    except OSError as error:
        return f"{raw / path} cannot be opened ({error.strerror})"
    return None if there else f"{raw / path} is not there"
