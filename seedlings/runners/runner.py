"""The runner: runs jobs, and hands their experiments over.

A job whose processes were killed runs again. A subclass says more about its jobs: which one is
next, what to do at each look, and what their ends mean.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from seedlings.errors import SeedlingsError
from seedlings.runners.executions import Execution, Job, Place

_PAUSE = 0.1  # seconds between two looks at what runs
_ATTEMPTS = 3  # of a job whose processes were killed
_FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)]


class Runner:
    """Runs jobs in a place; `say` gets a line for each job that runs again."""

    _noun = "experiments"  # in messages

    def __init__(self, place: Place, *, say: Callable[[str], None]) -> None:
        self._place, self._say = place, say
        self._waiting: deque[Job] = deque()
        self._running: list[Execution] = []

    def run_jobs(self, jobs: Iterable[Job] = ()) -> None:
        """Run the waiting jobs and these, until none is left.

        Raises SeedlingsError if the disk is full, or if a job fails; what is finished is kept.
        """
        self._waiting += jobs
        try:
            while True:
                self._fill()
                self._use_time()
                if not self._running:
                    return
                for execution in [*self._running]:
                    self._look(execution)
                time.sleep(_PAUSE)
        finally:
            for execution in self._running:
                execution.end()
            self._running = []

    def share(self, stages: Sequence[str], job: Job) -> str:
        """Run stages once, before several jobs need them, and return the dvc.lock with them."""
        self._say(f"{', '.join(stages)}: run once for all {self._noun}")
        while True:
            execution = Execution(self._place, job, ["dvc", "repro", *stages])
            try:
                while (code := execution.poll()) is None:
                    time.sleep(_PAUSE)
                if code == 0:
                    return execution.lock()
                if code > 0 or job.attempts == _ATTEMPTS:  # less than 0: it was killed
                    raise SeedlingsError(
                        f"the stages before the {self._noun} failed:\n{execution.output()}"
                    )
            finally:
                execution.end()

    def _next(self) -> Job | None:
        """Return the next job if none waits."""
        return None

    def _use_time(self) -> None:
        """Do what takes long, while jobs run."""

    def _watch(self, execution: Execution) -> None:
        """Look at a job, which may just have ended."""

    def _succeed(self, execution: Execution) -> None:
        """Fetch the experiment of a job into the project."""
        execution.hand_over()

    def _give_up(self, job: Job, output: str) -> None:
        """Handle a job that failed."""
        raise SeedlingsError(f"{job.name} failed:\n{output}")

    def _fill(self) -> None:
        """Start jobs as long as there are fewer than can run at a time."""
        while len(self._running) < self._place.jobs:
            job = self._waiting.popleft() if self._waiting else self._next()
            if job is None:
                return
            command = ["dvc", "exp", "run", "--name", job.name]
            self._running.append(Execution(self._place, job, command))

    def _look(self, execution: Execution) -> None:
        """Handle the end of an execution."""
        code = execution.poll()  # the exit code first: then all epochs are there
        self._watch(execution)
        if code is None:
            return
        if code == 0:
            self._succeed(execution)
        else:
            self._fail(execution, code)
        execution.end()
        self._running.remove(execution)

    def _fail(self, execution: Execution, code: int) -> None:
        """Let a killed job run again; give up one that failed."""
        job, output = execution.job, execution.output()
        if any(text in output for text in _FULL):
            raise SeedlingsError(
                f"{job.name}: the disk is full; free some space and run the same command again: "
                f"finished {self._noun} are kept\n{output}"
            )
        if (code < 0 or "exited with -" in output) and job.attempts < _ATTEMPTS:
            self._say(f"{job.name}: its processes were killed; it runs again")
            self._waiting.appendleft(job)
            return
        self._give_up(job, output)
