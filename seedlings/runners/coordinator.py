"""The coordinator: hands trials to slots, prunes them, and takes their experiments over.

It alone knows the study. What it decides is written before it is done, so that the same command
goes on after a kill.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from seedlings.errors import SeedlingsError
from seedlings.runners.clones import shared_stages
from seedlings.runners.runner import Runner
from seedlings.runners.slots import Job, Slot, evaluated_on
from seedlings.search import experiments, study, trials
from seedlings.search.experiments import SPLIT
from seedlings.search.history import History
from seedlings.search.trials import Trial
from seedlings.tracking import git

_FAILURES = 3  # trials that fail one after the other until the search ends


class Coordinator(Runner):
    """Runs the trials of a search in slots.

    `say` gets a line for each trial, `log` each trial that has ended, at a time when the slots are
    at work.
    """

    _noun = "trials"

    def __init__(
        self,
        history: History,
        slots: Sequence[Slot],
        *,
        say: Callable[[str], None],
        log: Callable[[Trial], None],
    ) -> None:
        super().__init__(slots, say=say)
        self._history, self._log = history, log
        self._ended: list[Trial] = []
        self._count, self._deadline = 0, 0.0
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
            stages = shared_stages({SPLIT, *history.space.parameters})
            self.share(stages, Job("shared stages", evaluated_on({}, "validation")))
        self._count, self._deadline = count, deadline
        self.run_jobs()
        return len(history) >= count or time.monotonic() < deadline

    def run_best(self) -> None:
        """Evaluate the best trial on test images, as the experiment NAME-best, once."""
        history = self._history
        best, name = history.best, f"{history.name}-best"
        known = git.commits_of(history.commit).get(name)
        if best is None or experiments.is_test_of(history.space, best, known):
            return
        history.mark_tested(best)
        self._count = 0
        self.run_jobs([Job(name, evaluated_on(best.values, "test"))])

    def _next(self) -> Job | None:
        """Return the job of a new trial, or None if there are enough, or no time is left."""
        if len(self._history) >= self._count or time.monotonic() >= self._deadline:
            return None
        trial = None if self._is_exhausted else self._history.begin()
        self._is_exhausted = trial is None
        return self._job(trial) if trial else None

    def _use_time(self) -> None:
        """Log the trials that have ended."""
        for trial in self._ended:
            self._log(trial)
        self._ended = []

    def _watch(self, slot: Slot, job: Job) -> None:
        """Prune the trial of a job."""
        if job.trial and not job.trial.is_over and len(epochs := slot.epochs()) > len(job.read):
            job.read = epochs
            trial = self._with_curve(job.trial, epochs)
            job.trial = study.prune(self._history.space, list(self._history), trial)
            if job.trial.is_over:
                slot.stop()

    def _succeed(self, slot: Slot, job: Job) -> None:
        """Take the experiment of a job over, unless the pruner would have stopped it."""
        history = self._history
        if job.trial is None:
            super()._succeed(slot, job)
            return
        if job.trial.is_over:
            self._end(slot, job.trial)
            return
        done = experiments.result(history.space, job.trial, slot.results)
        # A training that DVC restored from its cache had no epochs to look at.
        done = study.prune(history.space, list(history), done)
        if done.state == "finished":
            done = replace(done, experiment=slot.hand_over(job.name))
        self._end(slot, done)

    def _fail(self, slot: Slot, job: Job, code: int) -> None:
        """Keep a pruned trial, whose command was stopped, as such."""
        if job.trial and job.trial.is_over:
            self._end(slot, job.trial)
        else:
            super()._fail(slot, job, code)

    def _give_up(self, slot: Slot, job: Job, output: str) -> None:
        """Keep a failed trial as such. Raises SeedlingsError after several, one after the other."""
        if job.trial is None:
            super()._give_up(slot, job, output)
            return
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
