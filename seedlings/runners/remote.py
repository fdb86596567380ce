"""Remote commands: runs commands in clones on the workers of a Dask scheduler.

All machines see the folder of the project at one path. A command is a task of Dask. Its worker
compares itself with the search, makes the clone, and runs the command as `Here` does, so that the
command ends with the worker. It also ends if Dask has no use for the task any more, as when the
search has ended.
"""

import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedlings.cluster import engine, identity
from seedlings.cluster.identity import Identity
from seedlings.runners.clones import Clone
from seedlings.runners.processes import Handle, Here, Pool, log_of

if TYPE_CHECKING:
    from seedlings.cluster.connection import Connection
    from seedlings.cluster.worker import Answer

_PAUSE = 0.2  # seconds
_KILLED = -9
_MARK = "token"
_PROGRAMS = ["dvc", "git"]
_ONE_AT_A_TIME = threading.Lock()  # a worker with several threads runs one command at a time


@contextmanager
def choose(folder: Path) -> Iterator[Pool]:
    """Yield the pool that the environment asks for: this machine, or a scheduler's workers.

    `folder` is that of the search, in which the clones are. Raises SeedlingsError if the cluster
    cannot be used, unless it is optional.
    """
    address, optional = engine.asked()
    if not address or not engine.is_installed(optional=optional):
        yield Here()
        return
    from seedlings.cluster.connection import ClusterError, Connection

    with ExitStack() as stack:
        pool: Pool = Here()
        try:
            connection = stack.enter_context(Connection(address))
            folder.mkdir(parents=True, exist_ok=True)
            check = Check(identity.identify(identity.locked()), str(folder.absolute() / _MARK))
            Path(check.file).write_text(check.token, encoding="utf-8")
            pool = Remote(connection, check, optional=optional)
        except ClusterError as error:
            engine.without(str(error), optional=optional)
        yield pool


class Remote:
    """The pool of a scheduler's workers. A command that finds no free worker waits for one."""

    def __init__(self, connection: "Connection", check: "Check", *, optional: bool) -> None:
        self.connection, self.check, self._optional = connection, check, optional
        self._is_lost = False

    def start(self, command: Sequence[str], clone: Clone, settings: Mapping[str, str]) -> Handle:
        """Start a command once a worker is free; here, if the cluster was lost and is optional."""
        if self._is_lost:
            return Here().start(command, clone, settings)
        return _Task(self, command, clone, settings)

    def look(self) -> int | None:
        """Return the number of workers, or None if the cluster cannot be used.

        Raises SeedlingsError if it cannot, and is not optional.
        """
        from seedlings.cluster.connection import ClusterError

        if self._is_lost:
            return None
        try:
            return self.connection.count()
        except ClusterError as error:
            self._is_lost = True
            engine.without(str(error), optional=self._optional)
            return None


class _Task:
    """A command on a worker. One that ends with its worker, or with the cluster, was killed."""

    def __init__(
        self, pool: Remote, command: Sequence[str], clone: Clone, settings: Mapping[str, str]
    ) -> None:
        self._pool, self._log = pool, log_of(clone.folder)
        self._values = ([*command], clone, dict(settings))
        self._code: int | None = None
        self._log.write_bytes(b"")
        self._future: Any = None  # of Dask

    def poll(self) -> int | None:
        if self._code is None:
            self._look()
        return self._code

    def end(self) -> None:
        self._code = _KILLED if self._code is None else self._code
        self._future = None

    def _look(self) -> None:
        workers, connection = self._pool.look(), self._pool.connection
        if workers is None:
            self.end()
        elif self._future is None:
            if workers:
                self._future = connection.client.submit(
                    run, *self._values, self._pool.check, pure=False
                )
        elif self._future.status == "error":
            with self._log.open("a", encoding="utf-8") as log:
                print(self._future.exception(), file=log)
            self.end()
        elif self._future.status == "finished":
            answer = self._future.result()
            self._future = None  # so that the worker can be retired
            if isinstance(answer, int):
                self._code = answer
            else:
                connection.refuse(answer.member, answer.value)


@dataclass(frozen=True, slots=True)
class Check:
    """What a worker needs before it runs commands in folders of the search."""

    search: Identity
    file: str  # in the folder, with the token
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def problems(self, programs: Sequence[str] = _PROGRAMS) -> list[str]:
        """Return what prevents this process from running the commands."""
        there = identity.identify(self.search.packages)
        found = identity.differences(self.search, there)
        if there.is_stale:
            found.append("its code has changed since it started: start it again")
        file = Path(self.file)
        if not file.is_file() or file.read_text(encoding="utf-8") != self.token:
            found.append(
                f"expected the folder {file.parent}, found none or another one there: workers must "
                "see the project at the same path, on storage that all of them share"
            )
        path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
        for program in programs:
            if shutil.which(program, path=path) is None:
                found.append(
                    f"expected the program {program}, found none in {path}: install it there"
                )
        return found


def run(
    command: Sequence[str], clone: Clone, settings: Mapping[str, str], check: Check
) -> "int | Answer":
    """Run a command on a worker, in a clone that it makes; return its exit code.

    The code is negative if it was killed. A worker that cannot run it says why.
    """
    from distributed import get_worker

    from seedlings.cluster.worker import Answer, member

    if problems := check.problems():
        return Answer("different", member(), problems)
    worker = get_worker()
    key = worker.get_current_task()
    with _ONE_AT_A_TIME:
        if clone.folder.exists():
            return _KILLED  # with the worker that had made it
        handle = Here().start(command, clone, settings)
        try:
            while (code := handle.poll()) is None:
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    return _KILLED
                time.sleep(_PAUSE)
        finally:
            handle.end()
        return code
