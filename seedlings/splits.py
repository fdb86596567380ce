"""The split: which images are for training, which for validation, which for testing."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.files import write_csv
from seedlings.params import Split

SPLITS = ("train", "validation", "test")
COLUMNS = ["path", "label", "split", "group"]


def choose(table: pd.DataFrame, params: Split, rng: np.random.Generator) -> NDArray[np.str_]:
    """A split (one of SPLITS) for each row of a table with labels and groups.

    By the rule `folders` it is the one that is there, held against the groups; by `per_class` it
    is drawn, see `assign`. Raises SeedlingsError where the rule cannot be kept.
    """
    if params.rule == "folders":
        _check_given(table)
        return table["split"].to_numpy(dtype=str)
    return assign(
        table["label"].to_numpy(dtype=str),
        table["group"].to_numpy(),
        validation_per_class=params.validation_per_class,
        test_share=params.test_share,
        rng=rng,
    )


def assign(
    labels: NDArray[np.str_],
    groups: NDArray[np.int64],
    *,
    validation_per_class: int,
    test_share: float,
    rng: np.random.Generator,
) -> NDArray[np.str_]:
    """A drawn split for each image: stratified, and no group torn apart.

    Each class gives `test_share` of its images (rounded, at least one) to the test and
    `validation_per_class` to the validation. Where groups are too large to fill a number exactly,
    a few fewer are taken, never more.

    Raises SeedlingsError that lists every class that is too small.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    sizes = np.bincount(codes)
    wanted = {
        "test": np.maximum(1, np.round(test_share * sizes).astype(int)),
        "validation": np.full(len(classes), validation_per_class),
    }
    _check_sizes(classes, sizes, wanted["test"], validation_per_class)
    members = _members(groups)
    split = np.full(len(labels), "train", dtype="<U10")
    for name, needed in wanted.items():
        left = needed.copy()
        for group in rng.permutation(len(members)):
            rows = members[group]
            counts = np.bincount(codes[rows], minlength=len(classes))
            if split[rows[0]] == "train" and (counts <= left).all():
                split[rows] = name
                left -= counts
    _check_filled(classes, codes, split)
    return split


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the split (columns path, label, split, group) as CSV."""
    write_csv(path, table[COLUMNS])


def read(path: Path) -> pd.DataFrame:
    """The split as `write` left it: text columns path, label and split, and the number group."""
    text = {"path": str, "label": str, "split": str}
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def classes(table: pd.DataFrame) -> list[str]:
    """The class names, sorted; a class's number is its place here."""
    return sorted(table["label"].unique())


def codes(table: pd.DataFrame) -> NDArray[np.int64]:
    """The class number of each row."""
    return pd.Categorical(table["label"], categories=classes(table)).codes.astype(np.int64)


def rows(table: pd.DataFrame, split: str) -> NDArray[np.int64]:
    """The places of a split's rows."""
    return np.flatnonzero((table["split"] == split).to_numpy())


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images of each class in each split."""
    crossed = pd.crosstab(table["label"], table["split"])
    return crossed.reindex(columns=list(SPLITS), fill_value=0).to_dict("index")


def totals(table: pd.DataFrame) -> dict[str, int]:
    """Images, classes and groups, and the images of each split."""
    sizes = {split: int((table["split"] == split).sum()) for split in SPLITS}
    return {
        "images": len(table),
        "classes": table["label"].nunique(),
        "groups": table["group"].nunique(),
        **sizes,
    }


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _check_given(table: pd.DataFrame) -> None:
    for split in SPLITS:
        here = set(table.loc[table["split"] == split, "label"])
        missing = sorted(set(table["label"]) - here)
        if missing:
            raise SeedlingsError(
                f"split.rule is `folders`: expected images of every class in {split}, "
                f"found none of: {', '.join(missing)}"
            )
    crossing = table[table.groupby("group")["split"].transform("nunique") > 1]
    if len(crossing):
        groups = [" = ".join(rows["path"]) for _, rows in crossing.groupby("group")]
        raise SeedlingsError(
            f"split.rule is `folders`: {len(groups)} groups of (near) duplicates cross the "
            "splits:\n  " + "\n  ".join(groups) + "\nremove one of each, lower "
            "split.duplicate_distance, or use the rule `per_class`"
        )


def _check_sizes(
    classes: NDArray[np.str_], sizes: NDArray, tests: NDArray, validation: int
) -> None:
    small = [
        f"{name}: {size} images, at least {validation + test + 1} needed "
        f"({validation} validation, {test} test, 1 training)"
        for name, size, test in zip(classes, sizes, tests, strict=True)
        if size < validation + test + 1
    ]
    if small:
        raise SeedlingsError(
            "these classes are too small for split.validation_per_class and split.test_share:\n  "
            + "\n  ".join(small)
            + "\nlower them, or add images"
        )


def _check_filled(classes: NDArray[np.str_], codes: NDArray, split: NDArray[np.str_]) -> None:
    lacking = [
        f"{name}: none for {part}"
        for number, name in enumerate(classes)
        for part in SPLITS
        if not ((codes == number) & (split == part)).any()
    ]
    if lacking:
        raise SeedlingsError(
            "groups of near duplicates are too large to fill every split:\n  "
            + "\n  ".join(lacking)
            + "\nraise split.validation_per_class or split.test_share, "
            "or lower split.duplicate_distance"
        )
