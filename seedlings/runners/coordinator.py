"""The coordinator: hands trials to slots, prunes them, and takes their experiments over.

It alone knows the study. What it decides is written before it is done, so that the same command
goes on after a kill.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from seedlings.errors import SeedlingsError
from seedlings.runners.clones import shared_stages
from seedlings.runners.slots import Job, Slot, evaluated_on
from seedlings.search import experiments, study, trials
from seedlings.search.experiments import SPLIT
from seedlings.search.history import History
from seedlings.search.trials import Trial
from seedlings.tracking import git

_PAUSE = 0.1  # seconds between two looks at the slots
_ATTEMPTS = 3  # of a job whose processes were killed
_FAILURES = 3  # trials that fail one after the other until the search ends
_FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)]


class Coordinator:
    """Runs the trials of a search in slots.

    `say` gets a line for each trial, `log` each trial that has ended, at a time when the slots are
    at work.
    """

    def __init__(
        self,
        history: History,
        slots: Sequence[Slot],
        *,
        say: Callable[[str], None],
        log: Callable[[Trial], None],
    ) -> None:
        self._history, self._slots, self._say, self._log = history, slots, say, log
        self._waiting: deque[Job] = deque()
        self._ended: list[Trial] = []
        self._failures = 0
        self._is_exhausted = False  # all settings of the space were tried

    def run(self, count: int, deadline: float) -> bool:
        """Run trials until there are `count`; return whether there are.

        After `deadline` (of time.monotonic) no trial is started. If the space has fewer settings,
        there are fewer trials. Raises SeedlingsError if trials fail one after the other, and if the
        disk is full; what is finished is kept.
        """
        history = self._history
        start = f"{history.name}-start"
        if start not in git.commits_of(history.commit):
            self._waiting.append(Job(start, evaluated_on({}, "validation")))
        self._waiting += [self._job(trial) for trial in history.running]
        if len(self._slots) > 1 and len(self._waiting) + count - len(history) > 1:
            self._prepare()
        self._work(count, deadline)
        return len(history) >= count or time.monotonic() < deadline

    def run_best(self) -> None:
        """Evaluate the best trial on test images, as the experiment NAME-best, once."""
        history = self._history
        best, name = history.best, f"{history.name}-best"
        known = git.commits_of(history.commit).get(name)
        if best is None or experiments.is_test_of(history.space, best, known):
            return
        history.mark_tested(best)
        self._waiting.append(Job(name, evaluated_on(best.values, "test")))
        self._work(0, 0.0)

    def _work(self, count: int, deadline: float) -> None:
        """Run the waiting jobs, and new trials until there are `count`."""
        try:
            while True:
                self._fill(count, deadline)
                for trial in self._ended:  # while the slots are at work
                    self._log(trial)
                self._ended = []
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

    def _fill(self, count: int, deadline: float) -> None:
        """Start jobs on the slots that have none."""
        for slot in self._slots:
            if slot.job is None:
                if not self._waiting and len(self._history) < count and time.monotonic() < deadline:
                    trial = None if self._is_exhausted else self._history.begin()
                    self._is_exhausted = trial is None
                    if trial:
                        self._waiting.append(self._job(trial))
                if self._waiting:
                    job = self._waiting.popleft()
                    slot.start(job, ["dvc", "exp", "run", "--name", job.name])

    def _prepare(self) -> None:
        """Run the stages that all trials share once, before several clones need them."""
        keys = {SPLIT, *self._history.space.parameters}
        stages = shared_stages(keys)
        slot, job = self._slots[0], Job("shared stages", evaluated_on({}, "validation"))
        self._say(f"{', '.join(stages)}: run once for all trials")
        code: int | None = None
        try:
            while code is None or (code < 0 and job.attempts < _ATTEMPTS):
                if code:  # it was killed, as by the end of a worker of a cluster
                    slot.discard()
                slot.start(job, ["dvc", "repro", *stages])
                while (code := slot.poll()) is None:
                    time.sleep(_PAUSE)
            if code:
                raise SeedlingsError(f"the stages before the trials failed:\n{slot.output()}")
        except BaseException:
            slot.discard()
            raise
        slot.job = None

    def _look(self, slot: Slot) -> None:
        """Prune the job of a slot, and handle its end."""
        job, code = slot.job, slot.poll()  # the exit code first: then all epochs are there
        assert job
        if job.trial and not job.trial.is_over and len(epochs := slot.epochs()) > len(job.read):
            job.read = epochs
            trial = self._with_curve(job.trial, epochs)
            job.trial = study.prune(self._history.space, list(self._history), trial)
            if job.trial.is_over:
                slot.stop()
        if code is None:
            return
        if job.trial and job.trial.is_over:
            self._end(slot, job.trial)
        elif code == 0:
            self._succeed(slot, job)
        else:
            self._fail(slot, job, code)

    def _succeed(self, slot: Slot, job: Job) -> None:
        """Take the experiment of a job over, unless the pruner would have stopped it."""
        history = self._history
        if job.trial is None:
            slot.hand_over(job.name)
            slot.job = None
            return
        done = experiments.result(history.space, job.trial, slot.results)
        # A training that DVC restored from its cache had no epochs to look at.
        done = study.prune(history.space, list(history), done)
        if done.state == "finished":
            done = replace(done, experiment=slot.hand_over(job.name))
        self._end(slot, done)

    def _fail(self, slot: Slot, job: Job, code: int) -> None:
        """Let a killed job run again; keep a failed trial as such."""
        output = slot.output()
        slot.discard()
        if any(text in output for text in _FULL):
            raise SeedlingsError(
                f"{job.name}: the disk is full; free some space and run the same command again: "
                f"finished trials are kept\n{output}"
            )
        if (code < 0 or "exited with -" in output) and job.attempts < _ATTEMPTS:
            self._say(f"{job.name}: its processes were killed; it runs again")
            self._waiting.appendleft(job)
            return
        if job.trial is None:
            raise SeedlingsError(f"{job.name} failed:\n{output}")
        self._failures += 1
        self._end(slot, job.trial.failed(output))
        if self._failures == _FAILURES:
            raise SeedlingsError(
                f"{_FAILURES} trials failed one after the other; {job.name}:\n{output}"
            )

    def _end(self, slot: Slot, trial: Trial) -> None:
        """Keep a trial that has ended, and tell it."""
        slot.job = None
        self._history.write(trial)
        self._ended.append(trial)
        if trial.state != "failed":
            self._failures = 0
        self._say(self._line(trial))

    def _line(self, trial: Trial) -> str:
        name = trials.name(self._history.name, trial.number)
        if trial.state == "failed":
            return f"{name}: failed: {trial.reason.splitlines()[-1] if trial.reason else ''}"
        if trial.state == "pruned":
            return f"{name}: pruned after epoch {len(trial.curve)}"
        best = self._history.best
        assert best
        of_all = f"best {trials.name(self._history.name, best.number)}: {best.value:.4g}"
        return f"{name}: {trial.value:.4g} ({of_all})"

    def _with_curve(self, trial: Trial, epochs: Sequence[dict[str, float]]) -> Trial:
        task = self._history.tree["task"]
        return replace(trial, curve=experiments.curve(self._history.space, task, epochs))

    def _job(self, trial: Trial) -> Job:
        name = trials.name(self._history.name, trial.number)
        return Job(name, evaluated_on(trial.values, "validation"), trial)
