"""Run logger: logs a stage in MLflow while it runs.

The launcher starts it as a separate process, `python -m seedlings.tracking.run_logger`, and sends
it one JSON object per line: the start of the stage, each epoch, and the end. The import of MLflow
thus delays no stage, and MLflow cannot change a result. If MLflow fails, the run logger prints one
warning; the record of the stage has the same values, and `seedlings sync` logs them later.

Stages with the same inputs of the pipeline (parameters, code, data) share one parent run.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, pipeline, reuse
from seedlings.config.pipeline import Pipeline
from seedlings.config.records import Record
from seedlings.tracking import client, git, stage_runs
from seedlings.tracking.client import Tracker
from seedlings.tracking.tags import EXPERIMENT_NAME, INPUTS

Message = Mapping[str, Any]


def main() -> None:
    """Log a stage from the messages on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # end with the stage, not before it
    log(json.loads(line) for line in sys.stdin)


def log(messages: Iterable[Message]) -> None:
    """Log a stage from its messages: `{stage, params, reads}`, `{epoch, values}`, `{finished}`.

    Without the last message, the run ends as FAILED. If MLflow fails, the function prints one
    warning and ignores the remaining messages.
    """
    waiting = iter(messages)
    try:
        _log(waiting)
    except Exception as error:  # noqa: BLE001 - no failure of MLflow may end the stage
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        print(
            f"warning: MLflow at {client.uri()} failed ({reason}).\n"
            "The stage continues; `seedlings sync` logs its record later.",
            file=sys.stderr,
        )
        for _ in waiting:  # a full pipe would block the stage
            pass


def _log(messages: Iterator[Message]) -> None:
    first = next(messages, None)
    if first is None:
        return
    record, tree, stages = Record(**first), params.read(), pipeline.read()
    stage, status = record.stage, "FAILED"
    tracker = Tracker()
    parent = _open_parent(tracker, tree, stages)
    deps = _deps(stage, stages)
    run = stage_runs.start(tracker, record, parent, deps=deps, tags=git.tags())
    for message in messages:
        if "epoch" in message:
            tracker.log_metrics(run, message["values"], message["epoch"])
        else:
            stage_runs.finish(tracker, run, parent, stage, Path())
            if stage == pipeline.PACKAGE_STAGE:
                tracker.log_package(parent, paths.PACKAGED)
            status = "FINISHED"
    tracker.set_terminated(run, status)
    tracker.set_terminated(parent, status)  # until the next stage starts


def _open_parent(tracker: Tracker, tree: Mapping[str, Any], stages: Pipeline) -> str:
    """Return the id of the run of these parameters, code and data; start or resume it."""
    digest = input_digest(tree, stages)
    for run in tracker.runs({INPUTS: digest}):
        tracker.update_run(run.info.run_id, "RUNNING")
        return run.info.run_id
    experiment = os.environ.get("DVC_EXP_NAME", "")
    tags = {INPUTS: digest, **git.tags()}
    if experiment:
        tags[EXPERIMENT_NAME] = experiment
    name = experiment or f"{params.preset(tree)}-{digest[:7]}"
    return tracker.start(name, tags=tags, params=params.flatten(tree))


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
