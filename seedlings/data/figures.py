"""Figures of the data: example images of each class, and groups of duplicates."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row, Tile

if TYPE_CHECKING:
    from seedlings.tasks import Task

_PER_CLASS = 6
_GROUPS = 30
_GROUP_MEMBERS = 6


def examples(raw: Path, table: pd.DataFrame, task: "Task", path: Path) -> None:
    """Draw the first images of each class (or rarest tag, or range of values), as downloaded.

    Of more than 30 classes, 30 are shown.
    """
    rows, labels = image_grid.shown([*task.groups(table["label"])])
    for name, places in labels:
        chosen = table["path"].iloc[places[:_PER_CLASS]]
        rows.append(Row(name, [Tile(image_grid.thumbnail(raw / image)) for image in chosen]))
    image_grid.write(image_grid.draw(rows), path)


def duplicates(raw: Path, table: pd.DataFrame, path: Path) -> None:
    """Draw groups of (near) duplicates, the largest first; only a title if there are none."""
    sizes = table["group"].value_counts(sort=False)
    groups = sizes[sizes > 1].sort_values(ascending=False, kind="stable")
    noun = "group" if len(groups) == 1 else "groups"
    rows = [Row(f"{len(groups)} {noun} of (near) duplicates among {len(table)} images")]
    for group in groups.index[:_GROUPS]:
        members = table[table["group"] == group]
        tiles = [
            Tile(image_grid.thumbnail(raw / image), f"{Path(image).name}\n{split}")
            for image, split in members[["path", "split"]].head(_GROUP_MEMBERS).to_numpy()
        ]
        rows.append(Row(f"{' / '.join(sorted(set(members['label'])))}: {len(members)}", tiles))
    image_grid.write(image_grid.draw(rows), path)
