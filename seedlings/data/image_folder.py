"""The image folder: the images in data/raw, with labels from their folders or annotations."""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from seedlings import images
from seedlings.data import annotations as annotation_files
from seedlings.data import names
from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.tasks import Task

# Common names of the folders of a data set that is split.
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
    """Return the images with their labels, the unlabelled files, and why others cannot be used.

    The labels come from the annotations if there are any (see annotations.read), else from the
    folders (see `scan`). Unlabelled files are printed. Raises SeedlingsError if there are no
    images, or fewer than two classes.
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
    """Return the images with their labels, sorted by path, and the files outside class folders.

    With the rule `folders`, the top folder is the split and the folder below it is the label; with
    the other rules, the top folder is the label. Columns: path (relative to `raw`, with slashes),
    label, and split ("" without the rule `folders`). A label is the name of the folder without
    outer blanks, in Unicode's form NFC.

    Raises SeedlingsError if there are fewer than two classes, if the folders do not match the rule,
    and if the names of two classes differ in case, blanks or Unicode form alone.
    """
    depth = 2 if rule == "folders" else 1
    rows, unlabelled, folders = [], [], dict[str, str]()
    for path in sorted(_files(raw)):
        name = names.normal(path.parts[depth - 1]) if len(path.parts) > depth else ""
        if not name.strip():
            unlabelled.append(str(path))
            continue
        folders.setdefault(name, "/".join(path.parts[:depth]))
        rows.append((str(path), name.strip(), _split_of(path, raw) if depth == 2 else ""))
    table = pd.DataFrame(rows, columns=["path", "label", "split"], dtype=str)
    names.check_distinct(folders, str(raw), "give the folders of a class one name")
    _check_classes(table, raw, rule)
    return table, unlabelled


def _files(raw: Path) -> Iterator[PurePosixPath]:
    for path in raw.rglob("*"):
        if path.is_file():
            yield PurePosixPath(path.relative_to(raw).as_posix())


def _split_of(path: PurePosixPath, raw: Path) -> str:
    folder = path.parts[0]
    split = _SPLITS.get(folder.strip().lower())
    if split is None:
        raise SeedlingsError(
            f"split.rule is `folders`: expected train, validation and test in {raw}, "
            f"found the folder {folder!r}; rename it, or set split.rule to `per_class`"
        )
    return split


def _check_classes(table: pd.DataFrame, raw: Path, rule: str) -> None:
    labels = sorted(table["label"].unique())
    if rule == "per_class" and labels and all(label.lower() in _SPLITS for label in labels):
        raise SeedlingsError(
            f"expected one folder for each class in {raw}, found {', '.join(labels)}; "
            "set split.rule to `folders` to keep that split, or data.folder to one of them"
        )
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise SeedlingsError(
            f"expected at least two classes, one folder for each, in {raw}, found {found}; "
            "set data.path and data.folder to the folder with the class folders"
        )


def accept(
    scanned: pd.DataFrame,
    kept: pd.DataFrame,
    reasons: list[str],
    on_bad_image: str,
    *,
    has_classes: bool = True,
) -> None:
    """Check that training can continue with the images `kept` of `scanned`; print the reasons.

    Raises SeedlingsError with all reasons if `on_bad_image` is `refuse`, and also if a class or the
    whole table has no images left.
    """
    if reasons and on_bad_image == "refuse":
        raise SeedlingsError(
            f"{len(reasons)} files cannot be used as images:\n  "
            + "\n  ".join(reasons)
            + "\nrepair or remove them, or set data.on_bad_image to `skip` to skip them"
        )
    for reason in reasons:
        print(f"skipped: {reason}", file=sys.stderr)
    if kept.empty:
        raise SeedlingsError("expected usable images, found none; see the skipped files above")
    lost = sorted(set(scanned["label"]) - set(kept["label"])) if has_classes else []
    if lost:
        raise SeedlingsError(
            f"expected usable images of every class, found none of: {', '.join(lost)}; "
            "repair the images of the class, or remove the class"
        )


def bad_unlabelled(unlabelled: list[str], raw: Path) -> list[str]:
    """Return an error for each image outside the class folders; print the other files there.

    An image outside the class folders is an error because it has no label.
    """
    bad = []
    for name in unlabelled:
        if images.has_image_ending(name):
            bad.append(f"{raw / name}: an image outside every class folder")
        else:
            print(f"unlabelled: {raw / name} is outside every class folder", file=sys.stderr)
    return bad
