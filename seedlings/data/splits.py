"""The split: assigns each image to training, validation or test."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.data.params import Split
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.io.split_table import SPLITS
from seedlings.tasks import Task


def choose(
    table: pd.DataFrame, task: Task, params: Split, rng: np.random.Generator
) -> NDArray[np.str_]:
    """Return a split (one of SPLITS) for each row of a table with labels and groups.

    With the rule `folders`, it is the split in the table; if there are no validation or no test
    images, they are drawn from the training images. With the other rules, all splits are drawn; see
    `assign`. Raises SeedlingsError if a class is too small, or if duplicates cross the splits.
    """
    given = table["split"].to_numpy(dtype="<U10")
    if params.rule != "folders":
        return _draw(table, task, params, SPLITS[1:], rng)
    missing = tuple(name for name in SPLITS[1:] if name not in given)
    present = [name for name in SPLITS if name not in missing]
    _check_given(table, task, present, params.crossing_duplicates)
    if missing:
        own = np.flatnonzero(given == "train")
        given[own] = _draw(table.iloc[own], task, params, missing, rng)
    return given


def _draw(
    table: pd.DataFrame,
    task: Task,
    params: Split,
    names: tuple[str, ...],
    rng: np.random.Generator,
) -> NDArray[np.str_]:
    """Return a split for each row: `train`, or one of `names` in the sizes of the parameters."""
    sizes = {"test": params.test_share, "validation": params.validation_share}
    if task.has_classes and params.rule == "per_class":
        sizes["validation"] = params.validation_per_class
    return assign(
        task.strata(table["label"]),
        table["group"].to_numpy(),
        sizes={name: size for name, size in sizes.items() if name in names},
        all_needed=task.has_classes,
        rng=rng,
    )


def assign(
    labels: NDArray[np.str_],
    groups: NDArray[np.int64],
    *,
    sizes: Mapping[str, float],
    all_needed: bool = True,
    rng: np.random.Generator,
) -> NDArray[np.str_]:
    """Return a random split for each image, stratified by label, with each group in one split.

    `sizes` has for each split the number of images of every label (an int), or their share (a
    float; rounded, and at least one image if `all_needed`). The remaining images are for training.
    If groups are too large to match a number exactly, the split has fewer images, never more.

    Raises SeedlingsError that lists all labels that are too small, if `all_needed`.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    least = 1 if all_needed else 0
    wanted = {
        name: np.maximum(least, np.round(size * counts).astype(int))
        if isinstance(size, float)
        else np.full(len(classes), size)
        for name, size in sizes.items()
    }
    if all_needed:
        _check_sizes(classes, counts, wanted)
    members = _members(groups)
    split = np.full(len(labels), "train", dtype="<U10")
    for name, needed in wanted.items():
        left = needed.copy()
        for group in rng.permutation(len(members)):
            rows = members[group]
            there = np.bincount(codes[rows], minlength=len(classes))
            if split[rows[0]] == "train" and (there <= left).all():
                split[rows] = name
                left -= there
    _check_filled(classes if all_needed else None, codes, split, ("train", *sizes))
    return split


def counts(table: pd.DataFrame, task: Task) -> dict[str, dict[str, int]]:
    """Return the number of images in each split, by class (rarest tag, or range of values)."""
    crossed = pd.crosstab(task.strata(table["label"]), table["split"].to_numpy())
    return crossed.reindex(columns=list(SPLITS), fill_value=0).to_dict("index")


def totals(table: pd.DataFrame, task: Task) -> dict[str, int]:
    """Return the number of images, classes (tags; 1 for a number), groups, and images per split."""
    sizes = {split: int((table["split"] == split).sum()) for split in SPLITS}
    return {
        "images": len(table),
        "classes": len(task.outputs(table["label"])),
        "groups": table["group"].nunique(),
        **sizes,
    }


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _check_given(table: pd.DataFrame, task: Task, given: list[str], on_crossing: str) -> None:
    for split in given:
        here = set(table.loc[table["split"] == split, "label"])
        missing = sorted(set(table["label"]) - here) if task.has_classes else []
        if missing:
            raise SeedlingsError(
                f"split.rule is `folders`: expected images of every class in {split}, "
                f"found none of: {', '.join(missing)}"
            )
    crossing = crossing_groups(table)
    if crossing and on_crossing == "refuse":
        raise SeedlingsError(
            f"split.rule is `folders`: {len(crossing)} groups of (near) duplicates cross the "
            "splits:\n  " + "\n  ".join(crossing) + "\nremove one of each, lower "
            "split.duplicate_distance, use another rule, or set split.crossing_duplicates to "
            "`accept`: all metrics are then computed with and without these test images"
        )


def crossing_groups(table: pd.DataFrame) -> list[str]:
    """Return the paths of each group of duplicates that is in more than one split."""
    groups = table[split_table.crossing(table)].groupby("group")
    return [" = ".join(rows["path"]) for _, rows in groups]


def _check_sizes(
    classes: NDArray[np.str_], sizes: NDArray, wanted: Mapping[str, NDArray[np.int64]]
) -> None:
    small = []
    for number, name in enumerate(classes):
        parts = [f"{counts[number]} {split}" for split, counts in wanted.items()]
        needed = sum(int(counts[number]) for counts in wanted.values()) + 1
        if sizes[number] < needed:
            small.append(
                f"{name}: {sizes[number]} images, at least {needed} needed "
                f"({', '.join(parts)}, 1 training)"
            )
    if small:
        raise SeedlingsError(
            "these classes are too small for split.validation_per_class (or validation_share) "
            "and split.test_share:\n  " + "\n  ".join(small) + "\nlower them, or add images"
        )


def _check_filled(
    classes: NDArray[np.str_] | None,
    codes: NDArray,
    split: NDArray[np.str_],
    names: tuple[str, ...],
) -> None:
    missing = [f"none at all for {part}" for part in names if not (split == part).any()]
    if classes is not None:
        missing = [
            f"{name}: none for {part}"
            for number, name in enumerate(classes)
            for part in names
            if not ((codes == number) & (split == part)).any()
        ]
    if missing:
        raise SeedlingsError(
            "the groups of near duplicates are too large to fill every split:\n  "
            + "\n  ".join(missing)
            + "\nraise split.validation_per_class (or validation_share) and split.test_share, "
            "or lower split.duplicate_distance"
        )
