"""The gallery: contact sheets of what the stages did."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import images, sheets, splits, store
from seedlings.sheets import Row, Tile

_PER_CLASS = 6
_GROUPS = 30
_GROUP_MEMBERS = 6
_COLUMNS = 6


def examples(raw: Path, table: pd.DataFrame, path: Path) -> None:
    """The first images of every class, as they came."""
    rows = []
    for name in splits.classes(table):
        chosen = table.loc[table["label"] == name, "path"].head(_PER_CLASS)
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
    raw: Path, table: pd.DataFrame, cutouts: Path, shares: NDArray[np.float64], path: Path
) -> None:
    """Some images of every class, each beside its cut-out, with the share of foreground."""
    rows = []
    for name in splits.classes(table):
        places = np.flatnonzero((table["label"] == name).to_numpy())
        tiles = []
        for place in places[np.linspace(0, len(places) - 1, _PER_CLASS // 2).astype(int)]:
            tiles.append(Tile(_small(raw / table["path"].iloc[place])))
            cutout = store.read(cutouts, place, place + 1)[0]
            tiles.append(Tile(cutout, f"{shares[place]:.1%} plant"))
        rows.append(Row(name, tiles))
    sheets.write(sheets.draw(rows), path)


def mistakes(
    cutouts: Path, table: pd.DataFrame, probabilities: NDArray, path: Path, most: int
) -> None:
    """The test images that were most confidently wrong, at most `most` of them.

    `probabilities` (test rows x classes) belong to the test rows of `table`.
    """
    classes = splits.classes(table)
    places = splits.rows(table, "test")
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != splits.codes(table)[places])
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    tiles = []
    for row in worst:
        place = int(places[row])
        caption = f"{table['label'].iloc[place]}\nas {classes[predicted[row]]}\n{sure[row]:.0%}"
        tiles.append(Tile(store.read(cutouts, place, place + 1)[0], caption))
    rows = [Row(f"{len(wrong)} of {len(places)} test images wrong, the surest first")]
    for start in range(0, len(tiles), _COLUMNS):
        rows.append(Row("", tiles[start : start + _COLUMNS]))
    sheets.write(sheets.draw(rows, tile=120), path)


def _small(path: Path) -> NDArray[np.uint8]:
    """An image as large as a sheet shows it, so that a sheet of large ones takes little memory."""
    return sheets.fit(images.read(path))
