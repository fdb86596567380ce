"""Admission: a worker agrees with this process before its first shard."""

import os
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seedlings.cluster import identity, work
from seedlings.cluster.connection import Answer, ClusterError, Connection, Member
from seedlings.cluster.work import Installed, Pickled
from seedlings.errors import SeedlingsError
from seedlings.io.shards import Shard, Sink, Work

TIMEOUT = "SEEDLINGS_CLUSTER_TIMEOUT"
ATTEMPTS = 3
_DEFAULT_TIMEOUT = 300.0  # seconds


@dataclass(slots=True, eq=False)
class Job:
    """A shard that is not computed yet."""

    shard: Shard
    save: bool = True
    failures: list[str] = field(default_factory=list)
    number: int = 0  # of the last call


@dataclass(slots=True, eq=False)
class Worker:
    """A worker as this process sees it."""

    member: Member
    state: Literal["hello", "install", "ready", "refused", "restarting"] = "hello"
    processor: str = ""
    sees_storage: bool = False
    jobs: list[Job] = field(default_factory=list)  # in flight, the oldest first
    since: float = 0.0  # when the oldest call began

    @property
    def is_loading(self) -> bool:
        """Return whether the worker has been called, but has not agreed yet."""
        return self.state in ("hello", "install")


class Admission:
    """Admits the workers that have the same code and packages, and give the same results.

    Workers also have this process' settings of the processor; those with others are restarted.
    """

    def __init__(self, connection: Connection, task: Work, sink: Sink) -> None:
        self.pickled = Pickled.of((task, sink))
        self.timeout = timeout()
        self._connection, self._task = connection, task
        self._here = identity.identify(identity.locked(), identity.code())
        self._expected = ""
        self._renewed: set[str] = set()  # nannies whose worker was restarted for this task
        self._failures: list[str] = []  # of workers that loaded the task
        self._alone_since = time.monotonic()
        self._check = b""

    def check_storage(self, check: bytes) -> None:
        """Set the pickled StorageCheck that workers answer."""
        self._check = check

    def begin(self, member: Member) -> Worker:
        """Return a new worker, which is asked for its identity."""
        worker = Worker(member)
        self._call(worker, work.hello, [*self._here.packages])
        return worker

    def proceed(self, worker: Worker, answer: Answer) -> None:
        """Admit, restart or refuse a worker, or take its next step."""
        if answer.error:
            self.refuse(worker, [answer.error])
        elif worker.state == "hello":
            self._on_hello(worker, answer.value)
        elif worker.state == "install":
            self._installed(worker, answer.value)

    def failed(self, worker: Worker, reason: str) -> None:
        """Count a worker that ended or did not answer before it was admitted."""
        self._connection.forget((worker.state, worker.member))
        self._failures.append(f"worker {worker.member} {reason}")

    def restart(self, worker: Worker) -> None:
        """Let the nanny of a worker replace its process by one with the settings of this one."""
        worker.state, worker.since = "restarting", time.monotonic()
        self._connection.restart(worker.member, self._here.settings)

    def refuse(self, worker: Worker, reasons: list[str]) -> None:
        """Give a worker no shard."""
        worker.state = "refused"
        warn(f"worker {worker.member} is refused: {'; '.join(reasons)}")

    def check(self, workers: Collection[Worker]) -> None:
        """Raise ClusterError if no worker is left, or none has come for a long time."""
        states = [worker.state for worker in workers]
        if states and all(state == "refused" for state in states):
            raise ClusterError("no worker agrees with this process; see the warnings above")
        if len(self._failures) >= ATTEMPTS and "ready" not in states:
            raise ClusterError(f"workers fail to load the task: {self._failures[-1]}")
        now = time.monotonic()
        if states:
            self._alone_since = now
        elif now - self._alone_since > self.timeout:
            raise ClusterError(
                f"expected workers at the scheduler {self._connection.address}, found none for "
                f"{self.timeout:.0f} s ({TIMEOUT}); complete shards are kept"
            )

    def _call(self, worker: Worker, function: Any, *values: Any) -> None:
        worker.since = time.monotonic()
        self._connection.call(worker.member, (worker.state, worker.member), function, *values)

    def _on_hello(self, worker: Worker, there: identity.Identity) -> None:
        differ = identity.differences(self._here, there)
        if differ:
            self.refuse(worker, differ)
        elif there.is_stale:
            self._renew(worker, "its code has changed since it started")
        elif there.settings != self._here.settings:
            self._renew(worker, _settings_differ(self._here.settings, there.settings))
        else:
            worker.state, worker.processor = "install", there.processor
            task = self.pickled
            self._call(worker, work.install, task.content, task.digest, self._check)
            self._expected = (
                self._expected or self._task.numerics()
            )  # while the worker does the same

    def _installed(self, worker: Worker, found: Installed) -> None:
        if found.error:
            self._renew(worker, f"it cannot load the task: {found.error.strip()}")
        elif found.numerics != self._expected:
            processors = f"processor {worker.processor}, here {self._here.processor}"
            self._renew(worker, f"other results for the same inputs ({processors})")
        else:
            worker.state, worker.sees_storage = "ready", found.sees_storage
            self._failures.clear()

    def _renew(self, worker: Worker, reason: str) -> None:
        """Restart a worker once, as older code or an earlier task can be the cause; then refuse."""
        if not worker.member.has_nanny or worker.member.nanny in self._renewed:
            self.refuse(worker, [reason])
        else:
            warn(f"worker {worker.member} is restarted: {reason}")
            self._renewed.add(worker.member.nanny)
            self.restart(worker)


def _settings_differ(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> str:
    """Return that a worker has other settings of the processor, and what to do."""
    names = [name for name, value in here.items() if there.get(name) != value]
    found = ", ".join(f"{name} {there.get(name) or 'unset'}" for name in names)
    wanted = ", ".join(f"{name} {here[name] or 'unset'}" for name in names)
    return (
        f"expected the processor's settings of the parameter `portable` here ({wanted}), found "
        f"{found}; start the worker with a nanny, or with the same environment"
    )


def timeout() -> float:
    """Return the seconds that a worker may take to answer (SEEDLINGS_CLUSTER_TIMEOUT)."""
    text = os.environ.get(TIMEOUT, str(_DEFAULT_TIMEOUT))
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not found > 0:
        raise SeedlingsError(f"{TIMEOUT}: expected a number of seconds above 0, found {text!r}")
    return found


def warn(message: str) -> None:
    """Print a warning."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
