"""Figures of the segmentation: images before and after it, and in each fit."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.io import store, threads
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row, Tile
from seedlings.segmentation import preprocessing
from seedlings.segmentation.params import FITS, Segment

if TYPE_CHECKING:
    from seedlings.tasks import Task

_PER_CLASS = 3
_COMPARED = 24  # images of which the fits of some are shown
_SHOWN = 3
_VISIBLE = 0.02  # change of the proportions


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
        chosen = places[np.linspace(0, len(places) - 1, _PER_CLASS).astype(int)]
        pictures = image_grid.thumbnails(raw / image for image in table["path"].iloc[chosen])
        tiles = []
        for place, picture in zip(chosen, pictures, strict=True):
            tiles.append(Tile(picture))
            tiles.append(Tile(array.row(place), f"{shares[place]:.1%} foreground"))
        rows.append(Row(name, tiles))
    image_grid.write(image_grid.draw(rows), path)


def fits(raw: Path, table: pd.DataFrame, params: Segment, path: Path) -> bool:
    """Draw some images in each fit; return whether there are any that it changes.

    They are those of a sample whose proportions differ most from the ones of `segment.pixels`.
    """

    def decode(name: str) -> NDArray[np.uint8]:
        return preprocessing.decoded((raw / name).read_bytes(), params, name=name)

    places = np.unique(np.linspace(0, len(table) - 1, _COMPARED).astype(int))
    sample = dict.fromkeys(table["path"].iloc[places])
    found = dict(zip(sample, threads.in_order(decode, sample), strict=True))
    by_shape = sorted(found, key=lambda name: -_distortion(found[name], params))
    shown = [name for name in by_shape[:_SHOWN] if _distortion(found[name], params) > _VISIBLE]
    rows = [Row(name, _in_each_fit(found[name], params)) for name in shown]
    if rows:
        image_grid.write(image_grid.draw(rows), path)
    return bool(rows)


def _distortion(image: NDArray[np.uint8], params: Segment) -> float:
    """Return the share by which `stretch` changes the proportions of an image."""
    (rows, columns), (height, width) = image.shape[:2], params.pixels
    ratio = rows * width / (columns * height)
    return max(ratio, 1 / ratio) - 1


def _in_each_fit(image: NDArray[np.uint8], params: Segment) -> list[Tile]:
    tiles = [Tile(image_grid.fit(image), "image")]
    for fit in FITS:
        cutout = preprocessing.cut_out(image, params.model_copy(update={"fit": fit}))
        tiles.append(Tile(cutout, f"{fit} (used)" if fit == params.fit else fit))
    return tiles
