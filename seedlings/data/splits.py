"""The split: assigns each image to training, validation or test, from its content."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.config import paths
from seedlings.data.params import Split
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.io.split_table import SPLITS
from seedlings.tasks import Task

_SHOWN = 10
_EVERYTHING = "all images"  # the class of every image where the task has no classes


class Interval(NamedTuple):
    """The draws of one split: from `start`, around the end of [0, 1), over `length`.

    With `most`, only so many images of each class, the first in the order of the draws.
    """

    start: float
    length: float
    most: int | None = None

    @property
    def least(self) -> int:
        """The number of images that each class needs in this split."""
        return self.most or 1


def choose(table: pd.DataFrame, task: Task, params: Split, seed: int) -> NDArray[np.str_]:
    """Return a split (one of SPLITS) for each row of a table with labels, units and groups.

    With the rule `folders`, it is the split in the table; if there are no validation or no test
    images, they are drawn from the training images. With the other rules, all splits are drawn; see
    `draws` and `assign`. Raises SeedlingsError if a class is too small, or if duplicates cross the
    splits.
    """
    given = table["split"].to_numpy(dtype="<U10")
    if params.rule != "folders":
        return _draw(table, task, intervals(params), seed)
    missing = {name: part for name, part in intervals(params).items() if name not in given}
    present = [name for name in SPLITS if name not in missing]
    _check_given(table, task, present, params.crossing_duplicates)
    if missing:
        own = np.flatnonzero(given == "train")
        given[own] = _draw(table.iloc[own], task, missing, seed)
    return given


def intervals(params: Split) -> dict[str, Interval]:
    """Return the interval of draws of each split but training, in the order of assignment."""
    by_count = params.rule == "per_class"
    return {
        "test": Interval(0.0, params.test_share),
        "validation": Interval(0.0, 1.0, params.validation_per_class)
        if by_count
        else Interval(params.test_share, params.validation_share),
    }


def draws(units: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Return the draw of each unit: a number in [0, 1) from its 64-bit hash and the seed.

    It is a keyed BLAKE2b hash, so it is uniform, and it depends on no other unit.
    """
    key = seed.to_bytes(8)
    distinct, places = np.unique(units, return_inverse=True)
    digests = (
        hashlib.blake2b(int(unit).to_bytes(8), digest_size=8, key=key).digest() for unit in distinct
    )
    numbers = np.array([int.from_bytes(digest) >> 11 for digest in digests], np.float64)
    return (numbers * 2.0**-53)[places]


def _draw(
    table: pd.DataFrame, task: Task, parts: Mapping[str, Interval], seed: int
) -> NDArray[np.str_]:
    labels = table["label"].to_numpy(dtype=str)
    return assign(
        labels if task.has_classes else np.full(len(table), _EVERYTHING),
        table["group"].to_numpy(),
        tags=[task.tags(label) for label in table["label"]],
        draws=draws(table["unit"].to_numpy(dtype=np.uint64), seed),
        parts=parts,
    )


def assign(
    labels: NDArray[np.str_],
    groups: NDArray[np.int64],
    *,
    draws: NDArray[np.float64],
    parts: Mapping[str, Interval],
    tags: Sequence[Sequence[str]] = (),
) -> NDArray[np.str_]:
    """Return the split of each image: `train`, or one of `parts` by the draw of its group.

    The draw of a group is the largest draw of its images. In the order of the draws, a split takes
    the groups in its interval; beyond the interval, only the first group of a class or tag that it
    does not have yet. A group is left for the next split if it exceeds `most`, or if too few images
    of one of its classes, or groups of one of its tags, would be left for the following splits and
    for training. `tags` are those of each image. A tag of too few groups for all splits changes
    nothing.

    Raises SeedlingsError that lists all labels that are too small, or that have no image in a
    split.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    left = np.bincount(codes)
    _check_sizes(classes, left, parts)
    members = _members(groups)
    contents = [Counter(codes[rows].tolist()) for rows in members]
    if tags:
        counted = _add_tags(contents, members, tags, first=len(left), least=len(parts) + 1)
        left = np.concatenate([left, counted])
    highest = np.array([draws[rows].max() for rows in members])
    split = np.full(len(labels), "train", dtype="<U10")
    free = np.ones(len(members), bool)
    reserve = 1 + sum(part.least for part in parts.values())
    for name, part in parts.items():
        reserve -= part.least
        places = (highest - part.start) % 1.0
        order = [group for group in np.argsort(places, kind="stable") if free[group]]
        offers = [(contents[group], bool(places[group] < part.length)) for group in order]
        for number in _taken(offers, left, most=part.most, reserve=reserve):
            free[order[number]] = False
            split[members[order[number]]] = name
    _check_filled(classes, codes, split, ("train", *parts))
    return split


def _add_tags(
    contents: Sequence[Counter[int]],
    members: Sequence[NDArray[np.int64]],
    tags: Sequence[Sequence[str]],
    *,
    first: int,
    least: int,
) -> NDArray[np.int64]:
    """Add the tags of at least `least` groups to the contents, and return their numbers of groups.

    A tag counts once in a group. `first` is the code of the first tag.
    """
    of_group = [{tag for row in rows for tag in tags[row]} for rows in members]
    groups = Counter(tag for found in of_group for tag in found)
    counted = sorted(tag for tag, count in groups.items() if count >= least)
    codes = {tag: first + number for number, tag in enumerate(counted)}
    for content, found in zip(contents, of_group, strict=True):
        content.update(codes[tag] for tag in found if tag in codes)
    return np.array([groups[tag] for tag in counted], np.int64)


def _taken(
    offers: Sequence[tuple[Mapping[int, int], bool]],
    left: NDArray[np.int64],
    *,
    most: int | None,
    reserve: int,
) -> Iterator[int]:
    """Yield the numbers of the groups that a split takes; subtract their images from `left`.

    An offer has the number of images of each class in a group (1 of each tag), and whether its draw
    is in the interval of the split.
    """
    taken: Counter[int] = Counter()
    for number, (content, inside) in enumerate(offers):
        wanted = inside or any(not taken[code] for code in content)
        if wanted and all(
            left[code] - count >= reserve and (most is None or taken[code] + count <= most)
            for code, count in content.items()
        ):
            for code, count in content.items():
                left[code] -= count
                taken[code] += count
            yield number


def absent(table: pd.DataFrame, task: Task) -> list[str]:
    """Return the classes, tags or ranges of values without an image in a split, as text."""
    table = table[split_table.used(table)]
    strata = task.strata(table["label"])
    places: dict[str, set[str]] = {}
    for label, stratum, split in zip(table["label"], strata, table["split"], strict=True):
        for name in task.tags(label) or [stratum]:
            places.setdefault(name, set()).add(split)
    return [
        f"{name}: no image in {', '.join(without)}"
        for name, found in sorted(places.items())
        if (without := [split for split in SPLITS if split not in found])
    ]


def warn(found: Sequence[str]) -> None:
    """Print the first lines of `absent`."""
    for line in found[:_SHOWN]:
        print(f"split: {line}", file=sys.stderr)
    if len(found) > _SHOWN:
        more = len(found) - _SHOWN
        print(f"split: {more} more are in {paths.record('split')}", file=sys.stderr)


def counts(table: pd.DataFrame, task: Task) -> dict[str, dict[str, int]]:
    """Return the number of images in each split, by class (rarest tag, or range of values)."""
    table = table[split_table.used(table)]
    crossed = pd.crosstab(task.strata(table["label"]), table["split"].to_numpy())
    return crossed.reindex(columns=list(SPLITS), fill_value=0).to_dict("index")


def totals(table: pd.DataFrame, task: Task) -> dict[str, int]:
    """Return the number of images, classes (tags; 1 for a number), groups, and images per split.

    `identical` is that of the files with the content of an earlier one; arrays have one row for
    both.
    """
    sizes = {split: len(split_table.rows(table, split)) for split in SPLITS}
    return {
        "images": len(table),
        "classes": len(task.outputs(table["label"])),
        "groups": table["group"].nunique(),
        "identical": int(table["digest"].duplicated().sum()),
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
            f"split.rule is `folders`: {len(crossing)} groups of (near) duplicates, or of "
            "data.group, cross the splits:\n  " + "\n  ".join(crossing) + "\nremove one of each, "
            "lower split.duplicate_distance, set data.group to null, use another rule, or set "
            "split.crossing_duplicates to `accept`: all metrics are then computed with and "
            "without these test images"
        )


def crossing_groups(table: pd.DataFrame) -> list[str]:
    """Return the paths of each group of duplicates that is in more than one split."""
    groups = table[split_table.crossing(table)].groupby("group")
    return [" = ".join(rows["path"]) for _, rows in groups]


def _check_sizes(
    classes: NDArray[np.str_], sizes: NDArray[np.int64], parts: Mapping[str, Interval]
) -> None:
    needed = 1 + sum(part.least for part in parts.values())
    list_of_parts = ", ".join(f"{part.least} {name}" for name, part in parts.items())
    small = [
        f"{name}: {size} images, at least {needed} needed ({list_of_parts}, 1 training)"
        for name, size in zip(classes, sizes, strict=True)
        if size < needed
    ]
    if small:
        raise SeedlingsError(
            "these classes are too small for split.validation_per_class (or validation_share) "
            "and split.test_share:\n  " + "\n  ".join(small) + "\nlower them, or add images"
        )


def _check_filled(
    classes: NDArray[np.str_], codes: NDArray[np.int64], split: NDArray[np.str_], names: tuple
) -> None:
    missing = [
        f"{name}: none for {part}"
        for number, name in enumerate(classes)
        for part in names
        if not ((codes == number) & (split == part)).any()
    ]
    if missing:
        raise SeedlingsError(
            "the groups of near duplicates (and of data.group, data.annotations.group and rows in "
            "blocks) are too large, or too few, to fill every split:\n  "
            + "\n  ".join(missing)
            + "\nraise split.validation_per_class (or validation_share) and split.test_share, "
            "lower split.duplicate_distance or data.annotations.block, or use smaller groups"
        )
