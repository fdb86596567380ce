"""What a worker of a cluster runs. The scheduler also imports this module: it imports little."""

import os
import pickle
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from distributed import Nanny, get_client, get_worker

from seedlings.cluster import identity
from seedlings.cluster.identity import Identity
from seedlings.cluster.storage import Storage
from seedlings.io.shards import Sink, Work

Kind = Literal["result", "saved", "no storage", "outdated", "different"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs before its first shard. It can be large: a work contains its network.

    The client publishes it, pickled, as a data set of Dask; the name is its digest.
    """

    client: Identity
    numerics: str  # the digest of numerics of the client
    pickled: bytes  # the work and its sink


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a worker. The process that replaces it has the same nanny."""

    address: str
    name: str
    nanny: str | None
    process: str  # an identifier

    def __str__(self) -> str:
        return self.address if self.name == self.address else f"{self.address} ({self.name})"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a worker to a shard.

    A shard has a `result`, or the worker has `saved` it. Otherwise the worker needs its inputs, or
    differs from the client: `outdated` can change with a restart, `different` cannot.
    """

    kind: Kind
    member: Member
    value: Any = None  # the result, or the differences


@dataclass(frozen=True, slots=True)
class _Ready:
    """A process that agrees with the client."""

    work: Work
    sink: Sink
    seen: dict[str, bool]  # whether it has a storage, by the name of that

    def sees(self, storage: Storage | None) -> bool:
        if storage is None:
            return False
        if storage.name not in self.seen:
            self.seen[storage.name] = storage.is_seen(self.work)
        return self.seen[storage.name]


_compared: dict[str, _Ready | tuple[Kind, list[str]]] = {}  # the last one, by its digest
_one_at_a_time = threading.Lock()  # also on a worker with several threads


def member() -> Member:
    """Return the worker of this process."""
    worker = get_worker()
    return Member(worker.address, str(worker.name), worker.nanny, worker.id)


def compute(digest: str, order: bytes) -> Answer:
    """Compute one shard: its pickled (shard, storage, inputs or None, whether to save the result).

    Without inputs, they are read from storage. Before its first shard, a process compares itself
    with the Setup that has the digest.
    """
    with _one_at_a_time:
        if digest not in _compared:
            _compared.clear()
            _compared[digest] = _compare(get_client().get_dataset(digest))
        found = _compared[digest]
        if not isinstance(found, _Ready):
            return Answer(found[0], member(), found[1])
        shard, storage, inputs, save = pickle.loads(order)  # noqa: S301 - peers are trusted
        sees_storage = found.sees(storage)
        if inputs is None and not sees_storage:
            return Answer("no storage", member())
        result = found.work.run(found.work.read(shard) if inputs is None else inputs)
        if save and not sees_storage:
            return Answer("result", member(), result)
        if save:
            found.sink.save(shard.name, result)
        return Answer("saved", member())


def _compare(content: bytes) -> _Ready | tuple[Kind, list[str]]:
    """Return the work of a setup, ready in this process, or how that differs from the client."""
    try:
        setup: Setup = pickle.loads(content)  # noqa: S301 - as above
        here, there = setup.client, identity.identify(setup.client.packages)
        if differences := identity.differences(here, there):
            return "different", differences
        if outdated := identity.outdated(here, there):
            return "outdated", outdated
        work, sink = pickle.loads(setup.pickled)  # noqa: S301 - as above
        if work.numerics() != setup.numerics:
            processors = f"processor {there.processor}, here {here.processor}"
            return "outdated", [f"other results for the same inputs ({processors})"]
        return _Ready(work, sink, {})
    except Exception:  # noqa: BLE001 - an earlier work can be the cause, such as its threads
        trace = traceback.format_exc(limit=-3).strip()
        return "outdated", [f"it cannot load the work: {trace}"]


def set_environment(values: Mapping[str, str | None], dask_worker: Nanny) -> None:
    """Set variables of the next process of a nanny, or unset them: libraries read them early."""
    for environment in (os.environ, dask_worker.pre_spawn_env, dask_worker.env):
        for name, value in values.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
