"""Tracking: MLflow shows what DVC knows.

The one module that imports MLflow. The runs of the stages stand under one parent for each state of
the pipeline: its parameters, its code and the data it is pointed at. A tracking server that fails
costs a warning and never a result, since the record among the stage's outputs holds the same.
"""

import hashlib
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from seedlings import layout, pipeline
from seedlings.params import Params, flatten
from seedlings.records import Record

# Before MLflow is imported: no server may hold a stage up for long, unless the user says so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

EXPERIMENT = "seedlings"
STATE_TAG = "seedlings.state"
STAGE_TAG = "seedlings.stage"
_FINAL_STAGE = "evaluate"
_FAILURES = (MlflowException, SQLAlchemyError, OSError)
_LARGEST_BATCH = 100

_Result = TypeVar("_Result")

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def home() -> Path:
    """The project's root, also from a temporary folder in which DVC runs an experiment."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if folder.name == ".dvc" and "tmp" in here.relative_to(folder).parts[:1]:
            return folder.parent
    return here


def uri() -> str:
    """The tracking server: MLFLOW_TRACKING_URI, else a SQLite file at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def connect() -> tuple[MlflowClient, str]:
    """A client, and the id of the experiment (MLFLOW_EXPERIMENT_NAME, else `seedlings`).

    What is missing is made: the database, one process at a time, and the experiment.
    """
    mlflow.set_tracking_uri(uri())
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    local = uri().startswith("sqlite:")
    store = (home() / "mlartifacts").as_uri() if local else None
    with FileLock(_lock_file(), timeout=60):
        client = MlflowClient()
        found = client.get_experiment_by_name(name)
        return client, found.experiment_id if found else client.create_experiment(name, store)


@contextmanager
def live(record: Record, params: Params) -> Iterator[None]:
    """Show a stage in MLflow while it runs: epochs as they come, all the rest at its end.

    A stage that fails leaves a run marked FAILED. Where MLflow fails, one warning says so, and
    the stage goes on without it.
    """
    attempts = _Attempts()
    run = attempts.to(lambda: _StageRun(record, params))
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


def state_digest(params: Params) -> str:
    """64 hex digits for the state of the pipeline: parameters, dvc.yaml, code, source of data."""
    digest = hashlib.sha256(params.model_dump_json().encode())
    modules = [*Path("seedlings").glob("*.py"), *Path("stages").glob("*.py")]
    for path in (layout.PIPELINE, *sorted(modules)):
        digest.update(path.as_posix().encode() + b"\0" + path.read_bytes())
    source = Path(params.data.path)
    if params.data.source != "sample" and source.exists():
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            status = path.lstat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()


class _StageRun:
    """One stage's run in MLflow, under the parent of the pipeline's state."""

    def __init__(self, record: Record, params: Params) -> None:
        self._record = record
        self._client, self._experiment = connect()
        self._parent = self._find_parent(params)
        tags = {"mlflow.parentRunId": self._parent, STAGE_TAG: record.stage, **_git_tags()}
        run = self._client.create_run(self._experiment, tags=tags, run_name=record.stage)
        self._id = run.info.run_id
        self._log(self._id, params=record.params)
        self._log_inputs()

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Show one epoch's values."""
        self._log(self._id, metrics=values, step=epoch)

    def log_result(self) -> None:
        """Show the final numbers and pictures, on the parent, too, if this is the last stage."""
        targets = [self._id]
        if self._record.stage == _FINAL_STAGE:
            targets.append(self._parent)
        for run_id in targets:
            self._log(run_id, metrics=self._record.metrics)
            for picture in self._record.pictures:
                self._client.log_artifact(run_id, picture, "pictures")
        self._client.log_artifact(self._id, str(layout.record(self._record.stage)))
        if self._record.model is not None:
            self._log_model(self._record.model)

    def end(self, status: str) -> None:
        """Close the run, and the parent with it: other stages open it again."""
        for run_id in (self._id, self._parent):
            self._client.set_terminated(run_id, status)

    def _find_parent(self, params: Params) -> str:
        state = state_digest(params)
        found = self._client.search_runs(
            [self._experiment], f"tags.`{STATE_TAG}` = '{state}'", max_results=1
        )
        if found:
            parent = found[0].info.run_id
            self._client.update_run(parent, "RUNNING")
            return parent
        experiment = os.environ.get("DVC_EXP_NAME")
        name = experiment or f"{params.data.source}-{state[:7]}"
        tags = {STATE_TAG: state, **_git_tags()}
        if experiment:
            tags["seedlings.experiment"] = experiment
        run = self._client.create_run(self._experiment, tags=tags, run_name=name)
        self._log(run.info.run_id, params=flatten(params))
        return run.info.run_id

    def _log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
    ) -> None:
        now = time.time_ns() // 1_000_000
        entries = [Param(key, str(value)) for key, value in (params or {}).items()]
        for start in range(0, len(entries), _LARGEST_BATCH):
            self._client.log_batch(run_id, params=entries[start : start + _LARGEST_BATCH])
        points = [Metric(key, float(value), now, step) for key, value in (metrics or {}).items()]
        for start in range(0, len(points), _LARGEST_BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + _LARGEST_BATCH])

    def _log_inputs(self) -> None:
        """Name the data that the stage reads, with the hash under which DVC keeps them."""
        inputs = [
            DatasetInput(
                Dataset(name=path, digest=digest[:36], source_type="dvc", source=path),
                [InputTag("mlflow.data.context", self._record.stage)],
            )
            for path, digest in pipeline.input_hashes(self._record.stage).items()
        ]
        if inputs:
            self._client.log_inputs(self._id, inputs)

    def _log_model(self, model: Any) -> None:
        import mlflow.keras
        import numpy as np
        from mlflow.models import infer_signature

        example = np.zeros((1, *model.input_shape[1:]), model.inputs[0].dtype)
        signature = infer_signature(example, model.predict_on_batch(example))
        pins = [f"{name}=={version(name)}" for name in ("keras", "numpy", "tensorflow")]
        with mlflow.start_run(run_id=self._id), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.keras.log_model(model, name="model", signature=signature, pip_requirements=pins)


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
        except _FAILURES as error:
            self._failed = True
            reason = str(error).strip().splitlines()[0][:300]
            print(
                f"warning: MLflow at {uri()} does not answer as it should ({reason}).\n"
                "The stage goes on; its result is in the record among its outputs.",
                file=sys.stderr,
            )
            return None


def _lock_file() -> Path:
    folder = home() / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "mlflow.lock"


def _git_tags() -> dict[str, str]:
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(_git("status", "--porcelain", "--untracked-files=no"))
    return {"mlflow.source.git.commit": commit, "seedlings.dirty": str(dirty).lower()}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
