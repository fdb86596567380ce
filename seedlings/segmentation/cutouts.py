"""Cut-outs: images decoded, resized and without their background, in one array."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.io import store
from seedlings.io.progress import bar
from seedlings.segmentation import masks
from seedlings.segmentation.params import Segment

_BATCH = 64
_SHOWN = 10


def make(raw: Path, table: pd.DataFrame, params: Segment, target: Path) -> NDArray[np.float64]:
    """Write the cut-outs of all rows, in order; return the share (0..1) of foreground of each.

    The array at `target` is N x height x width x 3, RGB uint8.
    """
    height, width = params.size
    shares = []
    with store.create(target, (height, width, 3), np.uint8) as writer:
        batch = []
        for path in bar(table["path"], "segment", unit="image"):
            picture, share = with_share(images.read(raw / path), params)
            batch.append(picture)
            shares.append(share)
            if len(batch) == _BATCH:
                writer.append(np.stack(batch))
                batch = []
        if batch:
            writer.append(np.stack(batch))
    return np.array(shares)


def one(image: NDArray[np.uint8], params: Segment) -> NDArray[np.uint8]:
    """Return the cut-out of an image (RGB uint8, any size), which is the input of the models."""
    return with_share(image, params)[0]


def with_share(image: NDArray[np.uint8], params: Segment) -> tuple[NDArray[np.uint8], float]:
    """Return the cut-out of an image, and its share (0..1) of foreground; see `one`."""
    resized = images.resize(image, *params.size)
    cut_out = masks.METHODS[params.method].cut_out(resized)
    share = masks.foreground(masks.kept(cut_out))
    return masks.with_background(resized, cut_out, params.background), share


def summarize(shares: NDArray[np.float64]) -> dict[str, float]:
    """Return the minimum, the median and the maximum share of foreground."""
    low, middle, high = np.quantile(shares, [0.0, 0.5, 1.0])
    return {"foreground_min": low, "foreground_median": middle, "foreground_max": high}


def shares_table(table: pd.DataFrame, shares: NDArray[np.float64]) -> pd.DataFrame:
    """Return a table of the path, the label and the share of foreground of each image."""
    return table[["path", "label"]].assign(foreground=shares.round(6))


def name_empty(table: pd.DataFrame, shares: NDArray[np.float64], params: Segment) -> list[str]:
    """Return the paths of the images with empty masks, and print the first of them.

    A mask is empty if its share of foreground is below `params.empty_below`. Raises SeedlingsError
    if all masks are empty.
    """
    empty = table.loc[shares < params.empty_below, "path"].tolist()
    if len(empty) == len(table):
        raise SeedlingsError(
            f"segment.method {params.method} finds no foreground in any image; "
            "for images without plants use `none`"
        )
    if empty:
        more = f"\n  and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        print(
            f"segment: {len(empty)} of {len(table)} masks are empty (foreground below "
            f"{params.empty_below:.2%}, segment.empty_below):\n  "
            + "\n  ".join(empty[:_SHOWN])
            + more,
            file=sys.stderr,
        )
    return empty
