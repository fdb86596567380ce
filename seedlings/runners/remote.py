"""Remote commands: runs commands in clones on the workers of a Dask scheduler.

All machines see the folder of the project at one path. A worker starts a supervisor, which runs
the command as `Here` does, and ends it with all its processes if

- the worker ends: it has the other end of the supervisor's standard input;
- the search removes the lease, a file beside the clone;
- the search has ended: it touches the lease every few seconds, and now the lease has not changed
  for LIMIT seconds by the clock of the supervisor. Clocks of two machines are never compared.

The file `running` beside the clone is there from before a supervisor starts its command until the
command has ended. So the search, and the next one after a kill, knows when a clone is free. The
file `begun` stays: Dask gives the command of a worker that has ended to another worker, which must
not run it again in the same clone.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedlings.cluster import engine, identity
from seedlings.cluster.identity import Identity
from seedlings.runners.processes import Handle, Here, Pool, end_leftover, log_of

if TYPE_CHECKING:
    from seedlings.cluster.connection import Connection
    from seedlings.cluster.worker import Answer

LIMIT = 60.0  # seconds; more than a network file system takes to show a change
_PAUSE = 0.2  # seconds
_BEATS = 10  # how often a lease is touched in LIMIT seconds
_KILLED = -9
_LEASE, _BEGUN, _RUNNING, _LOCK, _TOKEN = ".lease", ".begun", ".running", ".lock", "token"
_PROGRAMS = ["dvc", "git"]
_ROOT = Path(__file__).parents[2]
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
            check = Check(identity.identify(identity.locked()), str(folder / _TOKEN))
            Path(check.file).write_text(check.token, encoding="utf-8")
            pool = stack.enter_context(_renewed(Remote(connection, check, optional=optional)))
        except ClusterError as error:
            engine.without(str(error), optional=optional)
        yield pool


class Remote:
    """The pool of a scheduler's workers. A command that finds no free worker waits for one."""

    def __init__(self, connection: "Connection", check: "Check", *, optional: bool) -> None:
        self.connection, self.check, self._optional = connection, check, optional
        self.leases: set[Path] = set()
        self._is_lost = False

    def start(self, command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Handle:
        """Start a command once a worker is free."""
        if self._is_lost:
            return Here().start(command, folder, settings)
        return _Command(self, command, folder, settings)

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


class _Command:
    def __init__(
        self, pool: Remote, command: Sequence[str], folder: Path, settings: Mapping[str, str]
    ) -> None:
        self._pool, self._folder = pool, folder.absolute()
        token = uuid.uuid4().hex
        self._order = Order([*command], str(self._folder), dict(settings), token, LIMIT)
        self._code: int | None = None
        self._is_over = False
        self._here: Handle | None = None
        log_of(self._folder).write_bytes(b"")
        lease = self._folder.with_suffix(_LEASE)
        lease.write_text(token, encoding="utf-8")
        pool.leases.add(lease)
        self._future: Any = None  # of Dask

    def poll(self) -> int | None:
        if not self._is_over:
            self._look()
        return self._here.poll() if self._here else self._code

    def end(self) -> None:
        if self._here:
            self._here.end()
        if not self._is_over:
            self._is_over = True
            self._code = _KILLED if self._code is None else self._code
            self._pool.leases.discard(self._folder.with_suffix(_LEASE))
            self._future = None
            withdraw([self._folder])

    def _look(self) -> None:
        order, connection = self._order, self._pool.connection
        workers = self._pool.look()
        if workers is None:
            has_begun = self._folder.with_suffix(_BEGUN).exists()
            self.end()
            if not has_begun:
                self._here = Here().start(order.command, self._folder, order.settings)
        elif self._future is None:
            if workers:
                self._future = connection.client.submit(run, order, self._pool.check, pure=False)
        elif self._future.status == "error":
            with log_of(self._folder).open("a", encoding="utf-8") as log:
                print(self._future.exception(), file=log)
            self.end()
        elif self._future.status == "finished":
            answer = self._future.result()
            if isinstance(answer, int):
                self._code = answer
                self.end()
            else:
                self._future = None
                connection.refuse(answer.member, answer.value)


@contextmanager
def _renewed(pool: Remote) -> Iterator[Remote]:
    """Touch the leases of a pool until it is left, in a thread: the search may be at work."""
    left = threading.Event()

    def renew() -> None:
        while not left.wait(LIMIT / _BEATS):
            for lease in [*pool.leases]:
                with suppress(OSError):  # it was removed, or the storage does not answer
                    os.utime(lease)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield pool
    finally:
        left.set()
        thread.join()


def leftovers(folder: Path) -> set[Path]:
    """Return the clones below a folder that were given to workers, and perhaps are in use."""
    files = [file for ending in (_LEASE, _RUNNING) for file in folder.glob(f"*/*{ending}")]
    return {file.with_suffix("") for file in files}


def withdraw(clones: Collection[Path]) -> None:
    """End what workers run in clones, and wait until they are free.

    Without its lease, a supervisor ends its command at once. If `running` is still there after
    LIMIT seconds, the machine has failed: no supervisor goes on for so long without a lease.
    """
    for clone in clones:
        clone.with_suffix(_LEASE).unlink(missing_ok=True)
    end = time.monotonic() + LIMIT
    for clone in clones:
        while clone.with_suffix(_RUNNING).exists() and time.monotonic() < end:
            time.sleep(_PAUSE / 4)
        for ending in (_BEGUN, _RUNNING, _LOCK):  # the number in `lock` is that of a remote process
            clone.with_suffix(ending).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Order:
    """A command for a worker."""

    command: list[str]
    folder: str
    settings: dict[str, str]
    token: str  # the content of the lease
    limit: float  # seconds


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


def run(order: Order, check: Check) -> "int | Answer":
    """Run a command under a supervisor, on a worker; return its exit code, negative if killed.

    A worker that cannot run it says why. Raises RuntimeError if the command could not start.
    """
    from seedlings.cluster.worker import Answer, member

    if problems := check.problems():
        return Answer("different", member(), problems)
    folder = Path(order.folder)
    with _ONE_AT_A_TIME:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert supervisor.stdin
        assert supervisor.stdout
        text = ""
        with supervisor, suppress(BrokenPipeError):
            print(json.dumps(asdict(order)), file=supervisor.stdin, flush=True)
            text = supervisor.stdout.read()
        if not text:  # it was killed
            end_leftover(folder)
            folder.with_suffix(_RUNNING).unlink(missing_ok=True)
            return _KILLED
        code, error = json.loads(text)
        if error:
            raise RuntimeError(error)
        return int(code)


def supervise(order: Order) -> int:
    """Run a command as long as its lease is valid and the worker lives; return its exit code."""
    folder, running = Path(order.folder), Path(order.folder).with_suffix(_RUNNING)
    lease = _Lease(folder.with_suffix(_LEASE), order)
    if not lease.is_valid():
        return _KILLED  # the search gave up before this worker began
    try:
        folder.with_suffix(_BEGUN).touch(exist_ok=False)
    except FileExistsError:
        return _KILLED  # with the worker that had it
    running.touch(exist_ok=False)
    try:
        if not lease.is_valid():  # it was removed before `running` was there
            return _KILLED
        handle = Here().start(order.command, folder, order.settings)
        while (code := handle.poll()) is None and lease.is_valid():
            if select.select([sys.stdin], [], [], _PAUSE)[0]:  # its other end is closed
                break
        if code is None or code < 0:
            handle.end()
            end_leftover(folder)
            code = _KILLED
        return code
    finally:
        running.unlink(missing_ok=True)


class _Lease:
    def __init__(self, file: Path, order: Order) -> None:
        self._file, self._order = file, order
        self._changed, self._since = -1, time.monotonic()

    def is_valid(self) -> bool:
        """Return whether the command may run."""
        content = self._order.token
        try:
            with self._file.open(encoding="utf-8") as file:  # a network file system looks again
                content, changed = file.read(), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return False
        except OSError:  # the storage does not answer
            changed = self._changed
        if changed != self._changed:
            self._changed, self._since = changed, time.monotonic()
        is_recent = time.monotonic() - self._since <= self._order.limit
        return is_recent and content == self._order.token


def main() -> None:
    """Run the order in the first line of standard input; print its exit code, or an error."""
    order = Order(**json.loads(sys.stdin.readline()))
    try:
        print(json.dumps([supervise(order), ""]))
    except OSError as error:
        print(json.dumps([None, f"{type(error).__name__}: {error}"]))


if __name__ == "__main__":
    main()
