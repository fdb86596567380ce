"""The coordinator: runs the trials of a search, prunes them, and takes their experiments over.

It alone knows the study. What it decides is kept there before it is done, so that the same command
goes on after a kill.
"""

import time
from collections.abc import Callable

from optuna.trial import FrozenTrial, TrialState

from seedlings.errors import SeedlingsError
from seedlings.runners.clones import shared_stages
from seedlings.runners.executions import SPLIT, Execution, Job, Place, evaluated_on
from seedlings.runners.runner import Runner
from seedlings.search import experiments, trials
from seedlings.search.study import Study
from seedlings.tracking import git, revisions

_FAILURES = 3  # trials that fail one after the other until the search ends


class Coordinator(Runner):
    """Runs the trials of a search.

    `say` gets a line for each trial, `log` each trial that has ended, while others run.
    """

    _noun = "trials"

    def __init__(
        self,
        study: Study,
        place: Place,
        *,
        say: Callable[[str], None],
        log: Callable[[FrozenTrial], None],
    ) -> None:
        super().__init__(place, say=say)
        self._study, self._log = study, log
        self._ended: list[FrozenTrial] = []
        self._count, self._deadline = 0, 0.0
        self._failures = 0
        self._is_exhausted = False  # all settings of the space were tried

    def run(self, count: int, deadline: float) -> bool:
        """Run trials until there are `count`; return whether there are.

        After `deadline` (of time.monotonic) no trial is started. If the space has fewer settings,
        there are fewer trials. Raises SeedlingsError if trials fail one after the other, and if the
        disk is full; what is finished is kept.
        """
        study = self._study
        start = f"{study.name}-start"
        if start not in git.commits_of(study.commit):
            self._waiting.append(Job(start, evaluated_on({}, "validation")))
        self._waiting += [self._job(trial) for trial in study.running]
        if self._place.jobs > 1 and len(self._waiting) + count - len(study.trials) > 1:
            stages = shared_stages({SPLIT, *study.space.parameters})
            self.share(stages, Job("shared", evaluated_on({}, "validation")))
        self._count, self._deadline = count, deadline
        self.run_jobs()
        return len(study.trials) >= count or time.monotonic() < deadline

    def run_best(self) -> None:
        """Evaluate the best trial on test images, as the experiment NAME-best, once."""
        study = self._study
        best, name = study.best, f"{study.name}-best"
        known = git.commits_of(study.commit).get(name)
        if best is None:
            return
        study.mark_tested(best)  # first, as a kill would hide that test images were looked at
        if known and experiments.has_tested(study.space, best.params, revisions.at(known).params):
            return
        self._count = 0
        self.run_jobs([Job(name, evaluated_on(study.space.values(best.params), "test"))])

    def _next(self) -> Job | None:
        """Return the job of a new trial, or None if there are enough, or no time is left."""
        if len(self._study.trials) >= self._count or time.monotonic() >= self._deadline:
            return None
        trial = None if self._is_exhausted else self._study.begin()
        self._is_exhausted = trial is None
        return self._job(trial) if trial else None

    def _use_time(self) -> None:
        """Log the trials that have ended."""
        for trial in self._ended:
            self._log(trial)
        self._ended = []

    def _watch(self, execution: Execution) -> None:
        """Report the epochs of a trial, and stop it if the pruner says so."""
        job, study = execution.job, self._study
        if job.trial and not job.trial.state.is_finished():
            curve = experiments.curve(study.space, study.tree["task"], execution.epochs())
            job.trial = study.report(job.trial, curve)
            if job.trial.state.is_finished():
                execution.stop()

    def _succeed(self, execution: Execution) -> None:
        """Take the experiment of a job over, unless the pruner would have stopped it."""
        job, study = execution.job, self._study
        if job.trial is None:
            super()._succeed(execution)
            return
        if not job.trial.state.is_finished():
            metrics, curve = experiments.results(study.space, study.tree["task"], execution.results)
            # A training that DVC restored from its cache had no epochs to look at.
            job.trial = study.report(job.trial, curve)
        if not job.trial.state.is_finished():
            job.trial = study.finish(job.trial, metrics, execution.hand_over())
        self._end(job.trial)

    def _fail(self, execution: Execution, code: int) -> None:
        """Keep a pruned trial, whose command was stopped, as such."""
        trial = execution.job.trial
        if trial and trial.state.is_finished():
            self._end(trial)
        else:
            super()._fail(execution, code)

    def _give_up(self, job: Job, output: str) -> None:
        """Keep a failed trial as such. Raises SeedlingsError after several, one after the other."""
        if job.trial is None:
            super()._give_up(job, output)
            return
        self._failures += 1
        self._end(self._study.fail(job.trial, output))
        if self._failures == _FAILURES:
            raise SeedlingsError(
                f"{_FAILURES} trials failed one after the other; {job.name}:\n{output}"
            )

    def _end(self, trial: FrozenTrial) -> None:
        """Say how a trial has ended."""
        self._ended.append(trial)
        if trial.state != TrialState.FAIL:
            self._failures = 0
        self._say(self._line(trial))

    def _line(self, trial: FrozenTrial) -> str:
        name = trials.name(self._study.name, trial.number)
        if trial.state == TrialState.FAIL:
            reason = trial.user_attrs["reason"]
            return f"{name}: failed: {reason.splitlines()[-1] if reason else ''}"
        if trial.state == TrialState.PRUNED:
            return f"{name}: pruned after epoch {trial.last_step}"
        best = self._study.best
        assert best
        of_all = f"best {trials.name(self._study.name, best.number)}: {best.value:.4g}"
        return f"{name}: {trial.value:.4g} ({of_all})"

    def _job(self, trial: FrozenTrial) -> Job:
        name, values = trials.name(self._study.name, trial.number), self._study.space.values
        return Job(name, evaluated_on(values(trial.params), "validation"), trial)
