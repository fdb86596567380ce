"""The connection to a Dask scheduler, and what happens to a worker that is in the way."""

import asyncio
import ipaddress
import logging
import os
import socket
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError

import dask
from dask.utils import parse_timedelta
from distributed import Client, Security
from distributed.comm import CommClosedError, connect
from distributed.versions import get_versions

from seedlings.cluster import worker
from seedlings.cluster.worker import Member
from seedlings.errors import SeedlingsError

TIMEOUT = "SEEDLINGS_CLUSTER_TIMEOUT"
_DEFAULT_TIMEOUT = 300.0  # seconds
_GRACE = 2.0  # seconds beyond a time limit of Dask
_PAUSE = 1.0  # seconds between two questions to the scheduler
_PATIENCE = 60.0  # seconds for its answer, and for a worker to come back
_VERSIONS = ("python", "dask", "distributed", "cloudpickle", "msgpack", "tornado")
_QUIET = (
    *("distributed", "distributed.client", "distributed.core", "distributed.comm"),
    *("tornado", "tornado.application"),  # Dask gives each of these a level of its own
)
_SETTINGS = {"distributed.admin.large-graph-warning-threshold": "1GiB"}  # for the inputs of shards


class ClusterError(SeedlingsError):
    """The cluster cannot compute: there is no connection, or no worker that agrees."""


class Connection:
    """A client of the scheduler at an address. Use it as a context manager.

    Raises ClusterError if there is no scheduler, or one of another version, when it is lost, and
    for an address beyond this machine without TLS.
    """

    def __init__(self, address: str) -> None:
        self.address = _checked(address)
        self.timeout = _timeout()  # seconds that a worker may take to answer
        self._known: set[str] = set()  # addresses of workers, now and earlier
        self._refused: set[str] = set()
        self._full: dict[str, float] = {}  # since when workers have no free memory
        self._count, self._asked, self._alone_since = 0, -_PAUSE, time.monotonic()
        for name in _QUIET:  # errors are raised, with what to do
            logging.getLogger(name).setLevel(logging.CRITICAL)
        dask.config.set(_SETTINGS)
        self.client = self._connected()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        is_lost = self.client.status != "running" or isinstance(error, CommClosedError)
        self.client.close(timeout=5)
        if is_lost and isinstance(error, OSError | CancelledError):
            raise self.lost() from error

    def count(self) -> int:
        """Return the number of workers. Raises ClusterError if there are none for a long time."""
        if self.client.status != "running":
            raise self.lost()
        now = time.monotonic()
        if now - self._asked >= _PAUSE:
            self._asked = now
            self._look(now)
        return self._count

    def _look(self, now: float) -> None:
        scheduler = self.client.scheduler
        try:
            answer = self.client.sync(scheduler.identity, callback_timeout=_PATIENCE)
        except OSError as error:
            raise self.lost() from error
        found = {*answer["workers"]}
        full = {name for name, w in answer["workers"].items() if w["status"] == "paused"}
        self._known |= found
        leaving = found & self._refused
        self._count = len(found - leaving - full)
        if leaving:
            self.client.retire_workers([*leaving])
            self._asked = -_PAUSE  # the last worker stays as long as Dask has its answers
        self._full = {name: self._full.get(name, now) for name in full - leaving}
        self._restart_full(now)
        if self._count or self._full:
            self._alone_since = now
        elif self._known and self._known <= self._refused and not leaving:
            raise ClusterError(
                "no worker agrees with this process; see the warnings above: they have left the "
                "cluster, so start it again with the same code and packages"
            )
        elif now - self._alone_since > self.timeout:
            raise ClusterError(
                f"expected workers at the scheduler {self.address}, found none for "
                f"{self.timeout:.0f} s ({TIMEOUT}); what is complete is kept"
            )

    def _restart_full(self, now: float) -> None:
        """Restart workers without free memory: Dask sends them nothing, and waits."""
        late = [name for name, since in self._full.items() if now - since > self.timeout]
        for name in late:
            warn(
                f"worker {name} has had no free memory for {self.timeout:.0f} s ({TIMEOUT}): "
                "restarted; a worker needs more memory if this happens again"
            )
        if late:
            self.restart(late)

    def refuse(self, member: Member, reasons: Sequence[str]) -> None:
        """Let a worker leave the cluster, at the next `count`."""
        if member.address not in self._refused:
            warn(f"worker {member} is refused: {'; '.join(reasons)}")
            self._refused.add(member.address)
            self._asked = -_PAUSE

    def restart(
        self, addresses: Sequence[str], environment: Mapping[str, str | None] | None = None
    ) -> None:
        """Let the nannies of workers replace their processes by others with these variables."""
        self._known -= {*addresses}
        try:
            if environment is not None:
                setting = (worker.set_environment, environment)
                self.client.run(*setting, workers=[*addresses], nanny=True)
            self.client.restart_workers([*addresses], timeout=_PATIENCE, raise_for_error=False)
        except ValueError:  # it has no nanny
            self.client.retire_workers([*addresses])
        except KeyError:  # it has ended
            pass

    def lost(self) -> ClusterError:
        """Return the error for a scheduler that has ended."""
        return ClusterError(
            f"the scheduler at {self.address} has ended or does not answer; what is complete is "
            "kept: start it again, and the same command continues"
        )

    def _connected(self) -> Client:
        security = Security(require_encryption=self.address.startswith("tls:"))
        if security.require_encryption and not (security.tls_ca_file and security.tls_client_cert):
            raise ClusterError(
                f"{self.address}: expected certificates for TLS, found none; set DASK_CONFIG to "
                "the file that `seedlings cluster` has written"
            )
        # Results come through the scheduler: a worker may not be reachable from here.
        settings = {"security": security, "set_as_default": False, "direct_to_workers": False}
        try:
            asyncio.run(_greet(self.address, security))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # versions are compared below
                client = Client(self.address, **settings)
        except (OSError, ImportError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ClusterError(
                f"expected a Dask scheduler at {self.address} (DASK_SCHEDULER_ADDRESS), found "
                f"none: {reason}; start one with `seedlings cluster`, or unset the variable"
            ) from error
        here = get_versions()["packages"]
        there = client.run_on_scheduler(get_versions)["packages"]
        differ = [f"{n} {there[n]} (here {here[n]})" for n in _VERSIONS if there[n] != here[n]]
        if differ:
            client.close()
            raise ClusterError(
                f"the scheduler at {self.address} has other versions: {', '.join(differ)}; install "
                "requirements.lock and requirements-cluster.lock there and start it again"
            )
        return client


def warn(message: str) -> None:
    """Print a warning."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def _timeout() -> float:
    text = os.environ.get(TIMEOUT, str(_DEFAULT_TIMEOUT))
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not found > 0:
        raise SeedlingsError(f"{TIMEOUT}: expected a number of seconds above 0, found {text!r}")
    return found


def _checked(address: str) -> str:
    """Return an address with its scheme. Raises ClusterError for one without TLS elsewhere."""
    scheme, found, rest = address.rpartition("://")
    if not found:
        scheme = dask.config.get("distributed.comm.default-scheme")
    host, _, port = rest.rpartition(":")
    if scheme not in ("tls", "tcp") or not host or not port.isdigit():
        raise ClusterError(
            "DASK_SCHEDULER_ADDRESS: expected tls://HOST:PORT, or tcp://127.0.0.1:PORT, found "
            f"{address!r}"
        )
    if scheme == "tcp" and not _is_loopback(host.strip("[]")):
        raise ClusterError(
            f"DASK_SCHEDULER_ADDRESS: expected tls:// for an address beyond this machine, found "
            f"{address!r}; without TLS, anyone on the network can run code here and on the workers"
        )
    return f"{scheme}://{rest}"


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found)


async def _greet(address: str, security: Security) -> None:
    """Raise TimeoutError for a server that says nothing: a client would wait for it without end."""
    limit = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
    greeting = connect(address, **security.get_connection_args("client"))
    await (await asyncio.wait_for(greeting, limit + _GRACE)).close()
