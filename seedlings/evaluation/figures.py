"""Figures of the evaluation: training curves, mistakes, doubtful labels and augmentations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seedlings.evaluation.doubtful_labels import Check
from seedlings.evaluation.params import Evaluate
from seedlings.io import split_table, store
from seedlings.plots import charts, image_grid
from seedlings.plots.image_grid import Image, Row, Tile
from seedlings.training.augmentations import Augmentation

_COLUMNS = 6
_VARIANTS = 8
_LARGE = 150  # pixels of an image by which a person decides


def curves(history: Path, metric: str, path: Path) -> None:
    """Draw the loss and the metric by epoch, from the history.csv of a stage."""
    table = pd.read_csv(history)
    named = {"score": metric, "val_score": f"val_{metric}"}
    charts.curves(table.rename(columns=named).to_dict("list"), metric, path)


def augmentations(cutouts: Path, augmentation: Augmentation, path: Path) -> None:
    """Draw each augmentation alone, and all together, for the first image of an array."""
    image = store.Array(cutouts).row(0)
    rows = [Row("not augmented", [Tile(image)])]
    for name in augmentation.active:
        rows.append(Row(f"{name} alone", _variants(image, augmentation.alone(name))))
    rows.append(Row("all together", _variants(image, augmentation)))
    image_grid.write(image_grid.draw(rows), path)


def _variants(image: Image, augmentation: Augmentation) -> list[Tile]:
    return [Tile(augmentation.one(image, np.random.default_rng(n))) for n in range(_VARIANTS)]


def mistakes(
    cutouts: Path,
    table: pd.DataFrame,
    wrong: Sequence[tuple[int, str]],
    *,
    params: Evaluate,
    path: Path,
) -> None:
    """Draw the worst mistakes on the images of the split `params.split`, at most `params.mistakes`.

    The array `cutouts` has one row for each row of the split table; `wrong` has the number, among
    the images of the split, and the caption of mistakes, the worst first.
    """
    array, places = store.Array(cutouts), split_table.rows(table, params.split)
    tiles = [
        Tile(array.row(int(places[row])), caption) for row, caption in wrong[: params.mistakes]
    ]
    images = f"{len(places)} {params.split} images"
    _grid(f"The {len(tiles)} worst of {len(wrong)} mistakes on {images}", tiles, path)


def doubtful_labels(
    cutouts: Path, table: pd.DataFrame, check: Check, *, params: Evaluate, path: Path
) -> None:
    """Draw the cut-outs of the first doubtful labels, at most `params.doubtful_labels`.

    The array `cutouts` has one row for each row of the split table. The title says whether the list
    is reliable.
    """
    array, places = store.Array(cutouts), {name: row for row, name in enumerate(table["path"])}
    tiles = []
    for entry in check.doubtful.head(params.doubtful_labels).itertuples():
        caption = (
            f"{Path(entry.path).name}\n({entry.split})\n"
            f"label ({entry.probability:.0%}): {entry.label}\n"
            f"model ({entry.suggestion_probability:.0%}): {entry.suggestion}"
        )
        tiles.append(Tile(array.row(places[entry.path]), caption))
    found = len(check.doubtful)
    if not found:
        title = "No doubtful labels"
        if check.decided:
            title += f", except {check.decided} that data/corrections.csv decides"
    elif check.is_reliable:
        title = f"The {len(tiles)} most doubtful labels of {found}, with the model's probabilities"
    else:
        title = (
            f"Not reliable: {found + check.decided} of {check.checked} labels are doubtful, "
            f"because the model gives only {check.agreeing / check.checked:.0%} of the images "
            f"their label. The first {len(tiles)}, with the model's probabilities:"
        )
    _grid(title, tiles, path, tile=_LARGE)


def _grid(title: str, tiles: list[Tile], path: Path, tile: int = 120) -> None:
    rows = [Row(title)]
    for start in range(0, len(tiles), _COLUMNS):
        rows.append(Row("", tiles[start : start + _COLUMNS]))
    image_grid.write(image_grid.draw(rows, tile=tile), path)
