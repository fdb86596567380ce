"""The engine of a cluster: it computes shards on the workers of a Dask scheduler."""

import importlib.util
import os
import sys
from collections.abc import Sequence

from seedlings.errors import SeedlingsError
from seedlings.io.shards import Engine, Here, Shard, Sink, Work

ADDRESS = "DASK_SCHEDULER_ADDRESS"
_WANTED = "SEEDLINGS_CLUSTER"


def choose() -> Engine:
    """Return the engine that the environment asks for.

    With DASK_SCHEDULER_ADDRESS it is the cluster of that scheduler, else this process. With
    SEEDLINGS_CLUSTER=optional, this process does what the cluster cannot.
    """
    address, optional = asked()
    return Cluster(address, optional=optional) if address else Here()


def asked() -> tuple[str, bool]:
    """Return the address of the scheduler in the environment, or "", and whether it is optional."""
    wanted = os.environ.get(_WANTED, "required")
    if wanted not in ("required", "optional"):
        raise SeedlingsError(f"{_WANTED}: expected `required` or `optional`, found {wanted!r}")
    return os.environ.get(ADDRESS, ""), wanted == "optional"


def is_installed(*, optional: bool) -> bool:
    """Return whether Dask is installed. If not, it warns, or raises as `without` does."""
    if importlib.util.find_spec("distributed") is not None:
        return True
    without(
        f"{ADDRESS} is set: expected the package `distributed`, found none; install it "
        "with `make .venv/cluster`, or unset the variable",
        optional=optional,
    )
    return False


def without(reason: str, *, optional: bool) -> None:
    """Warn that the work is done here. Raises SeedlingsError unless the cluster is optional."""
    if not optional:
        raise SeedlingsError(f"{reason}; with {_WANTED}=optional, this process would do the work")
    print(f"warning: {reason}; this process does the work", file=sys.stderr, flush=True)


class Cluster:
    """The engine that computes on the workers of the scheduler at an address."""

    def __init__(self, address: str, *, optional: bool = False) -> None:
        self.address = address
        self.optional = optional

    def map(self, work: Work, shards: Sequence[Shard], sink: Sink) -> None:
        """Compute the shards that the sink does not have; afterwards it has all of them.

        Raises SeedlingsError for bad input, for an image that fails three times, and if the cluster
        cannot compute; then the complete shards are kept.
        """
        if all(shard.name in sink for shard in shards):
            return Here().map(work, shards, sink)  # nothing to compute
        if not is_installed(optional=self.optional):
            return Here().map(work, shards, sink)
        from seedlings.cluster.computation import Computation
        from seedlings.cluster.connection import ClusterError, Connection

        try:
            with Connection(self.address) as connection:
                Computation(connection, work, sink).run(shards)
        except ClusterError as error:
            without(str(error), optional=self.optional)
            Here().map(work, shards, sink)
