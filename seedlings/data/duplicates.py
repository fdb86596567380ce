"""Duplicates: images that are the same, or nearly, and so must not be torn apart by a split."""

import hashlib
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seedlings import images
from seedlings.io.progress import bar

_BLOCK = 128


def fingerprint(root: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table with two more columns, and why some of its images cannot be decoded.

    `exact` is 64 bits of BLAKE2b over the decoded pixels. `perceptual` is the pHash: the signs of
    the 64 lowest frequencies of a 32 x 32 cosine transform against their median (Zauner 2010).
    Rows that cannot be decoded are left out; each has a line, with its path, among the reasons.
    """
    prints: list[tuple[int, int] | None] = []
    reasons = []
    for path in bar(table["path"], "compare", unit="image"):
        try:
            image = images.read(root / path)
        except images.BadImageError as error:
            reasons.append(str(error))
            prints.append(None)
            continue
        digest = hashlib.blake2b(image.tobytes() + str(image.shape).encode(), digest_size=8)
        bits = imagehash.phash(PillowImage.fromarray(image)).hash
        prints.append((int.from_bytes(digest.digest()), int.from_bytes(np.packbits(bits))))
    good = table[[entry is not None for entry in prints]].reset_index(drop=True)
    values = np.array([entry for entry in prints if entry], np.uint64).reshape(-1, 2)
    return good.assign(exact=values[:, 0], perceptual=values[:, 1]), reasons


def group(table: pd.DataFrame, distance: int | None) -> NDArray[np.int64]:
    """A group number for each row of a table with fingerprints; duplicates share a group.

    Duplicates have the same pixels, or perceptual hashes that differ in at most `distance` of 64
    bits; with None only the same pixels count. Grouping is transitive.
    Groups are numbered from 0 in the order in which they first appear.
    """
    exact, perceptual = table["exact"].to_numpy(), table["perceptual"].to_numpy()
    first = np.arange(len(table))  # of each row's group so far
    for start in range(0, len(table), _BLOCK):
        pairs = _pairs(exact, perceptual, start, distance)
        if len(pairs):
            first = _join(first, pairs)
    return np.unique(first, return_inverse=True)[1]


def _join(first: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The groups, each named by its first row, after these pairs have been joined, too."""
    count = len(first)
    rows = np.concatenate([np.arange(count), pairs[:, 0]])
    columns = np.concatenate([first, pairs[:, 1]])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(count, count))
    components = connected_components(links, directed=False)[1]
    return np.unique(components, return_index=True)[1][components]


def _pairs(
    exact: NDArray[np.uint64], perceptual: NDArray[np.uint64], start: int, distance: int | None
) -> NDArray[np.int64]:
    """The places of duplicates (n x 2) of which one is in the block that begins at `start`."""
    block = slice(start, start + _BLOCK)
    same = exact[block, None] == exact[None, start:]
    if distance is not None:
        differing = perceptual[block, None] ^ perceptual[None, start:]
        same |= np.bitwise_count(differing) <= distance
    return np.argwhere(np.triu(same, 1)) + start
