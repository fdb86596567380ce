"""The gallery: contact sheets of what the stages did."""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import images, sheets, store
from seedlings.augmentations import Augmentation
from seedlings.peaks import Peak
from seedlings.sheets import Image, Row, Tile
from seedlings.tasks import Task

_PER_CLASS = 6
_GROUPS = 30
_GROUP_MEMBERS = 6
_COLUMNS = 6
_VARIANTS = 8


def examples(raw: Path, table: pd.DataFrame, task: Task, path: Path) -> None:
    """The first images of every class (rarest tag, range of values), as they came."""
    rows = []
    for name, places in _groups(table, task):
        chosen = table["path"].iloc[places[:_PER_CLASS]]
        rows.append(Row(name, [Tile(_small(raw / image)) for image in chosen]))
    sheets.write(sheets.draw(rows), path)


def duplicates(raw: Path, table: pd.DataFrame, path: Path) -> None:
    """Every group of (near) duplicates, the largest first; where there are none, it says so."""
    sizes = table["group"].value_counts(sort=False)
    groups = sizes[sizes > 1].sort_values(ascending=False, kind="stable")
    noun = "group" if len(groups) == 1 else "groups"
    title = f"{len(groups)} {noun} of (near) duplicates among {len(table)} images"
    rows = [Row(title)]
    for group in groups.index[:_GROUPS]:
        members = table[table["group"] == group]
        tiles = [
            Tile(_small(raw / image), f"{Path(image).name}\n{split}")
            for image, split in members[["path", "split"]].head(_GROUP_MEMBERS).to_numpy()
        ]
        rows.append(Row(f"{' / '.join(sorted(set(members['label'])))}: {len(members)}", tiles))
    sheets.write(sheets.draw(rows), path)


def before_and_after(
    raw: Path,
    table: pd.DataFrame,
    task: Task,
    *,
    cutouts: Path,
    shares: NDArray[np.float64],
    path: Path,
) -> None:
    """Some images of every class, each beside its cut-out, with the share of foreground."""
    rows = []
    for name, places in _groups(table, task):
        tiles = []
        for place in places[np.linspace(0, len(places) - 1, _PER_CLASS // 2).astype(int)]:
            tiles.append(Tile(_small(raw / table["path"].iloc[place])))
            cutout = store.read(cutouts, place, place + 1)[0]
            tiles.append(Tile(cutout, f"{shares[place]:.1%} plant"))
        rows.append(Row(name, tiles))
    sheets.write(sheets.draw(rows), path)


def augmented(cutouts: Path, augmentation: Augmentation, path: Path) -> None:
    """Every augmentation alone, and all together, on the first image of an array."""
    image = store.read(cutouts, 0, 1)[0]
    rows = [Row("as it is", [Tile(image)])]
    for name in augmentation.active:
        rows.append(Row(f"{name} alone", _varied(image, augmentation.alone(name))))
    rows.append(Row("all together", _varied(image, augmentation)))
    sheets.write(sheets.draw(rows), path)


def _varied(image: Image, augmentation: Augmentation) -> list[Tile]:
    return [Tile(augmentation.one(image, np.random.default_rng(n))) for n in range(_VARIANTS)]


def mistakes(
    cutouts: Path,
    places: NDArray[np.int64],
    wrong: Sequence[tuple[int, str]],
    *,
    path: Path,
    most: int,
) -> None:
    """The worst mistakes on test images, at most `most` of them.

    `places` are the test rows of the array `cutouts`; `wrong` names test rows, the worst first,
    each with its caption.
    """
    tiles = []
    for row, caption in wrong[:most]:
        place = int(places[row])
        tiles.append(Tile(store.read(cutouts, place, place + 1)[0], caption))
    title = f"The {len(tiles)} worst of {len(wrong)} mistakes on {len(places)} test images"
    rows = [Row(title)]
    for start in range(0, len(tiles), _COLUMNS):
        rows.append(Row("", tiles[start : start + _COLUMNS]))
    sheets.write(sheets.draw(rows, tile=120), path)


def peaks(found: Sequence[Peak], path: Path) -> None:
    """What filters and outputs answer most to: a row a layer, and how far each answer rose."""
    rows = [] if found else [Row("No filters to show")]
    for layer in dict.fromkeys(peak.layer for peak in found):
        own = [peak for peak in found if peak.layer == layer]
        tiles = [Tile(p.image, f"{p.name}\n{p.start:.3g} to {p.end:.3g}") for p in own]
        for start in range(0, len(tiles), _COLUMNS):
            rows.append(Row("" if start else layer, tiles[start : start + _COLUMNS]))
    sheets.write(sheets.draw(rows, tile=150), path)


def attention(
    cutouts: Path,
    places: NDArray[np.int64],
    sides: Sequence[Sequence[tuple[int, str]]],
    look: Callable[[Image], Sequence[Image]],
    path: Path,
) -> None:
    """Test images that are right beside such that are wrong, each with what `look` gives for it.

    `places` are the test rows of the array `cutouts`; `sides` are the right and the wrong ones, as
    test rows with captions.
    """
    rows = [Row("Right, then wrong; each: the image, SmoothGrad, Grad-CAM")]
    for pair in zip_longest(*sides):
        tiles = []
        for side in pair:
            if side is None:
                tiles += [Tile(sheets.BLANK)] * 3
                continue
            row, caption = side
            image = store.read(cutouts, int(places[row]), int(places[row]) + 1)[0]
            tiles += [Tile(image, caption), *map(Tile, look(image))]
        rows.append(Row("", tiles))
    sheets.write(sheets.draw(rows, tile=120), path)


def _groups(table: pd.DataFrame, task: Task) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """What belongs together on a sheet: a title, and the places of its rows."""
    strata = task.strata(table["label"])
    for name in np.unique(strata):
        yield str(name), np.flatnonzero(strata == name)


def _small(path: Path) -> NDArray[np.uint8]:
    """An image as large as a sheet shows it, so that a sheet of large ones takes little memory."""
    return sheets.fit(images.read(path))
