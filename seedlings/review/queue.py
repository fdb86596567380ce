"""The queue of the page: images about whose labels there is a doubt, and their order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from seedlings.data import duplicates
from seedlings.io import split_table
from seedlings.tasks import Task

DOUBTFUL = "doubtful label"
DUPLICATE = "near duplicates"
MISTAKE = "mistake"
DECIDED = "decided before"
KINDS = (DOUBTFUL, DUPLICATE, MISTAKE, DECIDED)


class Doubt(NamedTuple):
    """Why a person should look at an image: the kind, one of KINDS, and a few words."""

    kind: str
    text: str
    others: tuple[int, ...] = ()  # rows of other images that belong to it


Found = Iterable[tuple[int, Doubt]]  # with the row of the image in the split table


@dataclass(frozen=True, slots=True)
class Item:
    """An image of the queue. Files with the same content are one image."""

    digest: str
    path: str
    label: str  # that counts; of a dropped image the original one
    split: str
    row: int  # in the split table
    labels: list[tuple[str, str]]  # path and label of each file with the content
    originals: list[str]  # their distinct labels before any correction
    doubts: list[Doubt]

    @property
    def kinds(self) -> set[str]:
        """The kinds of its doubts."""
        return {doubt.kind for doubt in self.doubts}


def build(table: pd.DataFrame, task: Task, found: Found) -> list[Item]:
    """Return an item for each image with a doubt, in the order of its first doubt."""
    digests = table["digest"].to_numpy()
    doubts: dict[str, list[Doubt]] = {}
    first: dict[str, int] = {}
    for row, doubt in found:
        digest = digests[row]
        first.setdefault(digest, row)
        doubts.setdefault(digest, []).append(doubt)
    copies: dict[str, list[int]] = {digest: [] for digest in doubts}
    for row in np.flatnonzero(table["digest"].isin(doubts)).tolist():
        copies[digests[row]].append(row)
    return [
        _item(table, task, first[digest], copies[digest], reasons)
        for digest, reasons in doubts.items()
    ]


def _item(
    table: pd.DataFrame, task: Task, row: int, copies: Sequence[int], doubts: list[Doubt]
) -> Item:
    image = table.iloc[row]
    files = table.iloc[copies]
    labels = files["label"].where(files["label"] != "", files[split_table.ORIGINAL])
    originals = {task.canonical(label): label for label in files[split_table.ORIGINAL]}
    return Item(
        digest=image["digest"],
        path=image["path"],
        label=image["label"] or image[split_table.ORIGINAL],
        split=image["split"],
        row=row,
        labels=list(zip(files["path"], labels, strict=True)),
        originals=sorted(originals.values()),
        doubts=doubts,
    )


def doubtful(table: pd.DataFrame, found: pd.DataFrame) -> Found:
    """Yield the doubtful labels of the stage evaluate (see doubtful_labels.COLUMNS)."""
    rows = _rows(table)
    for entry in found.itertuples():
        row = rows.get(entry.path)
        if row is not None:
            yield (
                row,
                Doubt(
                    DOUBTFUL,
                    f"{entry.suggestion} has {entry.suggestion_probability:.0%} and the label "
                    f"{entry.label} {entry.probability:.0%}, in a model that has not seen the "
                    "image",
                ),
            )


def mistakes(rows: Sequence[int], captions: Iterable[tuple[int, str]], most: int) -> Found:
    """Yield the worst mistakes of a split, whose images have these rows, at most `most`.

    `captions` are those of Evaluator.mistakes: number of the image, and lines of text, of which the
    first is the label.
    """
    for (number, caption), _ in zip(captions, range(most), strict=False):
        lines = caption.splitlines()[1:]
        yield rows[number], Doubt(MISTAKE, f"predicted {', '.join(lines)}")


def near_duplicates(
    table: pd.DataFrame, hashes: pd.DataFrame, task: Task, distance: int | None
) -> Found:
    """Yield the images that have a near duplicate with another label, group by group.

    `hashes` are those of the stage split (columns digest, exact, perceptual), `distance` is that of
    duplicates.group. Images that were dropped are left out. Only rows of one group of the split
    table can be duplicates.
    """
    for rows in _unequal_groups(table, hashes, task, distance):
        labels = table["label"].iloc[rows]
        for row, label in zip(rows, labels, strict=True):
            names = ", ".join(sorted({other for other in labels if other != label}))
            others = tuple(other for other in rows if other != row)
            yield row, Doubt(DUPLICATE, f"a near duplicate has the label {names}", others)


def _unequal_groups(
    table: pd.DataFrame, hashes: pd.DataFrame, task: Task, distance: int | None
) -> Iterable[list[int]]:
    """Yield the rows of each group of near duplicates with several labels."""
    used = pd.DataFrame(
        {
            "row": np.arange(len(table)),
            "group": table["group"],
            "digest": table["digest"],
            "meaning": [task.canonical(label) if label else "" for label in table["label"]],
        }
    )[split_table.used(table)]
    several = used.groupby("group")["meaning"].transform("nunique") > 1
    rows = used[several].merge(hashes, on="digest")
    if rows.empty:
        return
    rows = rows.sort_values("row", ignore_index=True)
    for _, members in rows.groupby(duplicates.group(rows, distance)):
        if len(set(members["meaning"])) > 1:
            yield members["row"].tolist()


def decided(table: pd.DataFrame, digests: Collection[str]) -> Found:
    """Yield the images about which a person has decided."""
    for row in np.flatnonzero(table["digest"].isin(digests)).tolist():
        yield row, Doubt(DECIDED, "a person has decided about it")


def select(
    items: Sequence[Item],
    task: Task,
    *,
    kinds: Collection[str] = (),
    labels: Collection[str] = (),
    splits: Collection[str] = (),
) -> list[Item]:
    """Return the items with one of the kinds, one of the classes or tags, in one of the splits.

    An empty collection means all.
    """
    return [
        item
        for item in items
        if (not kinds or item.kinds & {*kinds})
        and (not splits or item.split in splits)
        and (not labels or {*task.names(item.label)} & {*labels})
    ]


def following(digests: Sequence[str], current: str, decided: Collection[str]) -> str | None:
    """Return the next image without a decision, after the last one from the start; None if none."""
    start = digests.index(current) + 1 if current in digests else 0
    ring = [*digests[start:], *digests[:start]]
    return next((digest for digest in ring if digest not in decided), None)


def _rows(table: pd.DataFrame) -> dict[str, int]:
    return {path: row for row, path in enumerate(table["path"])}
