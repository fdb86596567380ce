"""Image files to compare the answers of an export on."""

from collections.abc import Iterator, Sequence
from itertools import islice

from seedlings.config import paths
from seedlings.exports.equality import File
from seedlings.io import split_table
from seedlings.serving import addresses

_MOST = 64  # of the files to predict


def of_tests() -> Iterator[File]:
    """Yield the path and the content of each test image of the pipeline; none without data."""
    if not paths.SPLIT.is_file():
        return
    table = split_table.read(paths.SPLIT)
    for name in table["path"].iloc[split_table.rows(table, "test")]:
        path = paths.RAW / name
        if path.is_file():
            yield str(path), path.read_bytes()


def at(locations: Sequence[str]) -> Iterator[File]:
    """Yield the address and the content of each file at and below some; see addresses.distinct.

    Files that cannot be read are left out.
    """
    for address, _ in addresses.distinct(map(addresses.normalized, locations)):
        [data] = addresses.read([address])
        if isinstance(data, bytes):
            yield address, data


def of_tests_or_first(locations: Sequence[str]) -> Iterator[File]:
    """Yield the test images; without data, the first of the files at some addresses."""
    found = of_tests()
    first = next(found, None)
    if first is None:
        yield from islice(at(locations), _MOST)
        return
    yield first
    yield from found
