"""The dispatcher: it hands shards to the admitted workers, and retries what fails."""

import itertools
import statistics
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from seedlings.cluster import storage, work
from seedlings.cluster.admission import ATTEMPTS, TIMEOUT, Admission, Job, Worker, warn
from seedlings.cluster.connection import Answer, Connection, Member
from seedlings.cluster.work import Outcome, Pickled
from seedlings.errors import SeedlingsError
from seedlings.io.progress import bar
from seedlings.io.shards import Shard, Sink, Work, remaining

_SLOWER = 20  # a shard may take this many times the median before its worker is replaced
_IN_FLIGHT = 2  # shards a worker: one that it computes, one that waits there
_PAUSE = 1.0  # seconds between two looks at the list of workers


class _Failing(Exception):  # noqa: N818 - an event, which `run` handles
    """A shard has failed too often."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.failures[-1])
        self.job = job


class Dispatcher:
    """Computes the shards of one task on the workers behind a connection."""

    def __init__(self, connection: Connection, task: Work, sink: Sink) -> None:
        self._connection, self._task, self._sink = connection, task, sink
        self._admission = Admission(connection, task, sink)
        self._waiting: deque[Job] = deque()
        self._left = 0
        self._workers: dict[Member, Worker] = {}
        self._durations: deque[float] = deque(maxlen=101)
        self._numbers = itertools.count()

    def run(self, shards: Sequence[Shard]) -> None:
        """Compute the shards that the sink does not have.

        Raises ClusterError if the cluster cannot compute, and SeedlingsError for bad input and for
        an image that fails three times.
        """
        missing = remaining(self._task, shards, self._sink)
        total = sum(map(len, shards))
        done = total - sum(map(len, missing))
        with ExitStack() as stack:
            check = storage.checking(self._task, self._sink, missing[0])
            self._admission.check_storage(stack.enter_context(check))
            progress = bar(None, self._task.name, unit="image", total=total, done=done)
            stack.enter_context(progress)
            try:
                self._compute([Job(shard) for shard in missing], progress)
            except _Failing as failing:
                self._locate(failing.job)
        storage.wait(self._sink, missing, self._admission.timeout)

    def _compute(self, jobs: Sequence[Job], progress: Any = None) -> None:
        """Compute jobs until none is left."""
        self._waiting, self._left = deque(jobs), len(jobs)
        looked = -_PAUSE
        while self._left:
            if time.monotonic() - looked >= _PAUSE:
                self._look()
                looked = time.monotonic()
            self._feed()
            answer = self._connection.answer(_PAUSE)
            if answer is not None:
                rows = self._handle(answer)
                if progress is not None:
                    ready = sum(worker.state == "ready" for worker in self._workers.values())
                    progress.set_postfix_str(f"workers={ready}", refresh=False)
                    progress.update(rows)

    def _locate(self, job: Job) -> None:
        """Compute the rows of a shard one by one. Raises SeedlingsError that names the bad one."""
        for worker in self._workers.values():
            for other in worker.jobs:
                self._connection.forget(other.number)
            worker.jobs.clear()
        shard, reason = job.shard, job.failures[-1]
        if len(shard) > 1:
            warn(f"{len(shard)} images failed {ATTEMPTS} times together; each is tried alone")
            try:
                self._compute([Job(single, save=False) for single in shard.single()])
            except _Failing as failing:
                shard, reason = failing.job.shard, failing.job.failures[-1]
        what = f"{self._task.name}: failed {ATTEMPTS} times on the workers of the cluster, last"
        if len(shard) == 1:
            raise SeedlingsError(f"{shard.labels[0]}: {what}: {reason}")
        raise SeedlingsError(
            f"{shard.labels[0]} to {shard.labels[-1]}: {what}: {reason}; each of these images "
            "alone does not fail: give the workers more memory, or run the same command again"
        )

    def _look(self) -> None:
        """Compare the connected workers with the known ones; restart those that hang."""
        present = set(self._connection.members())
        for member in [*self._workers]:
            if member not in present:
                self._gone(self._workers.pop(member))
        for member in sorted(present - self._workers.keys(), key=str):
            self._workers[member] = self._admission.begin(member)
        for worker in self._workers.values():
            self._check_time(worker)
        self._admission.check(self._workers.values())

    def _gone(self, worker: Worker) -> None:
        """Take back the shards of a worker that has ended."""
        if worker.is_loading:
            self._admission.failed(worker, "ended while it loaded the task")
        self._take_back(worker, f"worker {worker.member} ended")

    def _take_back(self, worker: Worker, reason: str) -> None:
        """Let the shards of a worker wait again; the one that it computed has failed once more."""
        jobs, worker.jobs = worker.jobs, []
        for job in reversed(jobs):
            self._connection.forget(job.number)
            self._waiting.appendleft(job)
        if jobs:
            self._fail(jobs[0], reason)

    def _fail(self, job: Job, reason: str) -> None:
        job.failures.append(reason)
        if len(job.failures) >= ATTEMPTS:
            raise _Failing(job)

    def _check_time(self, worker: Worker) -> None:
        """Restart a worker that takes far longer than the others."""
        typical = statistics.median(self._durations) if self._durations else 0.0
        limit = max(self._admission.timeout, _SLOWER * typical)
        busy = worker.jobs or worker.is_loading or worker.state == "restarting"
        if not busy or time.monotonic() - worker.since <= limit:
            return
        if worker.state == "restarting":
            self._admission.refuse(worker, ["it did not restart"])
            return
        reason = f"did not answer for {limit:.0f} s ({TIMEOUT})"
        warn(f"worker {worker.member} {reason}; it is restarted")
        if worker.is_loading:
            self._admission.failed(worker, reason)
        self._admission.restart(worker)
        self._take_back(worker, f"worker {worker.member} {reason}")

    def _feed(self) -> None:
        """Hand waiting shards to the workers that have room, one round after the other."""
        ready = [worker for worker in self._workers.values() if worker.state == "ready"]
        for room in range(_IN_FLIGHT):
            # The last shards wait here: the worker that is free first takes them.
            needed = 0 if room == 0 else len(ready)
            for worker in ready:
                if len(self._waiting) > needed and len(worker.jobs) <= room:
                    self._send(worker, self._waiting.popleft())

    def _send(self, worker: Worker, job: Job) -> None:
        inputs = None if worker.sees_storage else Pickled.of(self._task.read(job.shard))
        order = Pickled.of((self._admission.pickled.digest, job.shard, inputs, job.save))
        if not worker.jobs:
            worker.since = time.monotonic()
        job.number = next(self._numbers)
        worker.jobs.append(job)
        self._connection.call(worker.member, job.number, work.compute, order.content)

    def _handle(self, answer: Answer) -> int:
        """Handle an answer; return how many rows it completes."""
        if isinstance(answer.note, tuple):
            if answer.note[1] in self._workers:
                self._admission.proceed(self._workers[answer.note[1]], answer)
            return 0
        for worker in self._workers.values():
            for job in worker.jobs:
                if job.number == answer.note:
                    return self._computed(worker, job, answer)
        return 0

    def _computed(self, worker: Worker, job: Job, answer: Answer) -> int:
        """Save the result of a shard, or let it wait again; return how many rows it completes."""
        worker.jobs.remove(job)
        outcome = answer.value if not answer.error else Outcome("failed", message=answer.error)
        now = time.monotonic()
        duration, worker.since = now - worker.since, now
        if outcome.kind == "done":
            if outcome.result is not None:
                self._sink.save(job.shard.name, outcome.result.load())
            self._durations.append(duration)
            self._left -= 1
            return len(job.shard)
        if outcome.kind == "bad input":
            raise SeedlingsError(outcome.message)
        if outcome.kind == "not installed":  # a new process has the address of the worker
            self._waiting.appendleft(job)
            self._gone(self._workers.pop(worker.member))
            return 0
        self._waiting.append(job)
        self._fail(job, f"on worker {worker.member}: {outcome.message.strip()}")
        return 0
