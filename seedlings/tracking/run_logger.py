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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, pipeline, records, reuse
from seedlings.config.records import Record
from seedlings.tracking import client, git
from seedlings.tracking import tags as names

OWN_SOURCES = ("sample", "digits")  # sources without a file of the user

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


def _log(messages: Iterable[Message]) -> None:
    run, status = None, "FAILED"
    for message in messages:
        if run is None:
            run = _StageRun(Record(**message), params.read())
        elif "epoch" in message:
            run.log_epoch(message["epoch"], message["values"])
        else:
            run.log_result()
            status = "FINISHED"
    if run:
        run.end(status)


class _StageRun:
    """The run of one stage in MLflow, a child of the run of the pipeline's revision."""

    def __init__(self, record: Record, tree: Mapping[str, Any]) -> None:
        self._record = record
        self._tracker = client.Tracker()
        self._parent = self._open_parent(tree)
        tags = {names.STAGE: record.stage, **git.tags()}
        self._id = self._tracker.start(
            record.stage, tags=tags, params=record.params, parent=self._parent
        )
        self._tracker.log_inputs(self._id, _inputs(record, tree), record.stage)

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the metrics of one epoch."""
        self._tracker.log_metrics(self._id, values, epoch)

    def log_result(self) -> None:
        """Log the record of the stage, and on the parent run its pictures, metrics and model."""
        file = paths.record(self._record.stage)
        self._record = records.read(file)
        self._tracker.log_record(self._id, self._record, file, curves=False)
        self._tracker.tag(self._id, {names.RECORD: record_digest(file)})
        self._tracker.log_pictures(self._parent, self._record, Path())
        if self._record.stage == pipeline.FINAL_STAGE:
            self._tracker.log_metrics(self._parent, self._record.metrics)
        if self._record.stage == pipeline.PACKAGE_STAGE:
            self._tracker.log_model(self._parent, paths.PACKAGED)

    def end(self, status: str) -> None:
        """End the run and its parent; the next stage resumes the parent."""
        self._tracker.end(self._id, status)
        self._tracker.end(self._parent, status)

    def _open_parent(self, tree: Mapping[str, Any]) -> str:
        digest = input_digest(tree)
        for run in self._tracker.runs(inputs=digest):
            self._tracker.resume(run.id)
            return run.id
        experiment = os.environ.get("DVC_EXP_NAME", "")
        tags = {names.INPUTS: digest, **git.tags()}
        if experiment:
            tags[names.EXPERIMENT_NAME] = experiment
        name = experiment or f"{params.preset(tree)}-{digest[:7]}"
        return self._tracker.start(name, tags=tags, params=params.flatten(tree))


def _inputs(record: Record, tree: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of the inputs of a stage: outputs of earlier stages, or the data source."""
    if record.stage != pipeline.FIRST_STAGE:
        return pipeline.locked_inputs(record.stage)
    data = tree["data"]
    by_params = hashlib.sha256(json.dumps(record.params, sort_keys=True).encode()).hexdigest()
    if data["source"] in OWN_SOURCES:
        return {data["source"]: by_params}
    if data["url"]:
        return {data["url"]: data["checksum"] or by_params}
    return reuse.input_hashes(record.stage)


def record_digest(file: Path) -> str:
    """Return the SHA-256 of a record file, 64 hex digits; equal results have equal digests."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def input_digest(tree: Mapping[str, Any]) -> str:
    """Return the SHA-256, 64 hex digits, of parameters, dvc.yaml, code and source of the data."""
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode())
    for path in (paths.PIPELINE, *pipeline.code()):
        digest.update(path.as_posix().encode() + b"\0" + path.read_bytes())
    if tree["data"]["source"] not in OWN_SOURCES:
        for file, stamp in pipeline.stamps(Path(tree["data"]["path"])).items():
            digest.update(os.fsencode(file) + f"\0{stamp}".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
