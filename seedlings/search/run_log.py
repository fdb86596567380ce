"""The run of a search in MLflow: its best objective so far, and links to the runs of its trials.

A finished trial is a revision of the pipeline, with a run of its own as any other; the tag
`seedlings.search` links it to the search. A pruned or failed trial is a child run of the search.
"""

import sys
from collections.abc import Callable

from seedlings.config import params
from seedlings.errors import SeedlingsError
from seedlings.search import trials
from seedlings.search.history import History
from seedlings.search.trials import Trial
from seedlings.tracking import client, revisions, sync
from seedlings.tracking.tags import BASELINE, COMMIT, LOCK, SEARCH, TRIAL

_STATUS = {"pruned": "KILLED", "failed": "FAILED"}


class RunLog:
    """Logs a search in MLflow. If MLflow fails, it prints one warning, and the search goes on."""

    def __init__(self, history: History) -> None:
        self._history = history
        # Searches of two commits may have one name.
        self._tags = {SEARCH: history.name, BASELINE: history.commit}
        self._run = ""
        self._known: set[str] = set()  # names of the trials that are logged
        self._failed = False

    def log(self, trial: Trial) -> None:
        """Log a trial that has ended."""
        self._safely(lambda: self._log(trial))

    def complete(self, names: list[str]) -> None:
        """Log what is not logged yet, and the experiments `names`, and end the run."""
        self._safely(lambda: self._complete(names))

    def _safely(self, action: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            with client.reachable():
                action()
        except SeedlingsError as error:
            self._failed = True
            print(
                f"warning: {error}\nThe search continues; the same command logs it later.",
                file=sys.stderr,
            )

    def _complete(self, names: list[str]) -> None:
        tracker = self._open()
        for trial in self._history:
            if trial.is_over:
                self._log(trial)
        for name in names:
            self._publish(tracker, name, models=name.endswith("-best"))
        tracker.set_terminated(self._run)

    def _open(self) -> client.Tracker:
        """Return the tracker; find or start the run of the search."""
        tracker = client.Tracker()
        if not self._run:
            history = self._history
            runs = tracker.runs(self._tags)
            self._known = {run.data.tags[TRIAL] for run in runs if TRIAL in run.data.tags}
            own = [run.info.run_id for run in runs if TRIAL not in run.data.tags]
            tags = {**self._tags, COMMIT: history.commit}
            space = params.flatten(history.space.model_dump(exclude_none=True))
            self._run = own[0] if own else tracker.start(history.name, tags=tags, params=space)
            tracker.update_run(self._run, "RUNNING")
        return tracker

    def _log(self, trial: Trial) -> None:
        tracker = self._open()
        history = self._history
        name = trials.name(history.name, trial.number)
        if name in self._known:
            return
        if trial.state == "finished":
            self._publish(tracker, name, models=False)
            best = trials.best_first(
                (other for other in history if other.number <= trial.number),
                maximize=history.space.maximizes,
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

    def _publish(self, tracker: client.Tracker, name: str, *, models: bool) -> None:
        """Log an experiment as a revision, and link its run to the search."""
        revision = revisions.at(name, self._history.commit)
        _, missing = sync.publish([revision], models=models)
        if missing:
            raise SeedlingsError(missing[0])
        [run] = tracker.runs({LOCK: revision.digest})
        tracker.set_tags(run.info.run_id, {**self._tags, TRIAL: name})
        self._known.add(name)
