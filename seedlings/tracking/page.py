"""MLflow's page of complete revisions: its filter and columns are a tag of the experiment."""

import json
import time

from seedlings.tasks import TASKS
from seedlings.tracking.tags import CHANGED

NAME = "results"


def _columns() -> list[str]:
    """Return the columns: the preset, what was edited, the evaluated split, and all metrics."""
    metrics = []
    for task in TASKS.values():
        main, *others = (metric.name for metric in task.metrics)
        metrics += [f"finetuned/{main}", f"baseline/{main}"]
        metrics += [f"finetuned/{name}" for name in others]
    # Metrics on validation images are not comparable with those on test images.
    own = ["params.`composed_from`", f"tags.`{CHANGED}`", "params.`evaluate.split`"]
    return [*own, *(f"metrics.`{name}`" for name in dict.fromkeys(metrics))]


def tag() -> dict[str, str]:
    """Return the tag of the page: complete revisions, newest first, with their metrics."""
    columns = _columns()
    state = {
        "searchFilter": "tags.`seedlings.complete` = 'true'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, 160),
    }
    now = time.time_ns() // 1_000_000
    page = {"name": "Results", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{NAME}": json.dumps(page)}


def link(experiment: str) -> str:
    """Return the URL, relative to MLflow's, of the page of an experiment."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={NAME}&workflowType=machine_learning"
