"""Duplicates: groups of equal or similar images, which must be in the same split."""

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
from seedlings.io import parts
from seedlings.io.progress import bar

_BLOCK = 128


def fingerprint(root: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with three columns of hashes, and why some images cannot be decoded.

    `digest` is the digest of the file's bytes, 32 hex digits (see parts.digest). `exact` is a
    64-bit BLAKE2b hash of the decoded pixels. `perceptual` is the pHash: whether each of the 64
    lowest frequencies of a 32 x 32 cosine transform is above their median (Zauner 2010). Images
    that cannot be decoded are not in the table; each has a reason with its path.
    """
    prints: list[tuple[str, int, int] | None] = []
    reasons = []
    for path in bar(table["path"], "compare", unit="image"):
        try:
            data = (root / path).read_bytes()
            image = images.decode(data, name=str(root / path))
        except images.BadImageError as error:
            reasons.append(str(error))
            prints.append(None)
            continue
        pixels = hashlib.blake2b(image.tobytes() + str(image.shape).encode(), digest_size=8)
        bits = imagehash.phash(PillowImage.fromarray(image)).hash
        exact, perceptual = int.from_bytes(pixels.digest()), int.from_bytes(np.packbits(bits))
        prints.append((parts.digest(data), exact, perceptual))
    good = table[[entry is not None for entry in prints]].reset_index(drop=True)
    found = pd.DataFrame(filter(None, prints), columns=["digest", "exact", "perceptual"])
    types = {"digest": str, "exact": np.uint64, "perceptual": np.uint64}
    return good.join(found.astype(types)), reasons


def group(table: pd.DataFrame, distance: int | None) -> NDArray[np.int64]:
    """Return a group number for each row of a table with hashes; duplicates are in one group.

    Duplicates have equal pixels, or perceptual hashes that differ in at most `distance` of 64 bits;
    with None, only equal pixels. Grouping is transitive. Groups are numbered from 0 in the order of
    their first row.
    """
    exact, perceptual = table["exact"].to_numpy(), table["perceptual"].to_numpy()
    first = np.arange(len(table))  # the first row of each row's group
    for start in range(0, len(table), _BLOCK):
        pairs = _pairs(exact, perceptual, start, distance)
        if len(pairs):
            first = _join(first, pairs)
    return np.unique(first, return_inverse=True)[1]


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
    """Return pairs of duplicates (n x 2 row numbers), one of them in the block at `start`."""
    block = slice(start, start + _BLOCK)
    same = exact[block, None] == exact[None, start:]
    if distance is not None:
        differing = perceptual[block, None] ^ perceptual[None, start:]
        same |= np.bitwise_count(differing) <= distance
    return np.argwhere(np.triu(same, 1)) + start
