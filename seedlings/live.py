"""Live: a stage in MLflow while it runs.

The stages of one state of the pipeline, its parameters, code and data, stand under one parent. A
server that fails costs a warning and never a result: the record among the stage's outputs holds
the same, and `seedlings sync` shows it later.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from seedlings import git, layout, params, pipeline, tracking
from seedlings.params import Params
from seedlings.records import Record

_OWN_SOURCES = ("sample", "digits")  # that need no file of the user's

_Result = TypeVar("_Result")


@contextmanager
def following(record: Record, everything: Params) -> Iterator[None]:
    """Show a stage in MLflow while it runs: epochs as they come, all the rest at its end.

    A stage that fails leaves a run marked FAILED. Where MLflow fails, one warning says so, and
    the stage goes on without it.
    """
    attempts = _Attempts()
    run = attempts.to(lambda: _StageRun(record, everything))
    if run:
        record.on_epoch = lambda epoch, values: attempts.to(lambda: run.log_epoch(epoch, values))
    try:
        yield
    except BaseException:
        if run:
            attempts.to(lambda: run.end("FAILED"))
        raise
    if run:
        attempts.to(run.log_result)
        attempts.to(lambda: run.end("FINISHED"))


def state_digest(everything: Params) -> str:
    """64 hex digits for the state of the pipeline: parameters, dvc.yaml, code, source of data."""
    digest = hashlib.sha256(everything.model_dump_json().encode())
    for path in (layout.PIPELINE, *pipeline.code()):
        digest.update(path.as_posix().encode() + b"\0" + path.read_bytes())
    source = Path(everything.data.path)
    if everything.data.source not in _OWN_SOURCES and source.exists():
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            status = path.lstat()
            stamp = f"\0{status.st_size}\0{status.st_mtime_ns}"
            digest.update(os.fsencode(path) + stamp.encode())
    return digest.hexdigest()


class _StageRun:
    """One stage's run in MLflow, under the parent of the pipeline's state."""

    def __init__(self, record: Record, everything: Params) -> None:
        self._record = record
        self._tracker = tracking.Tracker()
        self._parent = self._open_parent(everything)
        tags = {tracking.STAGE: record.stage, **git.tags()}
        self._id = self._tracker.start(
            record.stage, tags=tags, params=record.params, parent=self._parent
        )
        self._tracker.log_inputs(self._id, _inputs(record, everything), record.stage)

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Show one epoch's values."""
        self._tracker.log_metrics(self._id, values, epoch)

    def log_result(self) -> None:
        """Show the final numbers and pictures, and what of them belongs to the parent."""
        file = layout.record(self._record.stage)
        self._tracker.log_record(self._id, self._record, file, curves=False)
        self._tracker.tag(self._id, {tracking.RECORD: record_digest(file)})
        self._tracker.log_pictures(self._parent, self._record, Path())
        if self._record.stage == pipeline.FINAL_STAGE:
            self._tracker.log_metrics(self._parent, self._record.metrics)
        if self._record.model is not None:
            self._tracker.log_model(self._parent, self._record.model)

    def end(self, status: str) -> None:
        """Close the run, and the parent with it: other stages open it again."""
        self._tracker.end(self._id, status)
        self._tracker.end(self._parent, status)

    def _open_parent(self, everything: Params) -> str:
        state = state_digest(everything)
        for run in self._tracker.runs(state=state):
            self._tracker.resume(run.id)
            return run.id
        experiment = os.environ.get("DVC_EXP_NAME", "")
        tags = {"seedlings.state": state, **git.tags()}
        if experiment:
            tags["seedlings.experiment"] = experiment
        name = experiment or f"{everything.preset}-{state[:7]}"
        return self._tracker.start(name, tags=tags, params=params.flatten(params.read()))


def _inputs(record: Record, everything: Params) -> dict[str, str]:
    """What a stage reads: data of earlier stages by DVC's hash, or the source of all data."""
    if record.stage != pipeline.FIRST_STAGE:
        return pipeline.input_hashes(record.stage)
    data = everything.data
    source = data.source if data.source in _OWN_SOURCES else data.url or data.path
    return {source: data.checksum or pipeline.fingerprint(record.stage, record.params)}


def record_digest(file: Path) -> str:
    """64 hex digits of a record's bytes: the same result has the same, wherever it was made."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


class _Attempts:
    """Calls of MLflow that may fail; the first failure is told, and no further call is made."""

    def __init__(self) -> None:
        self._failed = False

    def to(self, action: Callable[[], _Result]) -> _Result | None:
        """What the action returns, or None where it or an earlier one failed."""
        if self._failed:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - a result must not be lost to any of them
            self._failed = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            print(
                f"warning: MLflow at {tracking.uri()} does not answer as it should ({reason}).\n"
                "The stage goes on; its result is in the record among its outputs, and "
                "`seedlings sync` shows it later.",
                file=sys.stderr,
            )
            return None
