"""Figures of the segmentation: images before and after it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import images
from seedlings.io import store
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row, Tile

if TYPE_CHECKING:
    from seedlings.tasks import Task

_PER_CLASS = 3


def before_and_after(
    raw: Path,
    table: pd.DataFrame,
    task: "Task",
    *,
    cutouts: Path,
    shares: NDArray[np.float64],
    path: Path,
) -> None:
    """Draw images of each class, each beside its cut-out with the share of foreground.

    Of more than 30 classes, 30 are shown.
    """
    array = store.Array(cutouts)
    rows, labels = image_grid.shown([*task.groups(table["label"])])
    for name, places in labels:
        tiles = []
        for place in places[np.linspace(0, len(places) - 1, _PER_CLASS).astype(int)]:
            tiles.append(Tile(image_grid.fit(images.read(raw / table["path"].iloc[place]))))
            cutout = array.row(place)
            tiles.append(Tile(cutout, f"{shares[place]:.1%} foreground"))
        rows.append(Row(name, tiles))
    image_grid.write(image_grid.draw(rows), path)
