"""Figures of the explanation: images of maximal activation, and saliency maps."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings.explain.activation_maximization import MaximizedImage
from seedlings.io import store
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Image, Row, Tile

_COLUMNS = 6


def maximized(found: Sequence[MaximizedImage], path: Path) -> None:
    """Draw the maximised images: one row for each layer, with the activation at start and end."""
    rows = [] if found else [Row("No filters to show")]
    for layer in dict.fromkeys(image.layer for image in found):
        own = [image for image in found if image.layer == layer]
        tiles = [Tile(one.image, f"{one.name}\n{_activation(one)}") for one in own]
        for start in range(0, len(tiles), _COLUMNS):
            rows.append(Row("" if start else layer, tiles[start : start + _COLUMNS]))
    image_grid.write(image_grid.draw(rows, tile=150), path)


def _activation(image: MaximizedImage) -> str:
    if image.is_inactive:
        return "inactive: 0 from noise"
    return f"{image.start:.3g} to {image.end:.3g}"


def saliency(
    cutouts: Path,
    places: NDArray[np.int64],
    columns: Sequence[Sequence[tuple[int, str]]],
    explain: Callable[[Image], Sequence[Image]],
    path: Path,
) -> None:
    """Draw correct beside wrong images, each with the maps that `explain` returns for it.

    `places` are the rows of the array `cutouts` of the evaluated images; `columns` are the correct
    and the wrong images, as numbers of evaluated images with captions.
    """
    array = store.Array(cutouts)
    rows = [Row("Correct, then wrong; each: the image, SmoothGrad, Grad-CAM")]
    for pair in zip_longest(*columns):
        tiles = []
        for entry in pair:
            if entry is None:
                tiles += [Tile(image_grid.BLANK)] * 3
                continue
            row, caption = entry
            image = array.row(int(places[row]))
            tiles += [Tile(image, caption), *map(Tile, explain(image))]
        rows.append(Row("", tiles))
    image_grid.write(image_grid.draw(rows, tile=120), path)
