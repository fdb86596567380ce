"""Arrays on disk: bcolz, compressed, with one chunk for each part of the rows.

An array is a folder with a bcolz array, and the key of each row in `rows.npy`: a digest of what
the row is computed from. Functions take and return rows in the order of that file; `parts.Parts`
has their places in the bcolz array. If other rows are computed from those of the array,
`contents.npy` has a digest of the content of each row: the key of what is computed from it.
"""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import bcolz
import numpy as np
from numpy.typing import DTypeLike, NDArray

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.io.parts import Digests, Parts

# With more threads, the bytes that bcolz writes differ from run to run.
bcolz.set_nthreads(1)

_COMPRESSION = bcolz.cparams(clevel=5, shuffle=bcolz.SHUFFLE, cname="lz4")
_ROWS = "rows.npy"
_CONTENTS = "contents.npy"
_PROOF = "proof"


class Writer:
    """Appends the distinct rows of a new array, sorted by digest; `create` returns a writer."""

    def __init__(self, array: "bcolz.carray", parts: Parts) -> None:
        self.parts = parts
        self._contents: list[Digests] = []
        self._array, self._sizes, self._filled = array, iter(parts.sizes.tolist()), 0
        self._part = np.zeros((parts.capacity, *array.shape[1:]), array.dtype)
        self._size = next(self._sizes)

    def append(self, batch: NDArray, contents: Digests | None = None) -> None:
        """Append rows (n x row shape, converted to the array's dtype).

        `contents` are the digests of their contents (see parts.row_digest), for all rows or none.
        """
        if contents is not None:
            self._contents.append(contents)
        while len(batch):
            self._skip_full()
            fitting = batch[: self._size - self._filled]
            self._part[self._filled : self._filled + len(fitting)] = fitting
            self._filled += len(fitting)
            batch = batch[len(fitting) :]

    def finish(self) -> None:
        """Write the remaining parts. Raises ValueError if rows are missing."""
        while self._size >= 0:
            if self._filled < self._size:
                raise ValueError(f"expected {self._size} rows in a part, found {self._filled}")
            self._flush()

    @property
    def contents(self) -> Digests | None:
        """The digests of the contents of all appended rows, if there are any."""
        return np.concatenate(self._contents) if self._contents else None

    def _skip_full(self) -> None:
        while self._filled == self._size:
            self._flush()
        if self._size < 0:
            raise ValueError("expected no more rows than digests, found more")

    def _flush(self) -> None:
        self._part[self._filled :] = 0
        self._array.append(self._part)
        self._filled, self._size = 0, next(self._sizes, -1)


@contextmanager
def create(
    path: Path, rows: Digests, row_shape: tuple[int, ...], dtype: DTypeLike, *, proof: str = ""
) -> Iterator[Writer]:
    """Yield a writer for a new array with a row for each digest; the block ends with it at `path`.

    The writer takes the rows of the distinct digests, in sorted order. `proof` is kept with the
    array; see `Array.proof`.
    """
    parts = Parts(np.unique(rows), math.prod(row_shape) * np.dtype(dtype).itemsize)
    with replacing(path) as scratch:
        array = bcolz.carray(
            np.empty((0, *row_shape), dtype),
            rootdir=str(scratch),
            mode="w",
            cparams=_COMPRESSION,
            chunklen=parts.capacity,
        )
        writer = Writer(array, parts)
        yield writer
        if len(rows):
            writer.finish()
        array.attrs[_PROOF] = proof
        array.flush()
        np.save(scratch / _ROWS, rows)
        if writer.contents is not None:
            places = np.searchsorted(parts.unique, rows)
            np.save(scratch / _CONTENTS, writer.contents[places])


class Array:
    """An array on disk, opened once. Raises SeedlingsError if there is none at `path`."""

    def __init__(self, path: Path) -> None:
        if not (path / "meta" / "storage").is_file() or not (path / _ROWS).is_file():
            raise SeedlingsError(
                f"expected an array at {path}, found none; "
                "run `dvc repro` to create it or `dvc pull` to download it"
            )
        self.rows: Digests = np.load(path / _ROWS, allow_pickle=False)
        self._path = path

    @cached_property
    def _array(self) -> "bcolz.carray":
        # DVC does not store the empty folder of 0 rows.
        (self._path / "data").mkdir(exist_ok=True)
        return bcolz.carray(rootdir=str(self._path), mode="r")

    @cached_property
    def _parts(self) -> Parts:
        return Parts(np.unique(self.rows), math.prod(self.shape[1:]) * self.dtype.itemsize)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array; the first axis is the number of rows."""
        return (len(self.rows), *self._array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of its values."""
        return self._array.dtype

    @cached_property
    def contents(self) -> Digests:
        """The digest of the content of each row, in the order of `rows`; see Writer.append."""
        return np.load(self._path / _CONTENTS, allow_pickle=False)

    def contents_of(self, rows: Digests) -> Digests:
        """Return the digests of the contents of the rows with the given keys, in their order."""
        unique, contents = self._contents
        return contents[np.searchsorted(unique, rows)]

    @cached_property
    def _contents(self) -> tuple[Digests, Digests]:
        unique, first = np.unique(self.rows, return_index=True)
        return unique, self.contents[first]

    @property
    def proof(self) -> str:
        """The digest that was given to `create`."""
        return str(self._array.attrs[_PROOF])

    def take(self, rows: Digests) -> NDArray:
        """Return the rows with the given digests, in the given order."""
        found = np.empty((len(rows), *self._array.shape[1:]), self.dtype)
        self.copy(rows, found)
        return found

    def row(self, number: int) -> NDArray:
        """Return one row by its number."""
        return self.take(self.rows[number : number + 1])[0]

    def copy(self, rows: Digests, target: NDArray) -> None:
        """Copy the rows with the given digests to `target`, in the given order, part by part."""
        slots = self._parts.slots_of(rows)
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
        array.copy(array.rows[rows], target)
        yield target
