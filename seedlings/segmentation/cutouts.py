"""Cut-outs: images decoded, resized and without their background, in one array."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.config import paths
from seedlings.config.reuse import Reuse
from seedlings.errors import SeedlingsError
from seedlings.io import parts, rows, store, threads
from seedlings.io.rows import Rows
from seedlings.io.shards import Engine, Shard
from seedlings.segmentation import preprocessing
from seedlings.segmentation.params import Segment

SHARES = "foreground.csv"  # in the folder of the stage's report

_SHOWN = 10


@dataclass(frozen=True)
class Cutting:
    """The work of the stage segment: cut-outs of image files, and their shares of foreground."""

    raw: Path  # absolute
    params: Segment

    name = "segment"
    dtype = np.uint8
    shard_size = 64

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a cut-out: height, width, and 3 for RGB."""
        return (*self.params.pixels, 3)

    def read(self, shard: Shard) -> list[tuple[str, bytes]]:
        """Return the path and the bytes of each image. Raises SeedlingsError for a changed file."""
        return list(threads.in_order(self._read_file, shard.items))

    def _read_file(self, item: tuple[str, str]) -> tuple[str, bytes]:
        digest, path = item
        data = (self.raw / path).read_bytes()
        if parts.digest(data) != digest:
            raise SeedlingsError(
                f"{self.raw / path}: expected the file that the stage split has read, "
                "found another one; run `dvc repro` again"
            )
        return str(self.raw / path), data

    def run(self, inputs: Sequence[tuple[str, bytes]]) -> list[NDArray]:
        """Return the cut-outs (n x H x W x 3, RGB uint8), and the share (0..1) of each."""
        pictures, shares = zip(*threads.in_order(self._cut, inputs), strict=True)
        return [np.stack(pictures), np.array(shares)]

    def _cut(self, file: tuple[str, bytes]) -> tuple[NDArray[np.uint8], float]:
        path, data = file
        image = preprocessing.decoded(data, self.params, name=path)
        return preprocessing.cut_out_with_share(image, self.params)

    def numerics(self) -> str:
        """Return the digest of numerics: of the cut-out of an image of noise."""
        height, width = self.params.pixels
        shape = (height + height // 3, width + width // 3, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return parts.digest(preprocessing.cut_out(noise, self.params).tobytes())


def make(
    raw: Path, table: pd.DataFrame, params: Segment, target: Path, *, engine: Engine, last: Reuse
) -> NDArray[np.float64]:
    """Write the cut-outs of all rows, in order; return the share (0..1) of foreground of each.

    The array at `target` is N x height x width x 3, RGB uint8. The key of a row is the digest of
    its image file; the array also has the digests of the cut-outs, the keys of their features.
    `last` is what can be reused of the last run of the stage.
    """
    work = Cutting(raw.absolute(), params)
    files = table["path"].tolist()
    wanted = Rows(parts.digests(table["digest"].tolist()), files, files)
    array = store.Array(last.outputs / paths.IMAGES) if last.outputs else None
    others = rows.write(
        target, work, wanted, engine=engine, key=last.key, last=array, with_contents=True
    )
    shares = _read_shares(last.outputs / paths.report("segment") / SHARES) if last.outputs else {}
    shares |= {digest: float(share) for digest, (share,) in others.items()}
    return table["digest"].map(shares).to_numpy()


def _read_shares(path: Path) -> dict[str, float]:
    table = pd.read_csv(path, dtype={"digest": str}, float_precision="round_trip")
    return dict(zip(table["digest"], table["foreground"], strict=True))


def summarize(shares: NDArray[np.float64]) -> dict[str, float]:
    """Return the minimum, the median and the maximum share of foreground."""
    low, middle, high = np.quantile(shares, [0.0, 0.5, 1.0])
    return {"foreground_min": low, "foreground_median": middle, "foreground_max": high}


def shares_table(table: pd.DataFrame, shares: NDArray[np.float64]) -> pd.DataFrame:
    """Return a table of the path, label, digest and share of foreground of each image."""
    return table[["path", "label", "digest"]].assign(foreground=shares)


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
