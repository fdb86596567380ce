"""MLflow client: reads and writes runs."""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.networks import hub
from seedlings.tasks import TASKS
from seedlings.tracking import page
from seedlings.tracking.tags import CHAMPION, EXPERIMENT, PARENT, SERVED_WITH, TENSORFLOW

# MLflow reads these when it is imported. A slow server must not delay a stage for long.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Run
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

_LARGEST_BATCH = 100  # of parameters
_MOST_METRICS = 1000  # in a batch
_MODEL = "model"  # the name of a run's model
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


class Tracker(MlflowClient):
    """MLflow's client, with its experiment (MLFLOW_EXPERIMENT_NAME, else `seedlings`).

    The experiment is created if it is missing. The methods raise the exceptions of MLflow;
    `reachable` turns them into SeedlingsError.
    """

    def __init__(self) -> None:
        mlflow.set_tracking_uri(uri())
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        store = (paths.home() / "mlartifacts").as_uri() if uri().startswith("sqlite:") else None
        with lock("mlflow").acquire(timeout=60):  # two processes must not create the database
            super().__init__()
            found = self.get_experiment_by_name(name)
            self.experiment: str = (
                found.experiment_id
                if found
                else self.create_experiment(name, store, tags=page.tag())
            )

    @property
    def page(self) -> str:
        """URL, relative to MLflow's, of the list of complete revisions with their metrics."""
        return page.link(self.experiment)

    def runs(self, tags: Mapping[str, str | None]) -> list[Run]:
        """Return the runs with these tags, oldest first; None is the value of a missing tag."""
        query = " and ".join(
            f"tags.`{key}` IS NULL" if value is None else f"tags.`{key}` = '{value}'"
            for key, value in tags.items()
        )
        order = ["attributes.start_time"]
        return mlflow.search_runs([self.experiment], query, order_by=order, output_format="list")

    def find(self, run_id: str) -> Run | None:
        """Return the run with an id, or None if there is none."""
        with _absent_as_none():
            return self.get_run(run_id)
        return None

    def start(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        parent: str = "",
        time: int | None = None,
    ) -> str:
        """Start a run, as a child of `parent` if one is given, and return its id.

        `time` is in milliseconds, by default now.
        """
        tags = {**tags, PARENT: parent} if parent else tags
        run_id = self.create_run(self.experiment, time, tags, name).info.run_id
        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), _LARGEST_BATCH):
            self.log_batch(run_id, params=entries[start : start + _LARGEST_BATCH])
        return run_id

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set at most 100 tags of a run."""
        self.log_batch(run_id, tags=[RunTag(*entry) for entry in tags.items()])

    def log_metrics(
        self, run_id: str, metrics: Mapping[str, float], step: int = 0, time: int | None = None
    ) -> None:
        """Log at most 1,000 metrics; `step` is the epoch of the metrics of an epoch, else 0.

        `time` is in milliseconds, by default now.
        """
        now = get_current_time_millis() if time is None else time
        points = [Metric(key, float(value), now, step) for key, value in metrics.items()]
        self.log_batch(run_id, metrics=points)

    def log_curves(
        self, run_id: str, curves: Mapping[str, Sequence[float]], prefix: str = ""
    ) -> None:
        """Log the value of each epoch of curves, by their name with a prefix."""
        now = get_current_time_millis()
        points = [
            Metric(f"{prefix}{name}", value, now, epoch)
            for name, curve in curves.items()
            for epoch, value in enumerate(curve, start=1)
        ]
        for start in range(0, len(points), _MOST_METRICS):
            self.log_batch(run_id, metrics=points[start : start + _MOST_METRICS])

    def log_hashes(self, run_id: str, hashes: Mapping[str, str], context: str) -> None:
        """Log the paths of the inputs of a run, each with DVC's hash."""
        tags = [InputTag("mlflow.data.context", context)]
        inputs = [
            DatasetInput(Dataset(path, digest[:36], source_type="dvc", source=path), tags)
            for path, digest in hashes.items()
        ]
        if inputs:
            self.log_inputs(run_id, inputs)

    def log_package(self, run_id: str, package: Path, card: Path | None = None) -> None:
        """Log a package as an MLflow model, with signature, pinned requirements and model card.

        A `card` that does not exist, as in revisions from before there were cards, is left out.
        """
        import mlflow.pyfunc

        with mlflow.start_run(run_id=run_id), _quietly():
            mlflow.pyfunc.log_model(name=_MODEL, **_flavour(package, card))

    def card(self, run: Run) -> str:
        """Return the model card of a run's model; empty if the model was logged without one."""
        from mlflow.artifacts import list_artifacts, load_text

        address = f"runs:/{run.info.run_id}/{_MODEL}/artifacts"
        names = [file.path.rpartition("/")[2] for file in list_artifacts(address)]
        card = paths.MODEL_CARD.name
        return load_text(f"{address}/{card}") if card in names else ""

    def download_package(self, address: str, target: Path) -> Path:
        """Return the package of a model (`models:/...`, or the id of a run), copied into `target`.

        Raises SeedlingsError if the run has no model, or the model has no package of this project.
        """
        from mlflow.artifacts import download_artifacts

        if "/" not in address:
            address = _model_of(self.get_run(address))
        folder = Path(download_artifacts(address, dst_path=str(target)))
        for file in folder.rglob(paths.BUNDLE):
            return file.parent
        raise SeedlingsError(f"expected a packaged model in {address}, found none")

    def champion(self) -> tuple[str, str] | None:
        """Return the version and the run id of the model with the alias `champion`, or None."""
        with _absent_as_none():
            version = self.get_model_version_by_alias(EXPERIMENT, CHAMPION)
            return version.version, version.run_id
        return None

    def promote(self, run: Run, tags: Mapping[str, str], description: str) -> str:
        """Register a run's model, set its alias `champion`, and return its version.

        The version gets the tags and, in Markdown, the description of at most 5,000 characters.
        """
        if not self.search_registered_models(f"name = '{EXPERIMENT}'"):
            self.create_registered_model(EXPERIMENT)
        source, model_id = _model_of(run), run.outputs.model_outputs[0].model_id
        version = self.create_model_version(
            EXPERIMENT,
            source,
            run.info.run_id,
            tags=dict(tags),
            description=description,
            model_id=model_id,
        ).version
        self.set_registered_model_alias(EXPERIMENT, CHAMPION, version)
        return version


def has_model(run: Run) -> bool:
    """Return whether a run has a model."""
    return bool(run.outputs and run.outputs.model_outputs)


def _model_of(run: Run) -> str:
    if not has_model(run):
        raise SeedlingsError(
            f"expected a run with a model, found none in {run.info.run_id}; "
            "`seedlings sync` adds it"
        )
    return f"models:/{run.outputs.model_outputs[0].model_id}"


def save_model(package: Path, target: Path) -> None:
    """Write a package as an MLflow model that `mlflow models serve` can load."""
    import mlflow.pyfunc

    with _quietly():
        mlflow.pyfunc.save_model(target, **_flavour(package))


def _flavour(package: Path, card: Path | None = None) -> dict[str, Any]:
    """Return the arguments of MLflow's `log_model` and `save_model` for a package and its card."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Map

    task = json.loads((package / paths.BUNDLE).read_text(encoding="utf-8"))["task"]
    number, text = DataType.double, DataType.string
    kinds = {"number": number, "text": text, "numbers": Map(number)}
    answer = {**TASKS[task].answer_types, "out_of_distribution": "text"}
    outputs = [ColSpec(kinds[kind], name) for name, kind in answer.items()]
    code = Path(__file__).parents[1]
    has_card = card is not None and card.is_file()
    return {
        "python_model": str(Path(__file__).with_name("pyfunc_model.py")),
        "code_paths": [str(code)],
        "artifacts": {"package": str(package)} | ({"card": str(card)} if has_card else {}),
        "signature": ModelSignature(Schema([ColSpec(text, "image")]), Schema(outputs)),
        "pip_requirements": _requirements(package),
    }


def _requirements(package: Path) -> list[str]:
    """Return the pinned packages that a server of a package needs."""
    pinned = [f"{name}=={version(name)}" for name in SERVED_WITH]
    tensorflow = _version_of_tensorflow()
    pinned += [f"{name}=={tensorflow} ; {machines}" for name, machines in TENSORFLOW.items()]
    architecture = (package / "model.json").read_text(encoding="utf-8")
    return [*pinned, f"{hub.PACKAGE}=={hub.VERSION}"] if hub.is_in(architecture) else pinned


def _version_of_tensorflow() -> str:
    for name in TENSORFLOW:
        with suppress(PackageNotFoundError):
            return version(name)
    raise PackageNotFoundError("tensorflow")


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress warnings. MLflow resets warning filters, so that a filter is not enough."""
    with warnings.catch_warnings(record=True):
        yield


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
