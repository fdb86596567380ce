"""The computation of shards on the workers of a cluster."""

import pickle
import statistics
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from distributed import Future, KilledWorker, as_completed

from seedlings.cluster import identity, storage, worker
from seedlings.cluster.connection import TIMEOUT, ClusterError, Connection, warn
from seedlings.cluster.worker import Answer, Member, Setup
from seedlings.errors import SeedlingsError
from seedlings.io.parts import digest
from seedlings.io.progress import bar
from seedlings.io.shards import Shard, Sink, Work, remaining

_WINDOW = 2  # shards a worker: one that it computes, one that waits there
_RETRIES = 2  # of a shard that raises an exception
_SLOWER = 20  # a shard may take this many times the median before its worker is replaced
_PAUSE = 0.02  # seconds


class Computation:
    """Computes the shards of one work on the workers of a scheduler."""

    def __init__(self, connection: Connection, work: Work, sink: Sink) -> None:
        self._connection, self._client = connection, connection.client
        self._work, self._sink = work, sink
        self._here = identity.identify(identity.locked())
        self._completed = as_completed(
            loop=self._client.loop, with_results=True, raise_errors=False
        )
        self._running: dict[Future, tuple[Shard, float]] = {}
        self._restarted: dict[str | None, str] = {}  # the first process, by its nanny
        self._outdated: list[Member] = []
        self._sends_inputs = False  # once a worker does not see the storage
        self._durations: deque[float] = deque(maxlen=101)

    def run(self, shards: Sequence[Shard]) -> None:
        """Compute the shards that the sink does not have.

        Raises ClusterError if the cluster cannot compute, and SeedlingsError for bad input and for
        an image that fails three times.
        """
        missing = remaining(self._work, shards, self._sink)
        total = sum(map(len, shards))
        done = total - sum(map(len, missing))
        with (
            storage.described(self._work, self._sink, missing[0]) as self._storage,
            self._published(),
            bar(None, self._work.name, unit="image", total=total, done=done) as self._progress,
        ):
            self._sends_inputs = self._storage is None
            waiting = deque(missing)
            while waiting:
                for shard, _ in self._compute(waiting):
                    self._locate(shard)
        if late := storage.wait(self._sink, missing, self._connection.timeout):
            raise ClusterError(
                f"expected {len(missing)} results in storage, found {len(missing) - len(late)}: "
                "the workers saved the others where this process does not see them"
            )

    @contextmanager
    def _published(self) -> Iterator[None]:
        """Let workers load the setup."""
        pickled = pickle.dumps((self._work, self._sink))
        setup = pickle.dumps(Setup(self._here, self._work.numerics(), pickled))
        self._digest = digest(setup)
        self._client.publish_dataset(setup, name=self._digest, override=True)
        try:
            yield
        finally:
            if self._client.status == "running":
                self._client.unpublish_dataset(self._digest)

    def _compute(self, waiting: deque[Shard], *, save: bool = True) -> list[tuple[Shard, str]]:
        """Compute shards until none waits or one fails; return those that failed, and why."""
        failed: list[tuple[Shard, str]] = []
        while self._running or (waiting and not failed):
            workers = self._connection.count()
            room = _WINDOW * workers - len(self._running)
            for _ in range(0 if failed or self._outdated else min(room, len(waiting))):
                self._submit(waiting.popleft(), save=save)
            batch = self._completed.next_batch(block=False)
            for future, answer in batch:
                shard, since = self._running.pop(future)
                status = future.status
                future.release()  # so that its worker can be retired
                if status == "error":
                    failed.append((shard, _reason(*answer)))
                elif not isinstance(answer, Answer):
                    raise self._connection.lost()
                elif self._is_done(shard, answer):
                    self._durations.append(time.monotonic() - since)
                    self._progress.set_postfix_str(f"workers={workers}", refresh=False)
                    self._progress.update(len(shard) if save else 0)
                else:
                    waiting.appendleft(shard)
            if self._outdated and not self._running:  # all that they had is answered
                addresses = [member.address for member in self._outdated]
                self._connection.restart(addresses, self._here.settings)
                self._outdated.clear()
            if not batch:
                self._restart_late()
                time.sleep(_PAUSE)
        return failed

    def _submit(self, shard: Shard, *, save: bool) -> None:
        inputs = self._work.read(shard) if self._sends_inputs else None
        order = pickle.dumps((shard, self._storage, inputs, save))
        future = self._client.submit(
            worker.compute, self._digest, order, pure=False, retries=_RETRIES
        )
        self._running[future] = shard, time.monotonic()
        self._completed.add(future)

    def _is_done(self, shard: Shard, answer: Answer) -> bool:
        """Return whether a shard is done, after its result is saved; or help its worker."""
        if answer.kind == "result":
            self._sink.save(shard.name, answer.value)
        elif answer.kind == "no storage":
            self._sends_inputs = True
        elif answer.kind == "outdated":
            self._renew(answer.member, answer.value)
        elif answer.kind == "different":
            self._connection.refuse(answer.member, answer.value)
        return answer.kind in ("result", "saved")

    def _renew(self, member: Member, reasons: Sequence[str]) -> None:
        """Restart a worker once, as older code or an earlier work can be the cause; then refuse."""
        first = self._restarted.setdefault(member.nanny, member.process)
        if member.nanny is None or first != member.process:
            self._connection.refuse(member, reasons)
        elif member not in self._outdated:
            warn(f"worker {member} is restarted: {'; '.join(reasons)}")
            self._outdated.append(member)

    def _restart_late(self) -> None:
        """Restart the workers of shards that take far longer than others."""
        now, typical = time.monotonic(), statistics.median(self._durations or [0.0])
        limit = max(self._connection.timeout, _SLOWER * typical)
        late = {f.key: f for f, (_, since) in self._running.items() if now - since > limit}
        if not late:
            return
        for address, keys in self._client.processing().items():
            if not late.keys().isdisjoint(keys):
                warn(f"worker {address} did not answer for {limit:.0f} s ({TIMEOUT}): restarted")
                self._connection.restart([address])
        for future in late.values():
            self._running[future] = self._running[future][0], time.monotonic()

    def _locate(self, shard: Shard) -> None:
        """Compute a shard that failed row by row, and then as a whole, with nothing beside it.

        It may be innocent: Dask counts the end of a worker against all shards that the worker had.
        Raises SeedlingsError with the name of the image that fails.
        """
        rows = [*shard.single()] if len(shard) > 1 else []
        if rows:
            warn(f"{len(rows)} images failed together; each is tried alone")
        for part in (*rows, shard):
            for _, reason in self._compute(deque([part]), save=part is shard):
                raise SeedlingsError(self._failure(part, reason))

    def _failure(self, part: Shard, reason: str) -> str:
        what = f"{self._work.name}: failed on the workers of the cluster: {reason}"
        if len(part) > 1:
            return (
                f"{part.labels[0]} to {part.labels[-1]}: {what}; each of these images alone does "
                "not fail: give the workers more memory, or run the same command again"
            )
        if not self._durations:
            what += "; no other image was computed either: do the workers have enough memory?"
        return f"{part.labels[0]}: {what}"


def _reason(kind: type[BaseException], error: BaseException, trace: TracebackType) -> str:
    """Return why a shard failed. Raises the error if it is one in the input of the user."""
    if isinstance(error, SeedlingsError):
        raise error
    if isinstance(error, KilledWorker):
        number, last = error.allowed_failures + 1, error.last_worker.address
        return f"{number} workers ended while they had it, the last one at {last}"
    return "".join(traceback.format_exception(kind, error, trace, limit=-3)).strip()
