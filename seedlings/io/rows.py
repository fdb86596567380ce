"""Rows of an array: each is reused from the last array, resumed from a killed run, or computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seedlings.io import shards, store
from seedlings.io.partial_results import PartialResults
from seedlings.io.parts import Digests
from seedlings.io.shards import Engine, Shard, Work


class RowWork(Work, Protocol):
    """Work that computes rows of an array; an item of its shards is a key and a source."""

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a row."""

    @property
    def dtype(self) -> DTypeLike:
        """Type of the values of a row."""

    @property
    def shard_size(self) -> int:
        """Number of rows in a shard."""

    def run(self, inputs: Any) -> list[NDArray]:
        """Return the rows of a shard, and other arrays with an entry for each row."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a new array, in its order."""

    keys: Digests  # of the content that each row is computed from
    sources: Sequence[str]  # where the work reads that content
    labels: Sequence[str]  # names in messages


def write(
    target: Path,
    work: RowWork,
    rows: Rows,
    *,
    engine: Engine,
    key: str,
    last: store.Array | None = None,
    with_contents: bool = False,
) -> dict[str, list[NDArray]]:
    """Write the array of some rows; return the other results of the work for each computed key.

    Rows are reused from the array `last` by their keys, if its digest of numerics is that of the
    work here. The others are computed in shards, sorted by key. A killed run resumes with the
    shards that are complete, if `key` and that digest are unchanged: with the keys of its rows,
    which name a shard, they are everything that its result depends on. With `with_contents`, the
    array has the digests of the contents of its rows, which other rows can be computed from.
    """
    numerics = work.numerics()
    if last and last.numerics != numerics:
        print(
            f"{work.name}: no row is reused, as this processor or size of images gives other "
            "results"
        )
        last = None
    distinct, first = np.unique(rows.keys, return_index=True)
    reused = np.isin(distinct, last.keys if last else distinct[:0])
    if last:
        print(
            f"{work.name}: {reused.sum()} of {len(distinct)} rows are reused from the cache, "
            f"{(~reused).sum()} are computed",
            flush=True,
        )
    if shared := len(rows.keys) - len(distinct):
        print(
            f"{work.name}: {len(rows.keys)} images, {shared} with the content of another",
            flush=True,
        )
    pieces = _cut(rows, first[~reused], work.shard_size)
    partial = PartialResults(target, f"{key} {numerics}")
    engine.map(work, pieces, partial)
    others: dict[str, list[NDArray]] = {}
    computed = _results(pieces, partial, others)

    def rows_of(keys: Digests) -> NDArray:
        block = np.empty((len(keys), *work.row_shape), work.dtype)
        known = reused[np.searchsorted(distinct, keys)]
        if last and known.any():
            block[known] = last.take(keys[known])
        for place in np.flatnonzero(~known):
            block[place] = next(computed)
        return block

    store.write(
        target,
        rows.keys,
        rows_of,
        row_shape=work.row_shape,
        dtype=work.dtype,
        numerics=numerics,
        with_contents=with_contents,
    )
    partial.remove()
    return others


def _cut(rows: Rows, places: NDArray[np.int64], size: int) -> list[Shard]:
    """Return shards of the rows at some places."""
    names = [digest.decode() for digest in rows.keys[places].tolist()]
    items = [(name, rows.sources[place]) for name, place in zip(names, places, strict=True)]
    return shards.cut(names, items, [rows.labels[place] for place in places], size=size)


def _results(
    pieces: Sequence[Shard], partial: PartialResults, others: dict[str, list[NDArray]]
) -> Iterator[NDArray]:
    """Yield the computed rows in order, and add their other results to `others`."""
    for piece in pieces:
        (computed, *more), _ = partial.load(piece.name)
        for place, (key, _) in enumerate(piece.items):
            others[key] = [array[place] for array in more]
            yield computed[place]
