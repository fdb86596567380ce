"""Run logger: logs stages in MLflow while they run.

The launcher starts it as a separate process, `python -m seedlings.tracking.run_logger`, and writes
the start of the stage, each epoch, and the end to a file (messages.py). The import of MLflow thus
delays no stage, and MLflow cannot change a result. If MLflow fails, the run logger prints one
warning; the record of the stage has the same values, and `seedlings sync` logs them later.

Stages with the same inputs of the pipeline (parameters, code, data) share one parent run. The model
is logged by sync, when all stages have run.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, pipeline, reuse
from seedlings.config.pipeline import Pipeline
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import client, git, messages, stage_runs
from seedlings.tracking.client import Tracker
from seedlings.tracking.messages import Message
from seedlings.tracking.tags import EXPERIMENT_NAME, INPUTS


def main() -> None:
    """Log the stages of a folder; the arguments are those of messages.read."""
    folder, lock, warned = Path(sys.argv[1]), int(sys.argv[2]), False
    for stage in messages.read(folder, lock):
        warned = not log(stage, quiet=warned) or warned


def log(stage: Iterable[Message], *, quiet: bool = False) -> bool:
    """Log a stage from its messages, and return whether that was possible.

    They are `{stage, params, reads, tree}` with all parameters, `{epoch, values}`, and `{finished}`
    with the digest of the record, each with the time in milliseconds. Without the last one, the run
    ends as FAILED. If MLflow fails, the function prints a warning, if not `quiet`, and ignores the
    remaining messages.
    """
    waiting = iter(stage)
    try:
        _log(waiting)
    except Exception as error:  # noqa: BLE001 - no failure of MLflow may end the run logger
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if not quiet:
            print(
                f"warning: MLflow at {client.uri()} failed ({reason}).\n"
                "The stages continue; `seedlings sync` logs their records later.",
                file=sys.stderr,
            )
        for _ in waiting:  # until the stage has ended
            pass
        return False
    return True


def _log(stage_messages: Iterator[Message]) -> None:
    first = next(stage_messages, None)
    if first is None:
        return
    record, stages = Record(first["stage"], first["params"], first["reads"]), pipeline.read()
    stage, status, now = record.stage, "FAILED", first["time"]
    tracker = Tracker()
    parent = _open_parent(tracker, first["tree"], stages, now)
    deps = _deps(stage, stages)
    run = stage_runs.start(tracker, record, parent, deps=deps, tags=git.tags(), time=now)
    for message in stage_messages:
        now = message["time"]
        if "epoch" in message:
            tracker.log_metrics(run, message["values"], message["epoch"], time=now)
        else:
            _check_record(stage, message["finished"])
            stage_runs.finish(tracker, run, parent, stage, Path())
            _check_record(stage, message["finished"])
            status = "FINISHED"
    tracker.set_terminated(run, status, now)
    tracker.set_terminated(parent, status, now)  # until the next stage starts


def _check_record(stage: str, digest: str) -> None:
    """Raise SeedlingsError if a stage has run again, because its outputs are then other ones."""
    file = paths.record(stage)
    if not file.is_file() or stage_runs.record_digest(file) != digest:
        raise SeedlingsError(f"the outputs of {stage} were replaced before they were logged")


def _open_parent(tracker: Tracker, tree: Mapping[str, Any], stages: Pipeline, time: int) -> str:
    """Return the id of the run of these parameters, code and data; start or resume it."""
    digest = input_digest(tree, stages)
    for run in tracker.runs({INPUTS: digest}):
        tracker.update_run(run.info.run_id, "RUNNING")
        return run.info.run_id
    experiment = os.environ.get("DVC_EXP_NAME", "")
    tags = {INPUTS: digest, **git.tags(), **stage_runs.changed(tree)}
    if experiment:
        tags[EXPERIMENT_NAME] = experiment
    name = experiment or stage_runs.name(tree)
    return tracker.start(name, tags=tags, params=params.flatten(tree), time=time)


def _deps(stage: str, stages: Pipeline) -> dict[str, str]:
    """Return DVC's hashes of the deps of a stage other than code, by path."""
    if stage == pipeline.FIRST_STAGE:
        return reuse.input_hashes(stage)
    return stages.locked_inputs(stage)


def input_digest(tree: Mapping[str, Any], stages: Pipeline) -> str:
    """Return the SHA-256, 64 hex digits, of parameters, stages, code and source of the data."""
    code = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in stages.code()}
    data = pipeline.stamps(Path(tree["data"]["path"]))
    text = json.dumps([tree, stages.stages, code, data], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
