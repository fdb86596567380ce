"""Tracking: the runs in MLflow. The one module that imports it."""

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tasks import TASKS
from seedlings.tracking import views
from seedlings.tracking.tags import CHAMPION, EXPERIMENT, PARENT, SERVED_WITH, Run

# Before MLflow is imported: no server may hold a stage up for long, unless the user says so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

_LARGEST_BATCH = 100
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def uri() -> str:
    """The tracking server: MLFLOW_TRACKING_URI, else a SQLite file at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a failure of MLflow, as told of a server, into a SeedlingsError."""
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise SeedlingsError(f"MLflow at {uri()} does not have it: {reason}") from error
        raise SeedlingsError(f"MLflow at {uri()} cannot be reached: {reason}") from error


class Tracker:
    """The experiment in MLflow (MLFLOW_EXPERIMENT_NAME, else `seedlings`), made if need be.

    Where the server does not answer as it should, MLflow raises what it likes.
    """

    def __init__(self) -> None:
        mlflow.set_tracking_uri(uri())
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        store = (paths.home() / "mlartifacts").as_uri() if uri().startswith("sqlite:") else None
        with FileLock(_lock_file(), timeout=60):  # a fresh database breaks under two makers
            self._client = MlflowClient()
            found = self._client.get_experiment_by_name(name)
            self._experiment = (
                found.experiment_id
                if found
                else self._client.create_experiment(name, store, tags=views.tag())
            )

    @property
    def page(self) -> str:
        """Where in MLflow's pages the finished revisions are listed with their headline metrics."""
        return views.link(self._experiment)

    def runs(self, **tags: str) -> list[Run]:
        """Return all runs that have these tags (`a_b` stands for seedlings.a_b), the oldest first."""
        conditions = (f"tags.`seedlings.{key}` = '{value}'" for key, value in tags.items())
        return self._search(" and ".join(conditions))

    def run(self, run_id: str) -> Run:
        """Return one run."""
        return _run(self._client.get_run(run_id))

    def family(self, parent: str) -> list[Run]:
        """Return a run and the runs below it."""
        return [self.run(parent), *self._search(f"tags.`{PARENT}` = '{parent}'")]

    def _search(self, query: str) -> list[Run]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], query, order_by=["attributes.start_time"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                return [_run(entry) for entry in found]

    def start(
        self, name: str, *, tags: Mapping[str, str], params: Mapping[str, Any], parent: str = ""
    ) -> str:
        """A new run, below `parent` if there is one; returns its id."""
        above = {PARENT: parent} if parent else {}
        run = self._client.create_run(self._experiment, tags={**tags, **above}, run_name=name)
        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), _LARGEST_BATCH):
            batch = entries[start : start + _LARGEST_BATCH]
            self._client.log_batch(run.info.run_id, params=batch)
        return run.info.run_id

    def resume(self, run_id: str) -> None:
        """Open a run again."""
        self._client.update_run(run_id, "RUNNING")

    def end(self, run_id: str, status: str = "FINISHED") -> None:
        """Close a run, as FINISHED or FAILED."""
        self._client.set_terminated(run_id, status)

    def remove(self, run_id: str) -> None:
        """Put a run into MLflow's bin."""
        self._client.delete_run(run_id)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, at most 100 of them."""
        if tags:
            self._client.log_batch(run_id, tags=[RunTag(*entry) for entry in tags.items()])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers, at an epoch if it is one's."""
        now = time.time_ns() // 1_000_000
        points = [Metric(key, float(value), now, step) for key, value in metrics.items()]
        for start in range(0, len(points), _LARGEST_BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + _LARGEST_BATCH])

    def log_record(self, run_id: str, record: Record, file: Path, *, curves: bool) -> None:
        """Log what a record holds, and the record itself; `file` is where it stands.

        With `curves` every epoch, too; a stage that was followed live has logged those before.
        """
        if curves:
            for epoch in range(max([0, *map(len, record.curves.values())])):
                values = {name: curve[epoch] for name, curve in record.curves.items()}
                self.log_metrics(run_id, values, epoch + 1)
        self.log_metrics(run_id, record.metrics)
        self.log_pictures(run_id, record, file.parents[2])
        self._client.log_artifact(run_id, str(file))

    def log_pictures(self, run_id: str, record: Record, root: Path) -> None:
        """Log a record's pictures, by stage; `root` is what their paths start from."""
        for picture in record.pictures:
            self._client.log_artifact(run_id, str(root / picture), f"pictures/{record.stage}")

    def log_inputs(self, run_id: str, hashes: Mapping[str, str], context: str) -> None:
        """Name data that were read, each with the hash under which DVC keeps it."""
        inputs = [
            DatasetInput(
                Dataset(name=path, digest=digest[:36], source_type="dvc", source=path),
                [InputTag("mlflow.data.context", context)],
            )
            for path, digest in hashes.items()
        ]
        if inputs:
            self._client.log_inputs(run_id, inputs)

    def log_model(self, run_id: str, package: Path) -> None:
        """Log a package as the model that can be served, with its signature and pinned needs."""
        import mlflow.pyfunc

        with mlflow.start_run(run_id=run_id), _quietly():
            mlflow.pyfunc.log_model(name="model", **_flavour(package))

    def download_model(self, address: str, target: Path) -> Path:
        """The package of a model (`models:/...`, or a run's id), copied into `target`.

        Raises SeedlingsError where the model is none of this project's.
        """
        from mlflow.artifacts import download_artifacts

        if "/" not in address:
            address = self._model_of(address)
        folder = Path(download_artifacts(address, dst_path=str(target)))
        for file in folder.rglob(paths.BUNDLE):
            return file.parent
        raise SeedlingsError(f"expected a packaged model in {address}, found none")

    def _model_of(self, run_id: str) -> str:
        outputs = self._client.get_run(run_id).outputs
        if not outputs or not outputs.model_outputs:
            raise SeedlingsError(
                f"expected a run with a model, found none in {run_id}; `seedlings sync` adds it"
            )
        return f"models:/{outputs.model_outputs[0].model_id}"

    def champion(self) -> tuple[str, str] | None:
        """The version and the run of the model with the alias `champion`, if there is one."""
        try:
            version = self._client.get_model_version_by_alias(EXPERIMENT, CHAMPION)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None
        return version.version, version.run_id

    def promote(self, run_id: str, tags: Mapping[str, str]) -> str:
        """Register a run's model, with tags, and give it the alias `champion`; its version."""
        if not self._client.search_registered_models(f"name = '{EXPERIMENT}'"):
            self._client.create_registered_model(EXPERIMENT)
        source = self._model_of(run_id)
        version = self._client.create_model_version(
            EXPERIMENT, source, run_id, tags=dict(tags), model_id=source.rpartition("/")[2]
        ).version
        self._client.set_registered_model_alias(EXPERIMENT, CHAMPION, version)
        return version


def save_model(package: Path, target: Path) -> None:
    """Write a package as a model that `mlflow models serve` takes."""
    import mlflow.pyfunc

    with _quietly():
        mlflow.pyfunc.save_model(target, **_flavour(package))


def serve(load: Callable[[Path], Callable[[Any], Any]]) -> None:
    """Make what `load` gives for a package the model of the code that calls this.

    What the model cannot answer is told to who asked (HTTP 400), not to the server's log alone.
    """
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel

    with _quietly():

        class BundleModel(PythonModel):
            def load_context(self, context: Any) -> None:
                self._answer = load(Path(context.artifacts["package"]))

            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                try:
                    return self._answer(model_input)
                except SeedlingsError as error:
                    raise MlflowException.invalid_parameter_value(str(error)) from error

        set_model(BundleModel())


def _flavour(package: Path) -> dict[str, Any]:
    """What MLflow needs to know of a package."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Map

    task = json.loads((package / paths.BUNDLE).read_text(encoding="utf-8"))["task"]
    number, text = DataType.double, DataType.string
    kinds = {"number": number, "text": text, "numbers": Map(number)}
    answer = {**TASKS[task].answer_types, "out_of_distribution": "text"}
    outputs = [ColSpec(kinds[kind], name) for name, kind in answer.items()]
    code = Path(__file__).parents[1]
    return {
        "python_model": str(Path(__file__).with_name("pyfunc_model.py")),
        "code_paths": [str(code)],
        "artifacts": {"package": str(package)},
        "signature": ModelSignature(Schema([ColSpec(DataType.binary, "image")]), Schema(outputs)),
        "pip_requirements": [f"{name}=={version(name)}" for name in SERVED_WITH],
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Hold back what MLflow warns of; it turns filters off where it advises types for a schema."""
    with warnings.catch_warnings(record=True):
        yield


def _run(entry: Any) -> Run:
    data, outputs = entry.data, entry.outputs
    return Run(
        id=entry.info.run_id,
        name=entry.info.run_name,
        status=entry.info.status,
        tags=dict(data.tags),
        params=dict(data.params),
        metrics=dict(data.metrics),
        has_model=bool(outputs and outputs.model_outputs),
    )


def _lock_file() -> Path:
    folder = paths.home() / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "mlflow.lock"
