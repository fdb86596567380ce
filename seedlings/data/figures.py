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
        pictures = image_grid.thumbnails(raw / image for image in chosen)
        rows.append(Row(name, [*map(Tile, pictures)]))
    image_grid.write(image_grid.draw(rows), path)


def duplicates(raw: Path, table: pd.DataFrame, path: Path) -> None:
    """Draw groups of (near) duplicates, the largest first; only a title if there are none."""
    sizes = table["group"].value_counts(sort=False)
    groups = sizes[sizes > 1].sort_values(ascending=False, kind="stable")
    noun = "group" if len(groups) == 1 else "groups"
    rows = [Row(f"{len(groups)} {noun} of (near) duplicates among {len(table)} images")]
    for group in groups.index[:_GROUPS]:
        members = table[table["group"] == group]
        shown = members.head(_GROUP_MEMBERS)
        pictures = image_grid.thumbnails(raw / image for image in shown["path"])
        tiles = [
            Tile(picture, f"{Path(image).name}\n{split}")
            for picture, image, split in zip(pictures, shown["path"], shown["split"], strict=True)
        ]
        rows.append(Row(f"{' / '.join(sorted(set(members['label'])))}: {len(members)}", tiles))
    image_grid.write(image_grid.draw(rows), path)
