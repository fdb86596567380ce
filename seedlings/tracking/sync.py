"""Sync: logs revisions in MLflow from what DVC has.

A revision of the pipeline, that is a dvc.lock, has one parent run, with one child run for each
stage. Runs that the run logger wrote are reused; stages that DVC restored from a cache are logged
from their records. Nothing is logged twice.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from seedlings.config import params, paths, pipeline
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import client
from seedlings.tracking.client import Tracker
from seedlings.tracking.revisions import Revision
from seedlings.tracking.run_logger import record_digest
from seedlings.tracking.tags import (
    COMMIT,
    COMPLETE,
    DIRTY,
    EXPERIMENT_NAME,
    FIRST_RUN,
    LOCK,
    NAME,
    OUTPUT,
    PARENT,
    RECORD,
    RESTORE,
    RESTORED,
    STAGE,
    Run,
)


def publish(revisions: Iterable[Revision], *, models: bool = True) -> tuple[int, list[str]]:
    """Log each revision in MLflow; return the number of new ones, and why others are not logged."""
    new, missing = 0, []
    with client.reachable():
        tracker = Tracker()
        runs = {run.id: run for run in tracker.runs()}
        for revision in revisions:
            publication = _Publication(tracker, revision, [*runs.values()])
            try:
                if publication.run(models):
                    new += 1
                    runs |= {run.id: run for run in tracker.family(publication.parent)}
            except SeedlingsError as error:
                missing.append(str(error))
    return new, missing


class _Publication:
    """Logs one revision in MLflow, and resumes a sync that was interrupted."""

    def __init__(self, tracker: Tracker, revision: Revision, runs: list[Run]) -> None:
        self._tracker, self._revision, self._runs = tracker, revision, runs
        self.parent = ""  # the id of the parent run, once there is one

    def run(self, models: bool) -> bool:
        """Log the revision; return whether anything but its tags is new."""
        parent = self._known()
        wanted = models and paths.PACKAGED.as_posix() in self._revision.outputs
        if parent and COMPLETE in parent.tags and (parent.has_model or not wanted):
            self._retag(parent)
            return False
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            found = self._revision.restore_into(root)
            digests = {stage: record_digest(root / paths.record(stage)) for stage in found}
            self.parent = parent.id if parent else self._adopt(digests) or self._start()
            self._tracker.tag(self.parent, {LOCK: self._revision.digest, **self._tags()})
            for stage, record in found.items():
                self._log_stage(record, digests[stage], root)
            self._complete(found, root, wanted)
        return True

    def _known(self) -> Run | None:
        return next((r for r in self._runs if r.tags.get(LOCK) == self._revision.digest), None)

    def _adopt(self, digests: dict[str, str]) -> str | None:
        """Return the parent run that the run logger wrote for this revision, or None."""
        expected = {key: str(value) for key, value in self._revision.params.items()}
        for run in self._runs:
            is_open = PARENT not in run.tags and LOCK not in run.tags
            if is_open and run.params == expected and self._all_of_this_revision(run, digests):
                return run.id
        return None

    def _all_of_this_revision(self, parent: Run, digests: dict[str, str]) -> bool:
        done = [r for r in self._children(parent.id) if r.status == "FINISHED"]
        return bool(done) and all(
            r.tags.get(RECORD) == digests.get(r.tags.get(STAGE, "")) for r in done
        )

    def _start(self) -> str:
        tags = {LOCK: self._revision.digest}  # set at the start, so that a killed sync is resumed
        return self._tracker.start(self._name(), tags=tags, params=self._revision.params)

    def _name(self) -> str:
        preset = params.preset(self._revision.tree)
        revision = self._revision
        return revision.name if revision.experiment else f"{preset}-{revision.digest[:7]}"

    def _log_stage(self, record: Record, digest: str, root: Path) -> None:
        """Ensure that the parent has one finished run of the stage, with its outputs as tags."""
        outputs = {f"{OUTPUT}{p}": md5 for p, md5 in self._revision.hashes(record.stage).items()}
        for run in self._children(self.parent):
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
            tags[FIRST_RUN] = first.id
        run_id = self._tracker.start(
            record.stage, tags=tags, params=record.params, parent=self.parent
        )
        self._tracker.log_inputs(run_id, self._revision.inputs(record.stage), record.stage)
        file = root / paths.record(record.stage)
        self._tracker.log_record(run_id, record, file, curves=True)
        self._tracker.tag(run_id, {RECORD: digest})
        self._tracker.end(run_id)

    def _complete(self, found: dict[str, Record], root: Path, models: bool) -> None:
        """Log the final metrics, the pictures, the data and the model on the parent run."""
        for record in found.values():
            self._tracker.log_pictures(self.parent, record, root)
        if pipeline.FINAL_STAGE in found:
            self._tracker.log_metrics(self.parent, found[pipeline.FINAL_STAGE].metrics)
        raw = {
            path: md5
            for path, md5 in self._revision.hashes("download").items()
            if path == paths.RAW.as_posix()
        }
        self._tracker.log_inputs(self.parent, raw, "pipeline")
        if models and not self._tracker.run(self.parent).has_model:
            self._tracker.log_model(self.parent, root / paths.PACKAGED)
        self._tracker.end(self.parent)
        self._tracker.tag(self.parent, {COMPLETE: "true"})

    def _retag(self, parent: Run) -> None:
        if not self._revision.commit and parent.tags.get(DIRTY) == "false":
            return  # keep the tags of a commit or an experiment, which can be restored
        changed = {k: v for k, v in self._tags().items() if parent.tags.get(k) != v}
        self._tracker.tag(parent.id, changed)

    def _tags(self) -> dict[str, str]:
        revision = self._revision
        tags = {
            NAME: self._name(),
            RESTORE: revision.restore,
            DIRTY: str(not revision.commit).lower(),
        }
        if revision.commit:
            tags[COMMIT] = revision.commit
        if revision.experiment:
            tags[EXPERIMENT_NAME] = revision.experiment
        return tags

    def _children(self, parent: str) -> list[Run]:
        return [run for run in self._runs if run.tags.get(PARENT) == parent]


def runs_of(path: str, revision: Revision) -> list[Run]:
    """Return the runs that made or restored the output at `path`, oldest first.

    Raises SeedlingsError if no stage writes `path`.
    """
    outputs = {out: md5 for stage in revision.lock for out, md5 in revision.hashes(stage).items()}
    inside = [out for out in outputs if Path(path) == Path(out) or Path(out) in Path(path).parents]
    if not inside:
        raise SeedlingsError(
            f"expected an output of the pipeline, found {path!r}; the outputs are "
            + ", ".join(sorted(outputs))
        )
    tag = f"{OUTPUT}{inside[0]}"
    with client.reachable():
        return [run for run in Tracker().runs() if run.tags.get(tag) == outputs[inside[0]]]
