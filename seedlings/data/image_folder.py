"""The image folder: the images in data/raw, with the labels of their folders or annotations."""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from seedlings.data import annotations as annotation_files
from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.tasks import Task

_IMAGE_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# What people call the folders of a split data set.
_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


def read(
    raw: Path, annotations: Annotations, rule: str, task: Task
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return every image with its label, the unlabelled files, and why others cannot be used.

    The labels are those of the annotations if there are any (see annotations.read), else those of
    the folders (see `scan`). Unlabelled files are printed. Raises SeedlingsError where there is
    nothing to learn from.
    """
    if annotations.file is None:
        table, unlabelled = scan(raw, rule)
        return table, unlabelled, bad_unlabelled(unlabelled, raw)
    table, bad = annotation_files.read(raw, annotations, task)
    unnamed = annotation_files.unnamed(raw, table, annotations)
    if task.has_classes and len(set(table["label"])) == 1:
        raise SeedlingsError(
            f"{annotations.table(raw)}: expected at least two classes in the column "
            f"{annotations.label!r} (data.annotations.label), found only {table['label'].iloc[0]!r}"
        )
    if table.empty and not bad:
        raise SeedlingsError(f"{annotations.table(raw)}: expected a row for each image, found none")
    if unnamed:
        print(
            f"unlabelled: {len(unnamed)} files that {annotations.file} does not use",
            file=sys.stderr,
        )
    return table, unnamed, bad


def scan(raw: Path, rule: str) -> tuple[pd.DataFrame, list[str]]:
    """Return every image with its label, sorted by path, and the files outside class folders.

    With the rule `per_class` the label is the top folder; with `folders` the top folder is the
    split and the one below it the label. Columns: path (relative to `raw`, with /), label, and
    split ("" under `per_class`).

    Raises SeedlingsError where there are fewer than two classes, or the folders do not fit.
    """
    depth = 2 if rule == "folders" else 1
    rows, unlabelled = [], []
    for path in sorted(_files(raw)):
        if len(path.parts) <= depth:
            unlabelled.append(str(path))
        elif depth == 1:
            rows.append((str(path), path.parts[0], ""))
        else:
            rows.append((str(path), path.parts[1], _split_of(path.parts[0], raw)))
    table = pd.DataFrame(rows, columns=["path", "label", "split"], dtype=str)
    _check_classes(table, raw, rule)
    return table, unlabelled


def _files(raw: Path) -> Iterator[PurePosixPath]:
    for path in raw.rglob("*"):
        if path.is_file():
            yield PurePosixPath(path.relative_to(raw).as_posix())


def _split_of(folder: str, raw: Path) -> str:
    split = _SPLITS.get(folder.lower())
    if split is None:
        raise SeedlingsError(
            f"split.rule is `folders`: expected train, validation and test in {raw}, "
            f"found the folder {folder!r}; use the rule `per_class`, or rename it"
        )
    return split


def _check_classes(table: pd.DataFrame, raw: Path, rule: str) -> None:
    labels = sorted(table["label"].unique())
    if rule == "per_class" and labels and all(label.lower() in _SPLITS for label in labels):
        raise SeedlingsError(
            f"expected one folder a class in {raw}, found {', '.join(labels)}; set split.rule to "
            f"`folders` to keep that split, or data.folder to one of them"
        )
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise SeedlingsError(
            f"expected at least two classes, one folder each, in {raw}, found {found}; "
            "data.path and data.folder say where the class folders are"
        )


def accept(
    scanned: pd.DataFrame,
    kept: pd.DataFrame,
    reasons: list[str],
    on_bad_image: str,
    *,
    has_classes: bool = True,
) -> None:
    """Go on with `kept` of the `scanned` images, if `data.on_bad_image` says so.

    Raises SeedlingsError that lists all reasons where it says `refuse`, and where a class has lost
    all of its images, or nothing is left.
    """
    if reasons and on_bad_image == "refuse":
        raise SeedlingsError(
            f"{len(reasons)} files cannot be used as images:\n  "
            + "\n  ".join(reasons)
            + "\nmend or remove them, or set data.on_bad_image to `skip` to skip them"
        )
    for reason in reasons:
        print(f"skipped: {reason}", file=sys.stderr)
    if kept.empty:
        raise SeedlingsError("expected usable images, found none; see what was skipped")
    lost = sorted(set(scanned["label"]) - set(kept["label"])) if has_classes else []
    if lost:
        raise SeedlingsError(
            f"expected usable images of every class, found none of: {', '.join(lost)}; "
            "remove the folder, or mend its images"
        )


def bad_unlabelled(unlabelled: list[str], raw: Path) -> list[str]:
    """Return why some of the files outside class folders are errors; print the others.

    An image outside a class folder is an error, as its label is missing.
    """
    bad = []
    for name in unlabelled:
        if PurePosixPath(name).suffix.lower() in _IMAGE_ENDINGS:
            bad.append(f"{raw / name}: an image outside every class folder")
        else:
            print(f"unlabelled: {raw / name} is outside every class folder", file=sys.stderr)
    return bad
