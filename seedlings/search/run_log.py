"""The run of a search in MLflow: its best objective so far, and links to the runs of its trials.

A finished trial is a revision of the pipeline, with a run of its own as any other; the tag
`seedlings.search` links it to the search. A pruned or failed trial is a child run of the search.
"""

from optuna.trial import FrozenTrial, TrialState

from seedlings.config import params
from seedlings.search import trials
from seedlings.search.study import Study
from seedlings.tracking import client
from seedlings.tracking.linked_runs import LinkedRuns
from seedlings.tracking.tags import SEARCH, TRIAL

_STATUS = {TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


class RunLog(LinkedRuns):
    """Logs a search in MLflow."""

    def __init__(self, study: Study) -> None:
        space = params.flatten(study.space.model_dump(exclude_none=True))
        super().__init__(study.name, study.commit, tag=SEARCH, params=space)
        self._study = study

    def log(self, trial: FrozenTrial) -> None:
        """Log a trial that has ended."""
        self._safely(lambda: self._log(trial))

    def complete(self, names: list[str]) -> None:
        """Log what is not logged yet, and the experiments `names`, and end the run."""
        self._safely(lambda: self._complete(names))

    def _complete(self, names: list[str]) -> None:
        tracker = self._open()
        for trial in self._study.trials:
            if trial.state.is_finished():
                self._log(trial)
        for name in names:
            self._publish(tracker, name, models=name.endswith("-best"))
        tracker.set_terminated(self._run)

    def _log(self, trial: FrozenTrial) -> None:
        tracker = self._open()
        study = self._study
        name = trials.name(study.name, trial.number)
        if name in self._known:
            return
        if trial.state == TrialState.COMPLETE:
            self._publish(tracker, name, models=False)
            before = study.trials[: trial.number + 1]
            best = trials.best_first(before, maximize=study.space.maximizes)[0]
            values = {"value": trial.value or 0.0, "best": best.value or 0.0}
            tracker.log_metrics(self._run, values, trial.number + 1)
        else:
            self._log_ended(tracker, name, trial)
        self._known.add(name)

    def _log_ended(self, tracker: client.Tracker, name: str, trial: FrozenTrial) -> None:
        """Log a pruned or failed trial as a child run of the search."""
        tags = {**self._tags, TRIAL: name}
        if reason := trial.user_attrs.get("reason"):
            tags["seedlings.reason"] = reason
        run = tracker.start(name, tags=tags, params=trial.params, parent=self._run)
        for epoch, value in trial.intermediate_values.items():
            tracker.log_metrics(run, {"value": value}, epoch)
        tracker.set_terminated(run, _STATUS[trial.state])
