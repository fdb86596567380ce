"""MLflow client: reads and writes runs. No other module imports MLflow."""

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
from seedlings.errors import SeedlingsError
from seedlings.tasks import TASKS
from seedlings.tracking import views
from seedlings.tracking.tags import CHAMPION, EXPERIMENT, PARENT, SERVED_WITH, Run

# MLflow reads these when it is imported. A slow server must not delay a stage for long.
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
    """Return the tracking URI: MLFLOW_TRACKING_URI, else a SQLite file in the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


@contextmanager
def reachable() -> Iterator[None]:
    """Raise SeedlingsError for an error that MLflow, its server or its database raises."""
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise SeedlingsError(f"MLflow at {uri()} has no such entry: {reason}") from error
        raise SeedlingsError(f"MLflow at {uri()} cannot be reached: {reason}") from error


class Tracker:
    """The MLflow experiment (MLFLOW_EXPERIMENT_NAME, else `seedlings`), created if it is missing.

    The methods raise the exceptions of MLflow; `reachable` turns them into SeedlingsError.
    """

    def __init__(self) -> None:
        mlflow.set_tracking_uri(uri())
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        store = (paths.home() / "mlartifacts").as_uri() if uri().startswith("sqlite:") else None
        with lock("mlflow").acquire(timeout=60):  # two processes must not create the database
            self._client = MlflowClient()
            found = self._client.get_experiment_by_name(name)
            self._experiment = (
                found.experiment_id
                if found
                else self._client.create_experiment(name, store, tags=views.tag())
            )

    @property
    def page(self) -> str:
        """URL, relative to MLflow's, of the list of complete revisions with their metrics."""
        return views.link(self._experiment)

    def runs(self, tags: Mapping[str, str | None]) -> list[Run]:
        """Return the runs with these tags, oldest first; None is the value of a missing tag."""
        query = " and ".join(
            f"tags.`{key}` IS NULL" if value is None else f"tags.`{key}` = '{value}'"
            for key, value in tags.items()
        )
        order = ["attributes.start_time"]
        found = mlflow.search_runs([self._experiment], query, order_by=order, output_format="list")
        return [_run(entry) for entry in found]

    def find(self, run_id: str) -> Run | None:
        """Return the run with an id, or None if there is none."""
        with _absent_as_none():
            return _run(self._client.get_run(run_id))
        return None

    def start(
        self, name: str, *, tags: Mapping[str, str], params: Mapping[str, Any], parent: str = ""
    ) -> str:
        """Start a run, as a child of `parent` if one is given, and return its id."""
        above = {PARENT: parent} if parent else {}
        run = self._client.create_run(self._experiment, tags={**tags, **above}, run_name=name)
        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), _LARGEST_BATCH):
            batch = entries[start : start + _LARGEST_BATCH]
            self._client.log_batch(run.info.run_id, params=batch)
        return run.info.run_id

    def resume(self, run_id: str) -> None:
        """Set the status of a run to RUNNING."""
        self._client.update_run(run_id, "RUNNING")

    def end(self, run_id: str, status: str = "FINISHED") -> None:
        """End a run with the status FINISHED, FAILED, or KILLED."""
        self._client.set_terminated(run_id, status)

    def remove(self, run_id: str) -> None:
        """Delete a run; MLflow can restore it."""
        self._client.delete_run(run_id)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set at most 100 tags of a run."""
        if tags:
            self._client.log_batch(run_id, tags=[RunTag(*entry) for entry in tags.items()])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics; `step` is the epoch of the metrics of an epoch, else 0."""
        now = time.time_ns() // 1_000_000
        points = [Metric(key, float(value), now, step) for key, value in metrics.items()]
        for start in range(0, len(points), _LARGEST_BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + _LARGEST_BATCH])

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Log a file as an artifact of a run, in a folder of its artifacts."""
        self._client.log_artifact(run_id, str(file), folder)

    def log_inputs(self, run_id: str, hashes: Mapping[str, str], context: str) -> None:
        """Log the paths of the inputs of a run, each with DVC's hash."""
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
        """Log a package as an MLflow model, with its signature and pinned requirements."""
        import mlflow.pyfunc

        with mlflow.start_run(run_id=run_id), _quietly():
            mlflow.pyfunc.log_model(name="model", **_flavour(package))

    def download_model(self, address: str, target: Path) -> Path:
        """Return the package of a model (`models:/...`, or the id of a run), copied into `target`.

        Raises SeedlingsError if the run has no model, or the model has no package of this project.
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
        """Return the version and the run id of the model with the alias `champion`, or None."""
        with _absent_as_none():
            version = self._client.get_model_version_by_alias(EXPERIMENT, CHAMPION)
            return version.version, version.run_id
        return None

    def promote(self, run_id: str, tags: Mapping[str, str]) -> str:
        """Register a run's model with tags, set its alias `champion`, and return its version."""
        if not self._client.search_registered_models(f"name = '{EXPERIMENT}'"):
            self._client.create_registered_model(EXPERIMENT)
        source = self._model_of(run_id)
        version = self._client.create_model_version(
            EXPERIMENT, source, run_id, tags=dict(tags), model_id=source.rpartition("/")[2]
        ).version
        self._client.set_registered_model_alias(EXPERIMENT, CHAMPION, version)
        return version


def save_model(package: Path, target: Path) -> None:
    """Write a package as an MLflow model that `mlflow models serve` can load."""
    import mlflow.pyfunc

    with _quietly():
        mlflow.pyfunc.save_model(target, **_flavour(package))


def serve(load: Callable[[Path], Callable[[Any], Any]]) -> None:
    """Set the pyfunc model of the calling module: `load(package)` returns its predict function.

    If the predict function raises SeedlingsError, the server responds with HTTP 400 and the reason.
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
    """Return the arguments of MLflow's `log_model` and `save_model` for a package."""
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
    """Suppress warnings. MLflow resets warning filters, so that a filter is not enough."""
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


@contextmanager
def _absent_as_none() -> Iterator[None]:
    """Suppress the exceptions of MLflow for something that does not exist."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise


def lock(name: str) -> FileLock:
    """Return the lock of the project with a name."""
    folder = paths.home() / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")
