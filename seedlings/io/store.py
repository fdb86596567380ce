"""Arrays on disk: bcolz, compressed, with one chunk for each part of the rows.

An array is a folder with a bcolz array, and the key of each row in `rows.npy`: a digest of what
the row is computed from. Functions take and return rows in the order of that file; `parts.Parts`
has their places in the bcolz array. If other rows are computed from those of the array,
`contents.npy` has a digest of the content of each row: the key of what is computed from it.
"""

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import bcolz
import numpy as np
from numpy.typing import DTypeLike, NDArray

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.io.parts import Digests, Parts, digests, row_digest

# With more threads, the bytes that bcolz writes differ from run to run.
bcolz.set_nthreads(1)

_COMPRESSION = bcolz.cparams(clevel=5, shuffle=bcolz.SHUFFLE, cname="lz4")
_KEYS = "rows.npy"
_CONTENTS = "contents.npy"
_NUMERICS = "proof"  # the name in stored arrays


def write(
    path: Path,
    keys: Digests,
    rows_of: Callable[[Digests], NDArray],
    *,
    row_shape: tuple[int, ...],
    dtype: DTypeLike,
    numerics: str = "",
    with_contents: bool = False,
) -> None:
    """Write a new array with a row for each key, atomically.

    `rows_of` returns the rows of the distinct keys of one part, sorted: n x row shape, converted to
    `dtype`. It is called for one part after the other, sorted. `numerics` is kept with the array;
    see `Array.numerics`. With `with_contents`, the array has the digests of the contents of its
    rows.
    """
    parts = Parts(np.unique(keys), math.prod(row_shape) * np.dtype(dtype).itemsize)
    contents: list[str] = []
    with replacing(path) as scratch:
        array = bcolz.carray(
            np.empty((0, *row_shape), dtype),
            rootdir=str(scratch),
            mode="w",
            cparams=_COMPRESSION,
            chunklen=parts.capacity,
        )
        for part in parts if len(keys) else ():
            block = np.zeros((parts.capacity, *row_shape), dtype)
            rows = block[: len(part)]
            rows[:] = rows_of(part)
            array.append(block)
            if with_contents:
                contents += map(row_digest, rows)
        array.attrs[_NUMERICS] = numerics
        array.flush()
        np.save(scratch / _KEYS, keys)
        if with_contents:
            np.save(scratch / _CONTENTS, digests(contents)[np.searchsorted(parts.unique, keys)])


class Array:
    """An array on disk, opened once. Raises SeedlingsError if there is none at `path`."""

    def __init__(self, path: Path) -> None:
        if not (path / "meta" / "storage").is_file() or not (path / _KEYS).is_file():
            raise SeedlingsError(
                f"expected an array at {path}, found none; "
                "run `dvc repro` to create it or `dvc pull` to download it"
            )
        self.keys: Digests = np.load(path / _KEYS, allow_pickle=False)
        self._path = path

    @cached_property
    def _array(self) -> "bcolz.carray":
        # DVC does not store the empty folder of 0 rows.
        (self._path / "data").mkdir(exist_ok=True)
        return bcolz.carray(rootdir=str(self._path), mode="r")

    @cached_property
    def _parts(self) -> Parts:
        return Parts(np.unique(self.keys), math.prod(self.shape[1:]) * self.dtype.itemsize)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array; the first axis is the number of rows."""
        return (len(self.keys), *self._array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of its values."""
        return self._array.dtype

    @cached_property
    def contents(self) -> Digests:
        """The digest of the content of each row, in the order of `keys`; see parts.row_digest."""
        return np.load(self._path / _CONTENTS, allow_pickle=False)

    @property
    def numerics(self) -> str:
        """The digest of numerics that was given to `write`."""
        return str(self._array.attrs[_NUMERICS])

    def take(self, keys: Digests) -> NDArray:
        """Return the rows with the given keys, in the given order."""
        found = np.empty((len(keys), *self.shape[1:]), self.dtype)
        self.copy(keys, found)
        return found

    def row(self, number: int) -> NDArray:
        """Return one row by its number."""
        return self.take(self.keys[number : number + 1])[0]

    def copy(self, keys: Digests, target: NDArray) -> None:
        """Copy the rows with the given keys to `target`, in the given order, part by part."""
        slots = self._parts.slots_of(keys)
        order = np.argsort(slots, kind="stable")
        parts = slots[order] // self._parts.capacity
        for places in np.split(order, np.flatnonzero(np.diff(parts)) + 1):
            if len(places):
                start, stop = slots[places[0]], slots[places[-1]] + 1
                target[places] = self._array[start:stop][slots[places] - start]


def shape(path: Path) -> tuple[int, ...]:
    """Return the array's shape; the first axis is the number of rows."""
    return Array(path).shape


@contextmanager
def unpacked(path: Path, rows: NDArray[np.integer]) -> Iterator[NDArray]:
    """Yield the rows with the given numbers, in the given order, as a memory-mapped array.

    The uncompressed rows are in an unnamed temporary file beside `path`, so that the use of memory
    does not grow with the data, and a killed process leaves no file.
    """
    array = Array(path)
    target_shape = (len(rows), *array.shape[1:])
    with tempfile.TemporaryFile(dir=path.parent) as file:
        if len(rows) == 0:
            yield np.empty(target_shape, array.dtype)
            return
        # Without reserved space, a full disk kills the process (SIGBUS) at a write to the map.
        os.posix_fallocate(file.fileno(), 0, math.prod(target_shape) * array.dtype.itemsize)
        target = np.memmap(file, array.dtype, "r+", shape=target_shape)
        array.copy(array.keys[rows], target)
        yield target
