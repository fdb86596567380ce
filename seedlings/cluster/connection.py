"""The connection to a Dask scheduler. All of the library's code that imports Dask is here."""

import ipaddress
import logging
import os
import queue
import socket
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import dask
import distributed
from dask.utils import parse_timedelta
from distributed.versions import get_versions

from seedlings.errors import SeedlingsError

_GRACE = 2.0  # seconds beyond a time limit of Dask
_PATIENCE = 60.0  # seconds for an answer of the scheduler
_VERSIONS = ("python", "dask", "distributed", "cloudpickle", "msgpack", "tornado")
_SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "1GiB",  # a task holds a network
    "distributed.comm.retry.count": 0,
}
_QUIET = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado")


class ClusterError(SeedlingsError):
    """The cluster cannot compute: there is no connection, or no worker that agrees."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a worker. A process that replaces it is another member."""

    address: str
    folder: str  # the working folder, which is new for every process
    name: str  # for messages: the address, and the name if it has one
    nanny: str = ""  # the address of its nanny, which all its processes have in common

    @property
    def has_nanny(self) -> bool:
        """Return whether a nanny can replace its process."""
        return self.nanny != self.address

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call: a value, or an error that the function did not catch."""

    note: Any
    value: Any = None
    error: str = ""


class Connection:
    """A client of a scheduler. Use it as a context manager.

    Raises ClusterError if there is no scheduler at the address, or one of another version.
    """

    def __init__(self, address: str) -> None:
        self.address = _checked(address)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._futures: dict[Any, Any] = {}
        for name in _QUIET:  # errors are raised, with what to do
            logging.getLogger(name).setLevel(logging.CRITICAL)
        dask.config.set(_SETTINGS)
        self._client = self._connected()
        try:
            self._compare_versions()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def members(self) -> list[Member]:
        """Return the workers that are connected now. Raises ClusterError without a scheduler."""
        try:
            found = self._client.sync(
                self._client.scheduler.identity, n_workers=-1, callback_timeout=_PATIENCE
            )
        except (OSError, TimeoutError, AttributeError) as error:
            raise self._lost() from error
        return [
            Member(
                address=address,
                folder=worker["local_directory"],
                name=_name(address, worker["name"]),
                nanny=worker["nanny"] or address,
            )
            for address, worker in found["workers"].items()
            if worker["status"] in ("running", "paused")
        ]

    def call(self, member: Member, note: Any, function: Callable[..., Any], *values: Any) -> None:
        """Call a function on a worker; `answer` returns the result with the note."""
        future = self._client.submit(function, *values, workers=[member.address], pure=False)
        self._futures[note] = future
        future.add_done_callback(lambda done: self._answers.put((note, done)))

    def forget(self, note: Any) -> None:
        """Cancel a call; a function that is running already ends without an answer."""
        future = self._futures.pop(note, None)
        if future is not None and self._client.status == "running":
            self._client.cancel([future], force=True)

    def answer(self, seconds: float) -> Answer | None:
        """Return the next answer, or None after some seconds. Raises ClusterError if it is lost."""
        try:
            note, future = self._answers.get(timeout=seconds)
        except queue.Empty:
            if self._client.status != "running":
                raise self._lost() from None
            return None
        if self._futures.pop(note, None) is None:
            return self.answer(seconds)  # it was cancelled
        try:
            return Answer(note, _result(future))
        except (CancelledError, OSError) as error:
            if self._client.status != "running":
                raise self._lost() from error
            return Answer(note, error=f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - the error of a function on another machine
            return Answer(note, error=f"{type(error).__name__}: {error}")

    def restart(self, member: Member, environment: Mapping[str, str | None]) -> None:
        """Ask the nanny of a worker to replace its process, without waiting for it.

        The new process has the variables of `environment`, and none of those that are None.
        """

        def ask() -> None:
            try:
                wanted = dict(environment)
                self._client.run(_prepare, wanted, workers=[member.address], nanny=True)
                self._client.restart_workers([member.address], timeout=_PATIENCE)
            except Exception as error:  # noqa: BLE001 - then the worker is missing, and named so
                logging.getLogger(__name__).debug("%s: %s", member, error)

        threading.Thread(target=ask, daemon=True).start()

    def close(self) -> None:
        """Cancel all calls and close the connection."""
        self._futures.clear()
        try:
            self._client.close(timeout=5)
        except (OSError, TimeoutError) as error:
            logging.getLogger(__name__).debug("closing: %s", error)

    def _connected(self) -> distributed.Client:
        try:
            security = distributed.Security(require_encryption=self.address.startswith("tls:"))
            if security.require_encryption and not (
                security.tls_ca_file and security.tls_client_cert
            ):
                raise ClusterError(
                    f"{self.address}: expected certificates for TLS, found none; set DASK_CONFIG "
                    "to the file that `seedlings cluster` has written"
                )
            limit = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # versions are compared below
                # Dask waits without end for a server that accepts and says nothing.
                return _within(
                    limit + _GRACE,
                    lambda: distributed.Client(
                        self.address,
                        security=security,
                        set_as_default=False,
                        direct_to_workers=False,  # only the scheduler has to be reachable
                    ),
                )
        except (OSError, ImportError, TimeoutError, ValueError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ClusterError(
                f"expected a Dask scheduler at {self.address} (DASK_SCHEDULER_ADDRESS), found "
                f"none: {reason}; start one with `seedlings cluster`, or unset the variable"
            ) from error

    def _compare_versions(self) -> None:
        try:
            reply = self._client.sync(
                self._client.scheduler.versions, packages=[], callback_timeout=_PATIENCE
            )
            there = reply["packages"]
        except (OSError, TimeoutError, KeyError, TypeError) as error:
            raise self._lost() from error
        here = get_versions()["packages"]
        differ = [
            f"{name} {there.get(name)} (here {here.get(name)})"
            for name in _VERSIONS
            if there.get(name) != here.get(name)
        ]
        if differ:
            raise ClusterError(
                f"the scheduler at {self.address} has other versions: {', '.join(differ)}; "
                "install requirements.lock and requirements-cluster.lock there and start it again"
            )

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the scheduler at {self.address} has ended or does not answer; what is complete is "
            "kept: start it again, and the same command continues"
        )


def _prepare(environment: Mapping[str, str | None], dask_worker: Any) -> None:
    """Set the environment of the next process of a nanny, in the nanny: libraries read it early."""
    for values in (os.environ, dask_worker.pre_spawn_env, dask_worker.env):
        for name, value in environment.items():
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value


def _result(future: Any) -> Any:
    """Return the result of a complete call. Raises TimeoutError if its worker ended meanwhile.

    Dask then runs the call again, on that worker alone, and would wait for it without end.
    """
    seconds = 2.0
    while True:
        try:
            return future.result(timeout=seconds)
        except TimeoutError:
            seconds *= 2  # a large result takes its time
            if future.status != "finished" or seconds > _PATIENCE:
                raise


def _name(address: str, name: object) -> str:
    return address if str(name) == address else f"{address} ({name})"


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


def _within(seconds: float, function: Callable[[], Any]) -> Any:
    """Return the result of a function. Raises its exception, or TimeoutError after some seconds."""
    done: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def call() -> None:
        try:
            done.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised below
            done.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    try:
        value, error = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer for {seconds:.0f} s") from None
    if error is not None:
        raise error
    return value
