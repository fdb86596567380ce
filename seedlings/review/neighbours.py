"""Nearest training images, by the cosine distance of their stored features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seedlings.io.store import Array

_BATCH = 512  # rows, so that the use of memory does not grow with the data

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


class Neighbours(NamedTuple):
    """The rows (Q x count) of the nearest images, nearest first, and their distances (0..2).

    A row is -1, and its distance infinite, if there are fewer images.
    """

    rows: Rows
    distances: Vectors


def nearest(
    features: Array, queries: Rows, among: Rows, digests: NDArray[np.str_], *, count: int
) -> Neighbours:
    """Return the nearest of the images with the rows `among` for each of the rows `queries`.

    Features are N x C, or N x h x w x C, of which the mean over the places is taken. `digests` are
    those of all N images: an image is no neighbour of its own copies.
    """
    wanted = unit_vectors(features.take(features.keys[queries]))
    best = Neighbours(
        np.full((len(queries), count), -1, np.int64),
        np.full((len(queries), count), np.inf, np.float32),
    )
    for start in range(0, len(among), _BATCH):
        part = among[start : start + _BATCH]
        distances = 1.0 - wanted @ unit_vectors(features.take(features.keys[part])).T
        distances[digests[queries][:, None] == digests[part][None]] = np.inf
        rows = np.where(np.isfinite(distances), part, -1)
        best = _nearest_of(
            np.hstack([best.rows, rows]), np.hstack([best.distances, distances]), count
        )
    return best


def unit_vectors(features: NDArray[np.floating]) -> Vectors:
    """Return features, N x C or N x h x w x C, as N x C of length 1; zeros remain zeros."""
    values = features.astype(np.float32)
    places = tuple(range(1, values.ndim - 1))
    means = values.mean(axis=places) if places else values
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    return (means / lengths).astype(np.float32)


def _nearest_of(rows: Rows, distances: Vectors, count: int) -> Neighbours:
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return Neighbours(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)
    )
