"""Sync: logs revisions in MLflow from what DVC has.

A revision of the pipeline, that is a dvc.lock, has one parent run, with one child run for each
stage. Runs that the run logger wrote are reused; stages that DVC restored from a cache are logged
from their records. Nothing is logged twice.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import client, messages, stage_runs
from seedlings.tracking.client import Run, Tracker
from seedlings.tracking.revisions import Revision
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
)


def publish(revisions: Iterable[Revision], *, models: bool = True) -> tuple[int, list[str]]:
    """Log each revision in MLflow; return the number of new ones, and why others are not logged."""
    new, missing = 0, []
    messages.wait_for_all()
    with client.reachable(), client.lock("sync"):  # two syncs must not log the same revision
        tracker = Tracker()
        for revision in revisions:
            try:
                new += _publish(tracker, revision, models=models)
            except SeedlingsError as error:
                missing.append(str(error))
    return new, missing


def runs_of(path: str, revision: Revision) -> list[Run]:
    """Return the runs that made or restored the output at `path`, oldest first.

    Raises SeedlingsError if no stage writes `path`.
    """
    for output, md5 in revision.outputs.items():
        if Path(path).is_relative_to(output):
            with client.reachable():
                return Tracker().runs({f"{OUTPUT}{output}": md5})
    raise SeedlingsError(
        f"expected an output of the pipeline, found {path!r}; the outputs are "
        + ", ".join(sorted(revision.outputs))
    )


def _publish(tracker: Tracker, revision: Revision, *, models: bool) -> bool:
    """Log a revision, or what a killed sync left out; return whether more than its tags is new."""
    known = next(iter(tracker.runs({LOCK: revision.digest})), None)
    wanted = models and paths.PACKAGED.as_posix() in revision.outputs
    if known and COMPLETE in known.data.tags and (client.has_model(known) or not wanted):
        if revision.commit or known.data.tags.get(DIRTY) == "true":  # a commit can be restored
            tracker.set_tags(known.info.run_id, _tags(revision))
        return False
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        found = revision.restore_into(root)
        parent = known or _logged(tracker, revision, root)
        run = parent.info.run_id if parent else _start(tracker, revision)
        tracker.set_tags(run, {LOCK: revision.digest, **_tags(revision)})
        for record in found.values():
            _log_stage(tracker, run, revision, record, root)
        raw = paths.RAW.as_posix()
        tracker.log_hashes(run, {raw: revision.outputs[raw]}, "pipeline")
        if wanted and not (parent and client.has_model(parent)):
            tracker.log_package(run, root / paths.PACKAGED, root / paths.MODEL_CARD)
    tracker.set_terminated(run, end_time=_end(tracker, run))
    tracker.set_tags(run, {COMPLETE: "true"})
    return True


def _end(tracker: Tracker, parent: str) -> int | None:
    """Return when the last stage ended, in milliseconds; None if all are restored."""
    stages = tracker.runs({PARENT: parent, RESTORED: None})
    return max((stage.info.end_time for stage in stages), default=None)


def _logged(tracker: Tracker, revision: Revision, root: Path) -> Run | None:
    """Return the parent run that the run logger wrote for this revision, or None."""
    expected = {key: str(value) for key, value in revision.params.items()}
    for run in tracker.runs({LOCK: None, PARENT: None}):
        if run.data.params == expected:
            stages = [
                r for r in tracker.runs({PARENT: run.info.run_id}) if r.info.status == "FINISHED"
            ]
            if stages and all(_is_result(r.data.tags, root) for r in stages):
                return run
    return None


def _is_result(tags: Mapping[str, str], root: Path) -> bool:
    """Return whether the run of a stage with these tags has the record of the stage in `root`."""
    file = root / paths.record(tags.get(STAGE, ""))
    return file.is_file() and tags.get(RECORD) == stage_runs.record_digest(file)


def _start(tracker: Tracker, revision: Revision) -> str:
    tags = {LOCK: revision.digest}  # set at the start, so that a killed sync is resumed
    return tracker.start(_name(revision), tags=tags, params=revision.params)


def _log_stage(
    tracker: Tracker, parent: str, revision: Revision, record: Record, root: Path
) -> None:
    """Ensure that the parent has one finished run of a stage, with its outputs as tags."""
    outputs = {f"{OUTPUT}{path}": md5 for path, md5 in revision.hashes(record.stage).items()}
    digest = stage_runs.record_digest(root / paths.record(record.stage))
    for run in tracker.runs({PARENT: parent, STAGE: record.stage}):
        if run.info.status == "RUNNING":
            tracker.delete_run(run.info.run_id)  # left by a killed stage or sync
        elif run.data.tags.get(RECORD) == digest:
            tracker.set_tags(run.info.run_id, outputs)
            return
    first = next(iter(tracker.runs({RECORD: digest, RESTORED: None})), None)
    tags = {RESTORED: "true", **outputs, **({FIRST_RUN: first.info.run_id} if first else {})}
    deps = revision.inputs(record.stage)
    started = stage_runs.start(tracker, record, parent, deps=deps, tags=tags)
    tracker.log_curves(started, record.curves)
    stage_runs.finish(tracker, started, parent, record.stage, root)
    tracker.set_terminated(started)


def _name(revision: Revision) -> str:
    return revision.name if revision.experiment else stage_runs.name(revision.tree)


def _tags(revision: Revision) -> dict[str, str]:
    tags = {
        NAME: _name(revision),
        RESTORE: revision.restore,
        DIRTY: str(not revision.commit).lower(),
        COMMIT: revision.commit,
        EXPERIMENT_NAME: revision.experiment.name if revision.experiment else "",
    }
    tags |= stage_runs.changed(revision.tree)
    return {key: value for key, value in tags.items() if value}
