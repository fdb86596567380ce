"""Duplicates: groups of equal or similar images, which must be in the same split."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seedlings import images
from seedlings.data.groups import KNOWN
from seedlings.io import parts, threads
from seedlings.io.files import write_csv
from seedlings.io.progress import bar

_LEAST = (256, 256)  # pixels of the images that are compared

_BLOCK = 128
_COLUMNS = 65_536
_HASHES = "hashes.csv"


Hashes = tuple[int, int]  # of the pixels: exact and perceptual


def fingerprint(
    root: Path, table: pd.DataFrame, known: Mapping[str, Hashes] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with three columns of hashes, and why some images cannot be decoded.

    `digest` is the digest of the file's bytes, 32 hex digits (see parts.digest). `exact` is a
    64-bit BLAKE2b hash of the pixels, decoded with a least size of 256 x 256 (see images.decode).
    `perceptual` is the pHash of the same pixels: whether each of the 64 lowest frequencies of a
    32 x 32 cosine transform is above their median (Zauner 2010). Images that cannot be decoded are
    not in the table; each has a reason with its path. Files whose digest is in `known` are not
    decoded: it has their hashes (see `read_hashes`).
    """
    known = known or {}

    def fingerprint_of(path: str) -> tuple[str, int, int] | images.BadImageError:
        data = (root / path).read_bytes()
        digest = parts.digest(data)
        try:
            return (digest, *(known.get(digest) or _hashes(data, str(root / path))))
        except images.BadImageError as error:
            return error

    computed = threads.in_order(fingerprint_of, table["path"])
    prints = list(bar(computed, "compare", unit="image", total=len(table)))
    reasons = [str(entry) for entry in prints if isinstance(entry, images.BadImageError)]
    kept = [entry for entry in prints if not isinstance(entry, images.BadImageError)]
    good = table[[isinstance(entry, tuple) for entry in prints]].reset_index(drop=True)
    found = pd.DataFrame(kept, columns=["digest", "exact", "perceptual"])
    if known:
        reused = found["digest"].isin(known).sum()
        print(f"split: the hashes of {reused} of {len(found)} images are reused from the cache")
    types = {"digest": str, "exact": np.uint64, "perceptual": np.uint64}
    return good.join(found.astype(types)), reasons


def _hashes(data: bytes, name: str) -> Hashes:
    image = images.decode(data, name=name, least=_LEAST)
    pixels = hashlib.blake2b(image.tobytes() + str(image.shape).encode(), digest_size=8)
    bits = imagehash.phash(PillowImage.fromarray(image)).hash
    return int.from_bytes(pixels.digest()), int.from_bytes(np.packbits(bits))


def write_hashes(table: pd.DataFrame, folder: Path) -> None:
    """Write the hashes of each file of a table, for the next run of the stage."""
    write_csv(folder / _HASHES, table[["digest", "exact", "perceptual"]].drop_duplicates("digest"))


def read_hashes(folder: Path) -> dict[str, Hashes]:
    """Return the hashes that `write_hashes` wrote into a folder, by the digest of the file."""
    types = {"digest": str, "exact": np.uint64, "perceptual": np.uint64}
    table = pd.read_csv(folder / _HASHES, dtype=types)
    pairs = zip(table["exact"].tolist(), table["perceptual"].tolist(), strict=True)
    return dict(zip(table["digest"], pairs, strict=True))


def group(table: pd.DataFrame, distance: int | None) -> NDArray[np.int64]:
    """Return a group number for each row of a table with hashes; duplicates are in one group.

    Duplicates have equal pixels, or perceptual hashes that differ in at most `distance` of 64 bits;
    with None, only equal pixels. The rows of a unit (see annotations.units), and of a known group
    (see groups.find), too, are in one group. Grouping is transitive. Groups are numbered from 0 in
    the order of their first row.
    """
    exact, perceptual = table["exact"].to_numpy(), table["perceptual"].to_numpy()
    units = table.get("unit", table["exact"])
    _, rows, numbers = np.unique(units, return_index=True, return_inverse=True)
    first = rows[numbers]  # the first row of each row's group
    if len(pairs := _of_known_groups(table)):
        first = _join(first, pairs)
    for start in range(0, len(table), _BLOCK):
        pairs = _pairs(exact, perceptual, start, distance)
        if len(pairs):
            first = _join(first, pairs)
    return np.unique(first, return_inverse=True)[1]


def _of_known_groups(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return the pairs of rows (n x 2) that follow one another in a known group."""
    known = table.groupby(KNOWN).indices if KNOWN in table else {}
    found = [np.column_stack([rows[:-1], rows[1:]]) for name, rows in known.items() if name]
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _join(first: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first row of each row's group, after the groups of each pair are merged."""
    count = len(first)
    rows = np.concatenate([np.arange(count), pairs[:, 0]])
    columns = np.concatenate([first, pairs[:, 1]])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(count, count))
    components = connected_components(links, directed=False)[1]
    return np.unique(components, return_index=True)[1][components]


def _pairs(
    exact: NDArray[np.uint64], perceptual: NDArray[np.uint64], start: int, distance: int | None
) -> NDArray[np.int64]:
    """Return pairs of duplicates (n x 2 row numbers), one of them in the block at `start`.

    The other rows are compared some at a time, so that the use of memory does not grow with them.
    """
    block, found = slice(start, start + _BLOCK), []
    for column in range(start, len(exact), _COLUMNS):
        others = slice(column, column + _COLUMNS)
        same = exact[block, None] == exact[None, others]
        if distance is not None:
            differing = perceptual[block, None] ^ perceptual[None, others]
            same |= np.bitwise_count(differing) <= distance
        found.append(np.argwhere(np.triu(same, 1 + start - column)) + np.array([start, column]))
    return np.concatenate(found)
