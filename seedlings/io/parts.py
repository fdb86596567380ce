"""Parts of an array: the place of each row follows from a digest of its content.

Rows are sorted by digest, and a part has all rows whose digests begin with the same bits. So a new
row changes one part, wherever it is in the table, and a renamed or moved one changes none.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

HEX_DIGITS = 32  # of a digest
Digests = NDArray[np.bytes_]

_PREFIX = 8  # hex digits; more parts than 16^8 are not needed
_PART_BYTES = 256 * 2**20
_DEVIATIONS = 6  # a part with room for so many standard deviations overflows once in 10^7 parts


def digest(data: bytes) -> str:
    """Return the BLAKE2b hash of some bytes, such as an image file, as 32 hex digits."""
    return hashlib.blake2b(data, digest_size=HEX_DIGITS // 2).hexdigest()


def row_digest(row: NDArray) -> str:
    """Return the digest of the content of a row: its shape, its type and its values."""
    return digest(f"{row.shape} {row.dtype.str}\n".encode() + row.tobytes())


def digests(names: object) -> Digests:
    """Return hex digests (text or bytes) as an array. Raises ValueError if one is no digest."""
    found = np.asarray(names, dtype=np.bytes_)
    if found.size == 0:
        return np.empty(0, f"S{HEX_DIGITS}")
    if found.ndim != 1 or (np.char.str_len(found) != HEX_DIGITS).any():
        raise ValueError(f"expected digests of {HEX_DIGITS} hex digits, found {names!r}")
    return found


class Parts:
    """The parts of an array, and the slot of each row in it.

    The array has `count` parts of `capacity` slots each; the last slots of a part are empty. The
    number of parts is a power of two, at least 4 times the square root of the number of rows: it
    doubles if the number of rows grows to four times itself, and if a part is full or, with rows of
    `row_bytes` bytes, larger than 256 MiB.
    """

    def __init__(self, unique: Digests, row_bytes: int = 1) -> None:
        self.unique = unique  # distinct and sorted
        prefixes = np.array([int(digest[:_PREFIX], 16) for digest in unique.tolist()], np.int64)
        self.count = 1 << math.ceil(math.log2(4 * math.sqrt(max(1, len(unique)))))
        rows = self.count / 16  # the largest average of a part before the number doubles
        while rows > 1 and _capacity(rows) * row_bytes > _PART_BYTES:
            self.count, rows = self.count * 2, rows / 2
        while True:
            self.capacity = _capacity(rows)
            part = prefixes * self.count >> (4 * _PREFIX)
            self.sizes = np.bincount(part, minlength=self.count)
            if self.sizes.max() <= self.capacity:
                break
            self.count, rows = self.count * 2, rows * 2
        first = np.cumsum(self.sizes) - self.sizes
        self.slots = part * self.capacity + np.arange(len(unique)) - first[part]

    def slots_of(self, keys: Digests) -> NDArray[np.int64]:
        """Return the slot of each digest; it must be in the array."""
        return self.slots[np.searchsorted(self.unique, keys)]

    def __iter__(self) -> Iterator[Digests]:
        """Yield the digests of each part, sorted."""
        yield from np.split(self.unique, np.cumsum(self.sizes)[:-1])


def _capacity(rows: float) -> int:
    """Return the slots of a part that has `rows` rows on average."""
    return math.ceil(rows + _DEVIATIONS * math.sqrt(rows)) + 1
