"""Stored arrays for tests and benchmarks."""

from pathlib import Path

import numpy as np

from seedlings.io import parts, store


def digests(rows: np.ndarray) -> parts.Digests:
    """Return the digest of each row's bytes."""
    return parts.digests([parts.digest(row.tobytes()) for row in np.ascontiguousarray(rows)])


def write(
    path: Path,
    rows: np.ndarray,
    names: parts.Digests | None = None,
    *,
    with_contents: bool = True,
) -> parts.Digests:
    """Write an array with the given rows, in order; return their digests."""
    names = digests(rows) if names is None else names
    unique, first = np.unique(names, return_index=True)
    store.write(
        path,
        names,
        lambda keys: rows[first[np.searchsorted(unique, keys)]],
        row_shape=rows.shape[1:],
        dtype=rows.dtype,
        with_contents=with_contents,
    )
    return names


def read(path: Path, start: int, stop: int) -> np.ndarray:
    """Return the rows from `start` to `stop` (exclusive)."""
    array = store.Array(path)
    return array.take(array.keys[start:stop])
