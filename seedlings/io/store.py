"""Arrays on disk: bcolz, compressed in chunks along the first axis."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcolz
import numpy as np
from numpy.typing import DTypeLike, NDArray

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing

# With more threads, the bytes that bcolz writes differ from run to run.
bcolz.set_nthreads(1)

_CHUNK_BYTES = 4 * 2**20
_COMPRESSION = bcolz.cparams(clevel=5, shuffle=bcolz.SHUFFLE, cname="lz4")


class Writer:
    """Appends batches to a new array; `create` returns a writer."""

    def __init__(self, array: "bcolz.carray") -> None:
        self._array = array

    def append(self, batch: NDArray) -> None:
        """Append rows (n x row shape, converted to the array's dtype)."""
        self._array.append(np.ascontiguousarray(batch, dtype=self._array.dtype))


@contextmanager
def create(path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[Writer]:
    """Yield a writer for a new array of shape 0 x row_shape; the block ends with it at `path`."""
    row_bytes = int(np.prod(row_shape)) * np.dtype(dtype).itemsize
    with replacing(path) as scratch:
        array = bcolz.carray(
            np.empty((0, *row_shape), dtype),
            rootdir=str(scratch),
            mode="w",
            cparams=_COMPRESSION,
            chunklen=max(1, _CHUNK_BYTES // row_bytes),
        )
        yield Writer(array)
        array.flush()


def shape(path: Path) -> tuple[int, ...]:
    """Return the array's shape; the first axis is the number of rows."""
    return tuple(_open(path).shape)


def dtype(path: Path) -> np.dtype:
    """Return the array's dtype."""
    return _open(path).dtype


def read(path: Path, start: int, stop: int) -> NDArray:
    """Return the rows from `start` to `stop` (exclusive)."""
    return _open(path)[start:stop]


def batches(path: Path, size: int) -> Iterator[NDArray]:
    """Yield all rows in order, `size` at a time; the last batch may be smaller."""
    array = _open(path)
    for start in range(0, len(array), size):
        yield array[start : start + size]


@contextmanager
def unpacked(path: Path, rows: NDArray[np.integer]) -> Iterator[NDArray]:
    """Yield the given rows, in the given order, as a memory-mapped array.

    The uncompressed rows are in an unnamed temporary file beside `path`, so that the use of memory
    does not grow with the data, and a killed process leaves no file.
    """
    array = _open(path)
    place = np.full(len(array), -1)
    place[rows] = np.arange(len(rows))
    target_shape = (len(rows), *array.shape[1:])
    with tempfile.TemporaryFile(dir=path.parent) as file:
        if len(rows) == 0:
            yield np.empty(target_shape, array.dtype)
            return
        # Without reserved space, a full disk kills the process (SIGBUS) at a write to the map.
        os.posix_fallocate(file.fileno(), 0, math.prod(target_shape) * array.dtype.itemsize)
        target = np.memmap(file, array.dtype, "r+", shape=target_shape)
        for start in range(0, len(array), array.chunklen):
            wanted = place[start : start + array.chunklen]
            if (wanted >= 0).any():
                chunk = array[start : start + array.chunklen]
                target[wanted[wanted >= 0]] = chunk[wanted >= 0]
        yield target


def _open(path: Path) -> "bcolz.carray":
    if not (path / "meta" / "storage").is_file():
        raise SeedlingsError(
            f"expected a bcolz array at {path}, found none; "
            "run `dvc repro` to create it or `dvc pull` to download it"
        )
    (path / "data").mkdir(exist_ok=True)  # DVC does not store the empty folder of 0 rows
    return bcolz.carray(rootdir=str(path), mode="r")
