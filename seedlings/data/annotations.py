"""Annotations: a CSV file with the path and the label of each image."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from seedlings.config import params
from seedlings.data import csv_files, names
from seedlings.data.csv_files import Row
from seedlings.data.names import Files
from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.io.path_filters import flaw_of
from seedlings.tasks import Task

_SHOWN = 10
_OUTSIDE = (
    "leaves the folder of images; if data.annotations.match is `name`, only the name at its end is "
    "used"
)
_HINT = "; if line 1 has the names of the columns, set data.annotations.header to true"
# How Label Studio names an image in its CSV files.
_LOCAL_FILE = "/data/local-files/?d="
_UPLOAD = re.compile("/data/upload/.*/[0-9a-f]{8}-([^/]+)")


def read(raw: Path, annotations: Annotations, task: Task) -> tuple[pd.DataFrame, list[str]]:
    """Return the images in the annotations, sorted by path, and why other rows cannot be used.

    Columns: path (relative to `raw`, with slashes, as the folder has it), label (text in Unicode's
    form NFC), split (""), row (the place in the file, among the rows that can be used) and, with
    `annotations.group`, known_group. The tags of an image are separated by one space.

    Raises SeedlingsError if the file is missing, is not CSV, or does not have the columns, if no
    row, or no row of a class, can be used, and if the names of two classes differ in case, blanks
    or Unicode form alone.
    """
    images = Files(raw)
    table = _table(images, annotations)
    usable, groups, reasons, seen, lines = [], [], [], set[str](), dict[str, str]()
    for row in table.rows:
        path, label, problem = _use(row, table, images, annotations, task)
        if problem is None and path in seen:
            problem = f"{path} is named a second time"
        seen.add(path)
        for name in [label] if task.has_classes else task.tags(label):
            lines.setdefault(name, f"line {row.line}")
        if problem:
            is_header = row is table.rows[0] and not annotations.header
            reasons.append(f"{table.file}, line {row.line}: {problem}{_HINT if is_header else ''}")
        else:
            usable.append((path, label, ""))
            groups.append("" if table.group is None else names.normal(row.cells[table.group]))
    if reasons and not usable:
        raise _nothing_usable(table, annotations, reasons)
    names.check_distinct(lines, str(table.file), "write one name in all rows of a class")
    if task.has_classes:
        _check_lost(table.file, set(lines) - {"", *(label for _, label, _ in usable)}, reasons)
    found = pd.DataFrame(usable, columns=["path", "label", "split"], dtype=str)
    found["row"] = np.arange(len(found))
    if table.group is not None:
        found["known_group"] = groups
    return found.sort_values("path", ignore_index=True), reasons


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
    own = names.below(raw, annotations.file or "")
    files = {path for path in raw.rglob("*") if path.is_file() and path != own}
    return sorted({path.relative_to(raw).as_posix() for path in files} - {*table["path"]})


class _Table(NamedTuple):
    """The rows of a file below its header, and the numbers of the columns that are used."""

    file: Path
    header: Sequence[str]  # the first row, also if it is not the names of the columns
    rows: Sequence[Row]
    path: int
    label: int
    group: int | None
    width: int  # the number of cells of a row


def _table(images: Files, annotations: Annotations) -> _Table:
    """Return the table in the file of annotations. Raises SeedlingsError as `read` does."""
    file = names.below(images.folder, annotations.file or "")
    if not file.is_file():
        raise SeedlingsError(
            f"data.annotations.file: expected a CSV file at {file}, found none; "
            "the path is relative to the downloaded data (data.path and data.folder)"
        )
    text = csv_files.read(file, annotations.encoding)
    tables, errors = {}, []
    for delimiter in (
        [annotations.delimiter] if annotations.delimiter else csv_files.delimiters(text)
    ):
        try:
            rows = csv_files.rows(file, text, delimiter)
            tables[delimiter] = _with_columns(file, rows, annotations)
        except SeedlingsError as error:
            errors.append(error)
    if not tables:
        raise errors[0]
    likely = [name for name in tables if _names_images(tables[name], images, annotations)]
    if len(likely) > 1:
        raise SeedlingsError(
            f"{file}: expected one delimiter with which the column of paths names images, found "
            f"{' and '.join(likely)}; set data.annotations.delimiter to one of them"
        )
    table = tables[next(iter(likely or tables))]
    if annotations.header:
        _check_header(table, images, annotations)
    return table


def _with_columns(file: Path, rows: Sequence[Row], annotations: Annotations) -> _Table:
    """Return the table of the rows of a file. Raises SeedlingsError if it has not the columns."""
    if not rows:
        raise SeedlingsError(f"{file}: expected a row for each image, found none")
    header = rows[0].cells
    path, label = (_column(file, header, annotations, key) for key in ("path", "label"))
    group = None if annotations.group is None else _column(file, header, annotations, "group")
    least = max(path, label, group or 0) + 1
    if annotations.header:
        width = max([number for number, name in enumerate(header, start=1) if name], default=0)
        return _Table(file, header, rows[1:], path, label, group, max(width, least))
    [(width, _)] = Counter(len(row.cells) for row in rows).most_common(1)
    return _Table(file, header, rows, path, label, group, max(width, least))


def _column(file: Path, header: Sequence[str], annotations: Annotations, key: str) -> int:
    """Return the number of the column of paths, labels or groups."""
    wanted: int | str = getattr(annotations, key)
    if isinstance(wanted, int):
        found = [wanted] if 0 <= wanted < len(header) else []
    else:
        found = [n for n, name in enumerate(header) if names.normal(name) == names.normal(wanted)]
    if len(found) == 1:
        return found[0]
    twice = ", which is there twice" if found else ""
    hint = "" if found else params.similar(str(wanted), header)
    raise SeedlingsError(
        f"data.annotations.{key}: expected a column of {file}, found {wanted!r}{twice}{hint}; "
        f"{_columns(header, annotations)}"
    )


def _columns(header: Sequence[str], annotations: Annotations) -> str:
    """Return the numbers and the names of the columns, as a part of a message."""
    numbers = range(len(header))
    advice = "" if len(header) > 1 else "; if it has several, set data.annotations.delimiter"
    if not annotations.header:
        return f"there are {', '.join(map(str, numbers))} (numbered from 0){advice}"
    named = ", ".join(f"{number} {header[number]!r}" for number in numbers)
    return (
        f"line 1 has the columns {named}{advice}; if it is the row of an image, set "
        "data.annotations.header to false"
    )


def _names_images(table: _Table, images: Files, annotations: Annotations) -> bool:
    """Return whether one of the first rows has the path of an image that is there."""
    return any(
        table.path < len(row.cells) and _find(row.cells[table.path], images, annotations)[1] is None
        for row in table.rows[:_SHOWN]
    )


def _check_header(table: _Table, images: Files, annotations: Annotations) -> None:
    """Raise SeedlingsError if the first row is that of an image."""
    name = table.header[table.path]
    first = table.rows[0].cells if table.rows else []
    other = first[table.path] if table.path < len(first) else ""
    ending = PureWindowsPath(name).suffix
    is_like_others = ending and ending == PureWindowsPath(other).suffix
    if is_like_others or (name and _find(name, images, annotations)[1] is None):
        raise SeedlingsError(
            f"{table.file}: expected the names of the columns in the first row, found the path of "
            f"an image, {name!r}; set data.annotations.header to false, and data.annotations.path "
            "and label to the numbers of their columns"
        )


def _use(
    row: Row, table: _Table, images: Files, annotations: Annotations, task: Task
) -> tuple[str, str, str | None]:
    """Return the path and the label of a row, and why they cannot be used, or None."""
    if len(row.cells) < table.width or any(row.cells[table.width :]):
        found = len(row.cells)
        return "", "", f"expected {table.width} cells, one for each column, found {found}"
    name, label = row.cells[table.path], _label(row.cells[table.label], annotations)
    group = "" if table.group is None else row.cells[table.group]
    for what, text in (("label", label), ("group", group)):
        if flaw := flaw_of(text):
            return name, label, f"the {what} {text!r} {flaw}"
    path, problem = _find(name, images, annotations)
    return path, label, task.problem(label) or problem


def _label(text: str, annotations: Annotations) -> str:
    text = names.normal(text)
    if not annotations.separator:
        return text
    tags = [tag.strip() for tag in text.split(annotations.separator)]
    return " ".join(tag if flaw_of(tag) else "_".join(tag.split()) for tag in tags if tag)


def _find(name: str, images: Files, annotations: Annotations) -> tuple[str, str | None]:
    """Return the path of an image from its name in a row, and why it cannot be used, or None."""
    if flaw := flaw_of(name):
        return name, f"the path {name!r} {flaw}"
    for text in _spellings(name, annotations):
        path = PurePosixPath(annotations.images) / f"{text}{annotations.ending}"
        if path.is_absolute() or ".." in path.parts:
            return str(path), f"{path} {_OUTSIDE}"
        try:
            if found := images.find(path):
                return found, None
        except OSError as error:
            return str(path), f"{images.folder / path} cannot be opened ({error.strerror})"
    if PureWindowsPath(annotations.images, text).drive:
        return str(path), f"{path} {_OUTSIDE}"
    similar = images.similar(path)
    hint = f", but {images.folder / similar} is" if similar else ""
    return str(path), f"{images.folder / path} is not there{hint}"


def _spellings(name: str, annotations: Annotations) -> Iterator[str]:
    """Yield the paths that a name in a row can mean, below the folder of images."""
    upload = _UPLOAD.fullmatch(name)
    if name.startswith(_LOCAL_FILE):
        name = unquote(name.removeprefix(_LOCAL_FILE))
    if annotations.match == "path":
        yield name
        yield name.replace("\\", "/")
    else:
        yield PureWindowsPath(name).name  # splits at slashes and backslashes
        if upload:
            yield upload[1]


def _nothing_usable(
    table: _Table, annotations: Annotations, reasons: Sequence[str]
) -> SeedlingsError:
    more = f"\n  and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return SeedlingsError(
        f"{table.file}: expected rows that can be used, found none:\n  "
        + "\n  ".join(reasons[:_SHOWN])
        + f"{more}\ncheck data.annotations (path, label, images, match, ending); "
        + _columns(table.header, annotations)
    )


def _check_lost(file: Path, lost: set[str], reasons: Sequence[str]) -> None:
    """Raise SeedlingsError if no row of a class can be used."""
    if lost:
        raise SeedlingsError(
            f"{file}: expected usable rows of every class, found none of: "
            f"{', '.join(map(repr, sorted(lost)))}\n  "
            + "\n  ".join(reasons)
            + "\nrepair these rows, or "
            "remove all rows of the class"
        )
