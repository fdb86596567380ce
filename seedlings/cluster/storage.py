"""Storage that the client and the workers share, or not."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seedlings.cluster.connection import ClusterError
from seedlings.cluster.work import Pickled, StorageCheck
from seedlings.io.shards import Shard, Sink, Work

_PAUSE = 0.2  # seconds


@contextmanager
def checking(task: Work, sink: Sink, shard: Shard) -> Iterator[bytes]:
    """Yield a pickled StorageCheck, with which a worker finds out whether it sees this storage.

    A sink has `shared` if all machines see it, such as a bucket, or `folder`, a path: a file in it
    with a random name shows whether a worker sees the same folder. The inputs of one shard show
    whether it reads the same inputs.
    """
    shared, folder = bool(getattr(sink, "shared", False)), getattr(sink, "folder", None)
    if not shared and folder is None:
        yield Pickled.of(StorageCheck(False, None, None, "")).content
        return
    token = None if folder is None else Path(folder).absolute() / f".{uuid.uuid4().hex}.token"
    digest = Pickled.of(task.read(shard)).digest
    try:
        if token is not None:
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch()
        yield Pickled.of(StorageCheck(shared, token, shard, digest)).content
    finally:
        if token is not None:
            token.unlink(missing_ok=True)


def wait(sink: Sink, shards: Sequence[Shard], seconds: float) -> None:
    """Wait until the sink has all shards: a network file system may show new files late.

    Raises ClusterError if some are still missing after some seconds.
    """
    end = time.monotonic() + seconds
    missing = [shard for shard in shards if shard.name not in sink]
    while missing:
        if time.monotonic() > end:
            raise ClusterError(
                f"expected {len(shards)} results in storage, found {len(shards) - len(missing)}: "
                "the workers saved the others where this process does not see them"
            )
        time.sleep(_PAUSE)
        missing = [shard for shard in missing if shard.name not in sink]
