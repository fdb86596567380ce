"""MLflow's page of complete revisions: its filter and columns are a tag of the experiment."""

import json
import time

NAME = "results"

_COLUMNS = [
    "params.`evaluate.on`",  # metrics on validation images are not comparable with those on test
    "metrics.`finetuned/accuracy`",
    "metrics.`finetuned/macro_f1`",
    "metrics.`finetuned/log_loss`",
    "metrics.`baseline/accuracy`",
    "metrics.`finetuned/f2`",
    "metrics.`finetuned/mae`",
    "metrics.`finetuned/r2`",
]


def tag() -> dict[str, str]:
    """Return the tag of the page: complete revisions, newest first, with their headline metrics."""
    state = {
        "searchFilter": "tags.`seedlings.complete` = 'true'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": _COLUMNS,
        "columnOrder": _COLUMNS,
        "columnWidths": dict.fromkeys(_COLUMNS, 160),
    }
    now = time.time_ns() // 1_000_000
    page = {"name": "Results", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{NAME}": json.dumps(page)}


def link(experiment: str) -> str:
    """Return the URL, relative to MLflow's, of the page of an experiment."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={NAME}&workflowType=machine_learning"
