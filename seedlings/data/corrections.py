"""Corrections: what people have decided about the labels of images, in data/corrections.csv.

The file is in Git. A line is a decision about one image: another label, `drop`, or the same label,
which is right. The digest of the image file names the image, so that a renamed file keeps its
decision. Neither the images nor the annotations are changed.
"""

import string
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seedlings.config import params, paths
from seedlings.data import csv_files, names
from seedlings.data.csv_files import Row
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.io.files import write_csv
from seedlings.io.parts import HEX_DIGITS
from seedlings.io.path_filters import flaw_of
from seedlings.io.split_table import SPLITS
from seedlings.tasks import Task

DROP = "drop"
_SHOWN = 10


class Decision(NamedTuple):
    """A line of the file. `new` is a label, or `drop`; the last three are for people."""

    digest: str  # of the image file, as in the split table
    path: str  # of the image when it was decided, for messages
    old: str
    new: str
    by: str = ""
    when: str = ""
    note: str = ""


COLUMNS = Decision._fields
Decisions = Mapping[int, Decision]  # by line


@dataclass(frozen=True, slots=True)
class Applied:
    """The split table with the corrected labels, and what the decisions came to."""

    table: pd.DataFrame  # with `original`, the label before; a dropped image has an empty label
    decided: pd.DataFrame  # digest and label of each image whose label a person has decided
    dropped: list[str]  # paths
    refused: list[str]  # why other lines are not applied
    counts: dict[str, int]  # of images and of lines, for the record of the stage


def read(path: Path, task: Task) -> dict[int, Decision]:
    """Return the decisions in a file by their lines.

    Raises SeedlingsError if there is no file, with all lines that cannot be used, and with the
    lines that decide differently about one image.
    """
    if not path.is_file():
        raise SeedlingsError(
            f"expected a file {path}, found none; without decisions it has one line: "
            f"{','.join(COLUMNS)}"
        )
    text = csv_files.read(path, setting=None)
    header, *rows = csv_files.rows(path, text, csv_files.delimiters(text)[0]) or [Row(1, [])]
    if sorted(header.cells) != sorted(COLUMNS):
        raise SeedlingsError(
            f"{path}, line {header.line}: expected the columns {','.join(COLUMNS)}, found "
            f"{','.join(header.cells) or 'none'}"
        )
    found, problems = {}, []
    for row in rows:
        if len(row.cells) != len(COLUMNS):
            problem: str | None = (
                f"expected {len(COLUMNS)} cells, found {len(row.cells)}, the first {row.cells[0]!r}"
            )
        else:
            cells = dict(zip(header.cells, row.cells, strict=True))
            decision = Decision(**{key: names.normal(cell) for key, cell in cells.items()})
            found[row.line], problem = decision, _problem(decision, task)
        if problem:
            problems.append(f"line {row.line}: {problem}")
    if problems:
        raise SeedlingsError(
            f"{path}: expected a decision on each line, found others:\n  "
            + "\n  ".join(problems)
            + "\nrepair or remove these lines"
        )
    _check_conflicts(path, found, task)
    return found


def write(path: Path, decisions: Sequence[Decision]) -> None:
    """Write decisions, one a line, sorted, so that Git merges the files of two people."""
    write_csv(path, pd.DataFrame(sorted(set(decisions)), columns=list(COLUMNS)))


def apply(table: pd.DataFrame, decisions: Decisions, task: Task, path: Path) -> Applied:
    """Return the table with the labels that the decisions in the file `path` give.

    `table` has the columns path, label, split and digest. A decision applies to the images with its
    digest and its old label. Raises SeedlingsError if a class, a tag or a split that is left has
    too few images.
    """
    wanted = {decision.digest for decision in decisions.values()}
    rows: dict[str, list[int]] = {digest: [] for digest in wanted}
    for row in np.flatnonzero(table["digest"].isin(wanted)).tolist():
        rows[table["digest"].iloc[row]].append(row)
    before = table["label"].tolist()
    after, lines, refused = before.copy(), {}, []
    for line, decision in decisions.items():
        old, new = task.canonical(decision.old), _canonical(decision.new, task)
        fitting = [row for row in rows[decision.digest] if task.canonical(before[row]) == old]
        for row in fitting:
            lines[row] = line
            if new != old:
                after[row] = "" if new == DROP else new
        if not fitting:
            found = table.iloc[rows[decision.digest]]
            refused.append(f"{path}, line {line}: {_misfit(decision, found, task)}")
    applied = table.assign(label=after, original=before)
    if decisions:
        _check(applied, decisions, lines, task, path)
    decided = applied.iloc[sorted(lines)]
    dropped = decided["label"] == ""
    changed = decided["label"] != decided["original"]
    counts = {
        "corrected": int((changed & ~dropped).sum()),
        "dropped": int(dropped.sum()),
        "confirmed": int((~changed).sum()),
        "corrections_not_applied": len(refused),
    }
    kept = decided.loc[~dropped, ["digest", "label"]].drop_duplicates()
    return Applied(
        table=applied,
        decided=kept.sort_values(["digest", "label"]),
        dropped=decided.loc[dropped, "path"].tolist(),
        refused=refused,
        counts=counts,
    )


def warn(applied: Applied) -> None:
    """Print what the decisions came to, and the first lines that are not applied."""
    if not any(applied.counts.values()):
        return
    print(
        "split: labels corrected: {corrected}, confirmed: {confirmed}; images dropped: {dropped}; "
        "lines not applied: {corrections_not_applied}".format(**applied.counts)
    )
    for line in applied.refused[:_SHOWN]:
        print(f"split: not applied: {line}", file=sys.stderr)
    if len(applied.refused) > _SHOWN:
        more = len(applied.refused) - _SHOWN
        print(f"split: {more} more are in {paths.record('split')}", file=sys.stderr)


def _problem(decision: Decision, task: Task) -> str | None:
    """Return why a decision cannot be used with any image, or None."""
    is_hex = set(decision.digest) <= set(string.hexdigits.lower())
    if len(decision.digest) != HEX_DIGITS or not is_hex:
        return (
            f"expected the digest of the image file, {HEX_DIGITS} letters of 0-9a-f, as in "
            f"data/split.csv, found {decision.digest!r}"
        )
    for column, label in (("old", decision.old), ("new", decision.new)):
        if flaw := flaw_of(label):
            return f"{column} {label!r} {flaw}"
        is_drop = column == "new" and label == DROP
        if not is_drop and (problem := task.problem(label)):
            return f"{column} {problem}"
    return None


def _canonical(new: str, task: Task) -> str:
    return new if new == DROP else task.canonical(new)


def _check_conflicts(path: Path, decisions: Decisions, task: Task) -> None:
    by_image: dict[str, dict[str, str]] = defaultdict(dict)
    for line, decision in decisions.items():
        new = _canonical(decision.new, task)
        by = f" by {decision.by}" if decision.by else ""
        text = f"line {line}{by}: {decision.path}, {decision.old} → {decision.new}"
        by_image[decision.digest].setdefault(new, text)
    found = ["\n  ".join(texts.values()) for texts in by_image.values() if len(texts) > 1]
    if found:
        raise SeedlingsError(
            f"{path}: expected one decision about an image, found several:\n  "
            + "\n  ".join(found)
            + "\nremove all but one line of each image; a merge keeps the lines of both sides"
        )


def _misfit(decision: Decision, found: pd.DataFrame, task: Task) -> str:
    """Return why a decision applies to none of the images with its digest."""
    change = f"{decision.old} → {decision.new}"
    if found.empty:
        return f"no image has the digest {decision.digest} ({decision.path}, {change})"
    path, label = found[["path", "label"]].iloc[0]
    if decision.new != DROP and task.canonical(label) == task.canonical(decision.new):
        return f"{path} has the new label already ({change}); the line can be removed"
    return f"{path} has the label {label!r}, and the line is for another ({change})"


def _check(
    table: pd.DataFrame,
    decisions: Decisions,
    lines: Mapping[int, int],
    task: Task,
    path: Path,
) -> None:
    """Raise SeedlingsError if the images that are left are too few to train and to evaluate."""
    places: dict[str, set[str]] = defaultdict(set)
    where: dict[str, str] = {}
    for row, (label, split) in enumerate(zip(table["label"], table["split"], strict=True)):
        for name in task.names(label) if label else ():
            places[name].add(split)
            if row in lines:
                where.setdefault(name, f"line {lines[row]}")
    known = {name for label in table["original"] for name in task.names(label)}
    where |= dict.fromkeys(known & places.keys(), "in the data")
    names.check_distinct(where, str(path), "write one name in all lines")
    if DROP in known and any(decision.new == DROP for decision in decisions.values()):
        raise SeedlingsError(
            f"{path}: expected {DROP!r} to mean that an image is dropped, found a class or a tag "
            "of this name in the data; rename it"
        )
    problems = [*_empty_splits(table), *_lost_names(places, known, where, task)]
    if problems:
        raise SeedlingsError(
            f"{path}: with these decisions, too few images are left:\n  " + "\n  ".join(problems)
        )


def _empty_splits(table: pd.DataFrame) -> Iterator[str]:
    for split in SPLITS:
        if (table["split"] == split).any() and not len(split_table.rows(table, split)):
            yield f"expected images in {split}, found all of them dropped"


def _lost_names(
    places: Mapping[str, set[str]], known: set[str], where: Mapping[str, str], task: Task
) -> Iterator[str]:
    """Yield the classes that training lacks, and the new names that a split lacks.

    `places` has the splits of each class or tag, `known` the names in the data without corrections.
    """
    if task.has_classes and len(places) < 2:
        yield f"expected at least two classes, found {', '.join(places) or 'none'}"
    for name, found in sorted(places.items()):
        if name not in known and found != set(SPLITS):
            lacking = ", ".join(split for split in SPLITS if split not in found)
            yield (
                f"{where[name]}: {name!r} is no label of the data, and a new one needs images in "
                f"each split, found none in {lacking}{params.similar(name, sorted(known))}"
            )
        elif task.has_classes and "train" not in found:
            yield f"expected training images of every class, found none of {name}"
