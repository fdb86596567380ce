"""Sync: MLflow brought up to what DVC knows.

A state of the pipeline, which is a dvc.lock, has one parent run, and below it one run for each
stage. Runs that stages left while they ran are taken over; what a cache gave is logged from its
record. Nothing is logged twice.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from seedlings import layout, pipeline, tracking
from seedlings.errors import SeedlingsError
from seedlings.live import record_digest
from seedlings.records import Record
from seedlings.states import State
from seedlings.tracking import PARENT, RECORD, STAGE, Run, Tracker

LOCK = "seedlings.lock"
_COMPLETE = "seedlings.complete"
RESTORED = "seedlings.restored"


def publish(states: Iterable[State], *, models: bool = True) -> tuple[int, list[str]]:
    """Show each state in MLflow; returns how many are new there, and why some cannot be shown."""
    new, missing = 0, []
    with tracking.reachable():
        tracker = Tracker()
        runs = tracker.runs()
        for state in states:
            try:
                if _Publication(tracker, state, runs).run(models):
                    new += 1
                    runs = tracker.runs()
            except SeedlingsError as error:
                missing.append(str(error))
    return new, missing


class _Publication:
    """One state on its way into MLflow. What an earlier, interrupted sync did is not done again."""

    def __init__(self, tracker: Tracker, state: State, runs: list[Run]) -> None:
        self._tracker, self._state, self._runs = tracker, state, runs

    def run(self, models: bool) -> bool:
        """Show the state; returns whether anything but its tags is new."""
        parent = self._known()
        wanted = models and layout.PACKAGED.as_posix() in self._state.outputs
        if parent and _COMPLETE in parent.tags and (parent.has_model or not wanted):
            self._retag(parent)
            return False
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            found = self._state.fetch(root)
            digests = {stage: record_digest(root / layout.record(stage)) for stage in found}
            parent_id = parent.id if parent else self._adopt(digests) or self._start()
            self._tracker.tag(parent_id, {LOCK: self._state.digest, **self._tags()})
            for stage, record in found.items():
                self._show_stage(parent_id, record, digests[stage], root)
            self._complete(parent_id, found, root, wanted)
        return True

    def _known(self) -> Run | None:
        return next((r for r in self._runs if r.tags.get(LOCK) == self._state.digest), None)

    def _adopt(self, digests: dict[str, str]) -> str | None:
        """The parent that stages of this state left while they ran, if there is one."""
        params = {key: str(value) for key, value in self._state.params.items()}
        for run in self._runs:
            is_open = PARENT not in run.tags and LOCK not in run.tags
            if is_open and run.params == params and self._all_of_this_state(run, digests):
                return run.id
        return None

    def _all_of_this_state(self, parent: Run, digests: dict[str, str]) -> bool:
        done = [r for r in self._children(parent.id) if r.status == "FINISHED"]
        return bool(done) and all(
            r.tags.get(RECORD) == digests.get(r.tags.get(STAGE, "")) for r in done
        )

    def _start(self) -> str:
        tags = {LOCK: self._state.digest}  # at once, so that a killed sync is found again
        return self._tracker.start(self._name(), tags=tags, params=self._state.params)

    def _name(self) -> str:
        preset = self._state.params.get("preset", "state")
        return self._state.experiment or f"{preset}-{self._state.digest[:7]}"

    def _show_stage(self, parent: str, record: Record, digest: str, root: Path) -> None:
        """Have one finished run of the stage below the parent, and name its outputs on it."""
        outputs = {f"seedlings.out.{p}": md5 for p, md5 in self._state.hashes(record.stage).items()}
        for run in self._children(parent):
            if run.tags.get(STAGE) == record.stage and run.status == "RUNNING":
                self._tracker.remove(run.id)  # left by a killed stage or sync
            elif run.tags.get(RECORD) == digest:
                self._tracker.tag(run.id, outputs)
                return
        first = next(
            (r for r in self._runs if r.tags.get(RECORD) == digest and RESTORED not in r.tags),
            None,
        )
        tags = {STAGE: record.stage, RESTORED: "true", **outputs}
        if first:
            tags["seedlings.first_run"] = first.id
        run_id = self._tracker.start(record.stage, tags=tags, params=record.params, parent=parent)
        self._tracker.log_inputs(run_id, self._state.inputs(record.stage), record.stage)
        file = root / layout.record(record.stage)
        self._tracker.log_record(run_id, record, file, curves=True)
        self._tracker.tag(run_id, {RECORD: digest})
        self._tracker.end(run_id)

    def _complete(self, parent: str, found: dict[str, Record], root: Path, models: bool) -> None:
        """Give the parent the final numbers, the pictures, the data and the model."""
        for record in found.values():
            self._tracker.log_pictures(parent, record, root)
        if pipeline.FINAL_STAGE in found:
            self._tracker.log_metrics(parent, found[pipeline.FINAL_STAGE].metrics)
        raw = {
            path: md5
            for path, md5 in self._state.hashes("download").items()
            if path == layout.RAW.as_posix()
        }
        self._tracker.log_inputs(parent, raw, "pipeline")
        known = next((r for r in self._tracker.runs() if r.id == parent), None)
        if models and not (known and known.has_model):
            self._tracker.log_model(parent, root / layout.PACKAGED)
        self._tracker.end(parent)
        self._tracker.tag(parent, {_COMPLETE: "true"})

    def _retag(self, parent: Run) -> None:
        if not self._state.commit and parent.tags.get("seedlings.dirty") == "false":
            return  # a commit or an experiment has this state, too, and that can be restored
        changed = {k: v for k, v in self._tags().items() if parent.tags.get(k) != v}
        self._tracker.tag(parent.id, changed)

    def _tags(self) -> dict[str, str]:
        state = self._state
        tags = {
            "mlflow.runName": self._name(),
            "seedlings.restore": state.restore,
            "seedlings.dirty": str(not state.commit).lower(),
        }
        if state.commit:
            tags["mlflow.source.git.commit"] = state.commit
        if state.experiment:
            tags["seedlings.experiment"] = state.experiment
        return tags

    def _children(self, parent: str) -> list[Run]:
        return [run for run in self._runs if run.tags.get(PARENT) == parent]


def runs_of(path: str, state: State) -> list[Run]:
    """The runs that made, or were given, what stands at `path`, the oldest first.

    Raises SeedlingsError where no stage writes `path`.
    """
    outputs = {out: md5 for stage in state.lock for out, md5 in state.hashes(stage).items()}
    inside = [out for out in outputs if Path(path) == Path(out) or Path(out) in Path(path).parents]
    if not inside:
        raise SeedlingsError(
            f"expected an output of the pipeline, found {path!r}; there are "
            + ", ".join(sorted(outputs))
        )
    tag = f"seedlings.out.{inside[0]}"
    with tracking.reachable():
        return [run for run in Tracker().runs() if run.tags.get(tag) == outputs[inside[0]]]
