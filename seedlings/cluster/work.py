"""What a worker of a cluster runs. The scheduler also imports this module, so it imports little."""

import os
import pickle
import shutil
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seedlings.cluster import identity
from seedlings.cluster.identity import Identity
from seedlings.errors import SeedlingsError
from seedlings.io.parts import digest
from seedlings.io.shards import Shard, Sink, Work

_LOADED = identity.code()  # when this process imported the library
_ONE_AT_A_TIME = threading.Lock()  # a worker with several threads computes one shard at a time


@dataclass(frozen=True, slots=True)
class Pickled:
    """A pickled value with its digest."""

    content: bytes
    digest: str

    @staticmethod
    def of(value: Any) -> "Pickled":
        """Return a value, pickled."""
        content = pickle.dumps(value, protocol=5)
        return Pickled(content, digest(content))

    def load(self) -> Any:
        """Return the value. Raises ValueError if the bytes do not have the digest."""
        if digest(self.content) != self.digest:
            raise ValueError("expected other bytes: they changed on the way")
        return pickle.loads(self.content)  # noqa: S301 - peers of a cluster are trusted like code


@dataclass(frozen=True, slots=True)
class StorageCheck:
    """How a worker finds out whether it sees the storage of the client."""

    shared: bool  # whether all machines see the sink, whatever the file system
    token: Path | None  # a file that the client has written beside the sink
    shard: Shard | None  # a shard, with the digest of its inputs
    digest: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The answer of a worker to a task: its digest of numerics, or why it failed."""

    numerics: str = ""
    sees_storage: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a shard."""

    kind: Literal["done", "bad input", "failed", "not installed"]
    result: Pickled | None = None  # None if the worker has saved it
    message: str = ""


@dataclass(slots=True)
class _Current:
    """The task of this process, with the digest of its pickled bytes."""

    digest: str = ""
    task: Work | None = None
    sink: Sink | None = None


_current = _Current()


def hello(packages: Sequence[str]) -> Identity:
    """Return the identity of this worker."""
    return identity.identify(packages, _LOADED)


def check(here: Identity, file: Path, token: str, programs: Sequence[str]) -> list[str]:
    """Return what prevents this worker from running commands in a folder of the client.

    `here` is the identity of the client, which has written the token into a file in that folder.
    """
    there = hello([*here.packages])
    found = identity.differences(here, there)
    if there.is_stale:
        found.append("its code has changed since it started: start it again")
    try:
        seen = file.read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != token:
        found.append(
            f"expected the folder {file.parent}, found none or another one there: workers must see "
            "the project at the same path, on storage that all of them share"
        )
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    for program in programs:
        if shutil.which(program, path=path) is None:
            found.append(f"expected the program {program}, found none in {path}: install it there")
    return found


def install(content: bytes, digest: str, check: bytes) -> Installed:
    """Keep a pickled task and its sink for the following shards; return its digest of numerics."""
    with _ONE_AT_A_TIME:
        try:
            if _current.digest != digest:
                _current.digest, _current.task, _current.sink = "", None, None
                _current.task, _current.sink = Pickled(content, digest).load()
                _current.digest = digest
            assert _current.task is not None
            found = _current.task.numerics()
            seen = _sees_storage(_current.task, pickle.loads(check))  # noqa: S301 - as above
            return Installed(found, seen)
        except Exception:  # noqa: BLE001 - the client decides what an error of a worker means
            _current.digest = ""
            return Installed(error=traceback.format_exc(limit=-3))


def compute(order: bytes) -> Outcome:
    """Compute one shard: its pickled (digest of the task, shard, inputs or None, save or not).

    Without inputs, the worker reads them from storage and saves the result there.
    """
    digest, shard, inputs, save = pickle.loads(order)  # noqa: S301 - as above
    with _ONE_AT_A_TIME:
        task, sink = _current.task, _current.sink
        if task is None or sink is None or _current.digest != digest:
            return Outcome("not installed")
        try:
            result = task.run(task.read(shard) if inputs is None else inputs.load())
            if not save:
                return Outcome("done")
            if inputs is not None:
                return Outcome("done", Pickled.of(result))
            sink.save(shard.name, result)
            return Outcome("done")
        except SeedlingsError as error:
            return Outcome("bad input", message=str(error))
        except Exception:  # noqa: BLE001 - the client decides what an error of a worker means
            return Outcome("failed", message=traceback.format_exc(limit=-3))


def _sees_storage(task: Work, check: StorageCheck) -> bool:
    """Return whether this worker writes where the client reads, and reads the same inputs."""
    if not check.shared and (check.token is None or not check.token.is_file()):
        return False
    if check.shard is None:
        return False
    try:
        return Pickled.of(task.read(check.shard)).digest == check.digest
    except (OSError, SeedlingsError):
        return False
