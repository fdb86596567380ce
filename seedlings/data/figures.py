"""Figures of the data: example images of each class, and groups of duplicates."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from seedlings.data.groups import KNOWN
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
    """Draw groups of (near) duplicates, the largest first; only a title if there are none.

    Known groups and blocks are groups, too.
    """
    sizes = table["group"].value_counts(sort=False)
    groups = sizes[sizes > 1].sort_values(ascending=False, kind="stable")
    noun = "group" if len(groups) == 1 else "groups"
    has_known = KNOWN in table and (table[KNOWN] != "").any()
    what = "images that belong together" if has_known else "(near) duplicates"
    rows = [Row(f"{len(groups)} {noun} of {what} among {len(table)} images")]
    for group in groups.index[:_GROUPS]:
        members = table[table["group"] == group]
        shown = members.head(_GROUP_MEMBERS)
        pictures = image_grid.thumbnails(raw / image for image in shown["path"])
        tiles = [
            Tile(picture, f"{Path(row.path).name}\n{row.split}{_dropped(row)}")
            for picture, row in zip(pictures, shown.itertuples(), strict=True)
        ]
        labels = sorted(set(members["label"]) - {""})
        rows.append(Row(f"{' / '.join(labels)}: {len(members)}", tiles))
    image_grid.write(image_grid.draw(rows), path)


def _dropped(row: Any) -> str:
    return "" if row.label else ", dropped"
