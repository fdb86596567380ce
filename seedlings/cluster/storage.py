"""Storage that the client and the workers share, or not."""

import pickle
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.io.parts import digest
from seedlings.io.shards import Shard, Sink, Work

_PAUSE = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class Storage:
    """What shows a worker whether it has the storage of the client, for inputs and results.

    A sink has `shared` if all machines see it, such as a bucket, or `folder`, a path: a file in it
    with a random name shows whether a worker sees the same folder.
    """

    name: str
    shard: Shard
    inputs: str  # the digest of the inputs of this shard
    token: Path | None  # a file beside the results, unless all machines see these

    def is_seen(self, work: Work) -> bool:
        """Return whether this process has the same storage."""
        if self.token is not None and not self.token.is_file():
            return False
        try:
            return _inputs(work, self.shard) == self.inputs
        except (OSError, SeedlingsError):
            return False


@contextmanager
def described(work: Work, sink: Sink, shard: Shard) -> Iterator[Storage | None]:
    """Yield the storage of a work and its sink, or None if the client alone has it."""
    folder: Path | None = getattr(sink, "folder", None)
    shared: bool = getattr(sink, "shared", False)
    if folder is None and not shared:
        yield None
        return
    name = uuid.uuid4().hex
    token = None if folder is None or shared else folder.absolute() / f".{name}.token"
    try:
        if token:
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch()
        yield Storage(name, shard, _inputs(work, shard), token)
    finally:
        if token:
            token.unlink(missing_ok=True)


def wait(sink: Sink, shards: Sequence[Shard], seconds: float) -> list[Shard]:
    """Return the shards that the sink does not have: a network file system may show some late."""
    end = time.monotonic() + seconds
    while (missing := [s for s in shards if s.name not in sink]) and time.monotonic() < end:
        time.sleep(_PAUSE)
    return missing


def _inputs(work: Work, shard: Shard) -> str:
    return digest(pickle.dumps(work.read(shard)))
