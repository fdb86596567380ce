"""Growth of an array: takes unchanged rows over from an earlier array, and computes the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seedlings.io import parts, shards, store
from seedlings.io.partial_results import PartialResults
from seedlings.io.parts import Digests
from seedlings.io.shards import Engine, Shard, Task


@dataclass(frozen=True, slots=True)
class Plan:
    """What is taken over and what is computed."""

    rows: Digests  # keys of the new array, with repetitions, in its order
    earlier: store.Array | None
    taken: Digests  # distinct and sorted
    pieces: list[Shard]


def plan(
    task: Task,
    rows: Digests,
    sources: Sequence[str],
    labels: Sequence[str],
    *,
    size: int,
    earlier: store.Array | None,
) -> Plan:
    """Return the plan for an array with a row for each key, and print one line about it.

    `rows` are the keys: digests of the content that each row is computed from. `sources` say where
    the task reads that content, and `labels` name the rows in messages. Rows are taken over from
    the array `earlier` if its proof is that of the task here. The others are computed in shards of
    `size` rows, sorted by key; the items of a shard are the keys and the sources.
    """
    unique, first = np.unique(rows, return_index=True)
    if earlier is not None and earlier.proof != task.proof():
        print(
            f"{task.name}: no row is taken over, as this processor or size of images gives other "
            "results"
        )
        earlier = None
    known = np.isin(unique, earlier.rows if earlier else unique[:0])
    names = [digest.decode() for digest in unique[~known].tolist()]
    computed = first[~known].tolist()
    items = [(name, sources[place]) for name, place in zip(names, computed, strict=True)]
    pieces = shards.cut(names, items, [labels[place] for place in computed], size=size)
    print(
        f"{task.name}: {known.sum()} of {len(unique)} rows are taken over from the cache, "
        f"{len(names)} are computed",
        flush=True,
    )
    return Plan(rows, earlier, unique[known], pieces)


def write(
    target: Path,
    task: Task,
    plan: Plan,
    *,
    row_shape: tuple[int, ...],
    dtype: DTypeLike,
    engine: Engine,
    key: str,
    with_contents: bool = False,
) -> dict[str, list[NDArray]]:
    """Write the array of a plan; return the other results of the task for each computed key.

    The first array of each result has the rows. A killed run resumes with the shards that are
    complete, if `key` and the proof of the task are unchanged: with the keys of its rows, which
    name a shard, they are everything that its result depends on. With `with_contents`, the array
    has the digests of the contents of its rows, which other rows can be computed from.
    """
    partial = PartialResults(target, f"{key} {task.proof()}")
    engine.map(task, plan.pieces, partial)
    others: dict[str, list[NDArray]] = {}
    fresh = _Computed(plan.pieces, partial, others)
    with store.create(target, plan.rows, row_shape, dtype, proof=task.proof()) as writer:
        for part in writer.parts:
            wanted = writer.parts.unique[part]
            known = np.isin(wanted, plan.taken)
            block = np.empty((len(wanted), *row_shape), dtype)
            contents = np.empty_like(wanted) if with_contents else None
            if plan.earlier and known.any():
                block[known] = plan.earlier.take(wanted[known])
                if contents is not None:
                    contents[known] = plan.earlier.contents_of(wanted[known])
            if not known.all():
                block[~known] = fresh.next(int((~known).sum()))
                if contents is not None:
                    contents[~known] = [parts.row_digest(row) for row in block[~known]]
            writer.append(block, contents)
    partial.remove()
    return others


class _Computed:
    """The computed rows in order, read from the results of the shards one shard at a time."""

    def __init__(
        self, pieces: Sequence[Shard], partial: PartialResults, others: dict[str, list[NDArray]]
    ) -> None:
        self._pieces, self._partial, self._others = iter(pieces), partial, others
        self._rows: NDArray | None = None

    def next(self, count: int) -> NDArray:
        """Return the next rows."""
        while self._rows is None or len(self._rows) < count:
            piece = next(self._pieces)
            arrays, _ = self._partial.load(piece.name)
            for place, (digest, _) in enumerate(piece.items):
                self._others[digest] = [array[place] for array in arrays[1:]]
            rest = [] if self._rows is None else [self._rows]
            self._rows = np.concatenate([*rest, arrays[0]])
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken
