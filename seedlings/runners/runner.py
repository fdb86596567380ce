"""The runner: runs jobs in slots, and hands their experiments over.

A job whose processes were killed runs again. A subclass says more about its jobs: which one is
next, what to do at each look, and what their ends mean.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from seedlings.errors import SeedlingsError
from seedlings.runners.slots import Job, Slot

_PAUSE = 0.1  # seconds between two looks at the slots
_ATTEMPTS = 3  # of a job whose processes were killed
_FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)]


class Runner:
    """Runs jobs in slots; `say` gets a line for each job that runs again."""

    _noun = "experiments"  # in messages

    def __init__(self, slots: Sequence[Slot], *, say: Callable[[str], None]) -> None:
        self._slots, self._say = slots, say
        self._waiting: deque[Job] = deque()

    def run_jobs(self, jobs: Iterable[Job] = ()) -> None:
        """Run the waiting jobs and these, until none is left.

        Raises SeedlingsError if the disk is full, or if a job fails; what is finished is kept.
        """
        self._waiting += jobs
        try:
            while True:
                self._fill()
                self._use_time()
                busy = [slot for slot in self._slots if slot.job]
                if not busy:
                    return
                for slot in busy:
                    self._look(slot)
                time.sleep(_PAUSE)
        finally:
            for slot in self._slots:
                if slot.job:
                    slot.discard()

    def share(self, stages: Sequence[str], job: Job) -> str:
        """Run stages once, before several jobs need them, and return the dvc.lock with them."""
        slot = self._slots[0]
        self._say(f"{', '.join(stages)}: run once for all {self._noun}")
        code: int | None = None
        try:
            while code is None or (code < 0 and job.attempts < _ATTEMPTS):
                if code:  # it was killed, as by the end of a worker of a cluster
                    slot.discard()
                slot.start(job, ["dvc", "repro", *stages])
                while (code := slot.poll()) is None:
                    time.sleep(_PAUSE)
            if code:
                raise SeedlingsError(f"the stages before the {self._noun} failed:\n{slot.output()}")
        except BaseException:
            slot.discard()
            raise
        slot.job = None
        return slot.lock()

    def _next(self) -> Job | None:
        """Return the next job if none waits."""
        return None

    def _use_time(self) -> None:
        """Do what takes long, while the slots are at work."""

    def _watch(self, slot: Slot, job: Job) -> None:
        """Look at a job, which may just have ended."""

    def _succeed(self, slot: Slot, job: Job) -> None:
        """Fetch the experiment of a job into the project."""
        slot.hand_over(job.name)
        slot.job = None

    def _give_up(self, slot: Slot, job: Job, output: str) -> None:
        """Handle a job that failed."""
        raise SeedlingsError(f"{job.name} failed:\n{output}")

    def _fill(self) -> None:
        """Start jobs on the slots that have none."""
        for slot in self._slots:
            if slot.job is None:
                job = self._waiting.popleft() if self._waiting else self._next()
                if job:
                    slot.start(job, ["dvc", "exp", "run", "--name", job.name])

    def _look(self, slot: Slot) -> None:
        """Handle the end of the job of a slot."""
        job, code = slot.job, slot.poll()  # the exit code first: then all epochs are there
        assert job
        self._watch(slot, job)
        if code is None:
            return
        if code == 0:
            self._succeed(slot, job)
        else:
            self._fail(slot, job, code)

    def _fail(self, slot: Slot, job: Job, code: int) -> None:
        """Let a killed job run again; give up one that failed."""
        output = slot.output()
        slot.discard()
        if any(text in output for text in _FULL):
            raise SeedlingsError(
                f"{job.name}: the disk is full; free some space and run the same command again: "
                f"finished {self._noun} are kept\n{output}"
            )
        if (code < 0 or "exited with -" in output) and job.attempts < _ATTEMPTS:
            self._say(f"{job.name}: its processes were killed; it runs again")
            self._waiting.appendleft(job)
            return
        self._give_up(slot, job, output)
