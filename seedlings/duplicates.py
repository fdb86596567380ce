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
from seedlings.progress import bar

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
    bits; with None only the same pixels count. Whoever shares a duplicate shares the group.
    Groups are numbered from 0 in the order in which they first appear.
    """
    pairs = _pairs(table["exact"].to_numpy(), table["perceptual"].to_numpy(), distance)
    count = len(table)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    components = connected_components(links, directed=False)[1]
    _, first, inverse = np.unique(components, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse]


def _pairs(
    exact: NDArray[np.uint64], perceptual: NDArray[np.uint64], distance: int | None
) -> NDArray[np.int64]:
    """The places of duplicates (n x 2). Memory grows with the images, not with their square."""
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(exact), _BLOCK):
        stop = min(start + _BLOCK, len(exact))
        same = exact[start:stop, None] == exact[None, start:]
        if distance is not None:
            differing = perceptual[start:stop, None] ^ perceptual[None, start:]
            same |= np.bitwise_count(differing) <= distance
        found.append(np.argwhere(np.triu(same, 1)) + start)
    return np.concatenate(found)
