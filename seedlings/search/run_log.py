"""The run of a search in MLflow: its best objective so far, and links to the runs of its trials.

A finished trial is a revision of the pipeline, with a run of its own as any other; the tag
`seedlings.search` links it to the search. A pruned or failed trial is a child run of the search.
"""

from seedlings.config import params
from seedlings.search import trials
from seedlings.search.study import Study
from seedlings.search.trials import Trial
from seedlings.tracking import client
from seedlings.tracking.linked_runs import LinkedRuns
from seedlings.tracking.tags import SEARCH, TRIAL

_STATUS = {"pruned": "KILLED", "failed": "FAILED"}


class RunLog(LinkedRuns):
    """Logs a search in MLflow."""

    def __init__(self, study: Study) -> None:
        space = params.flatten(study.space.model_dump(exclude_none=True))
        super().__init__(study.name, study.commit, tag=SEARCH, params=space)
        self._study = study

    def log(self, trial: Trial) -> None:
        """Log a trial that has ended."""
        self._safely(lambda: self._log(trial))

    def complete(self, names: list[str]) -> None:
        """Log what is not logged yet, and the experiments `names`, and end the run."""
        self._safely(lambda: self._complete(names))

    def _complete(self, names: list[str]) -> None:
        tracker = self._open()
        for trial in self._study:
            if trial.is_over:
                self._log(trial)
        for name in names:
            self._publish(tracker, name, models=name.endswith("-best"))
        tracker.set_terminated(self._run)

    def _log(self, trial: Trial) -> None:
        tracker = self._open()
        study = self._study
        name = trials.name(study.name, trial.number)
        if name in self._known:
            return
        if trial.state == "finished":
            self._publish(tracker, name, models=False)
            best = trials.best_first(
                (other for other in study if other.number <= trial.number),
                maximize=study.space.maximizes,
            )
            values = {"value": trial.value or 0.0, "best": best[0].value or 0.0}
            tracker.log_metrics(self._run, values, trial.number)
        else:
            self._log_ended(tracker, name, trial)
        self._known.add(name)

    def _log_ended(self, tracker: client.Tracker, name: str, trial: Trial) -> None:
        """Log a pruned or failed trial as a child run of the search."""
        tags = {**self._tags, TRIAL: name}
        if trial.reason:
            tags["seedlings.reason"] = trial.reason
        run = tracker.start(name, tags=tags, params=trial.values, parent=self._run)
        for epoch, value in enumerate(trial.curve, 1):
            tracker.log_metrics(run, {"value": value}, epoch)
        tracker.set_terminated(run, _STATUS[trial.state])
