"""The run of repeats in MLflow: the score of each seed and their spread, and links to the seeds."""

from dataclasses import asdict

from seedlings.repeats import experiments, spread
from seedlings.repeats.experiments import SEEDS, Repeat, Repeats
from seedlings.tracking.linked_runs import LinkedRuns
from seedlings.tracking.tags import REPEATS


class RunLog(LinkedRuns):
    """Logs repeats in MLflow."""

    def __init__(self, name: str, commit: str) -> None:
        super().__init__(name, commit, tag=REPEATS, params={"varied": ", ".join(SEEDS)})

    def log(self, found: Repeats, result: Repeat) -> None:
        """Log the result of a seed; `found` are the repeats of which it is one."""
        self._safely(lambda: self._log(found, result))

    def complete(self, found: Repeats) -> None:
        """Log what is not logged yet, and the spread, and end the run."""
        self._safely(lambda: self._complete(found))

    def _log(self, found: Repeats, result: Repeat) -> None:
        tracker = self._open()
        name = experiments.name(self._name, result.seed)
        if name not in self._known:
            self._publish(tracker, name, models=False)
            values = {f"finetuned/{m.name}": result.value(m) for m in found.metrics}
            tracker.log_metrics(self._run, values, result.seed)

    def _complete(self, found: Repeats) -> None:
        tracker = self._open()
        for result in found.results:
            self._log(found, result)
        values = {
            f"finetuned/{metric.name}_{key}": value
            for metric in found.metrics
            for key, value in asdict(spread.of(found.values(metric))).items()
        }
        known = tracker.get_run(self._run).data.metrics
        if any(known.get(key) != value for key, value in values.items()):
            tracker.log_metrics(self._run, values, len(found.results))
        tracker.set_terminated(self._run)
