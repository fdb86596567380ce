"""The model card: what the model is, what it is for, how it was trained, and how good it is.

The format is that of Hugging Face: YAML that programs read (modelcard.md of its documentation of
the Hub), then Markdown. Every number is one of the stages' records and tables.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from seedlings.config import paths, yaml_files
from seedlings.io import split_table
from seedlings.report import markdown, notes, summaries, tables
from seedlings.report.notes import Records
from seedlings.report.params import Report
from seedlings.tasks import TASKS, Metric, Task

_MOST = 40  # names in a line, or rows of a table that is not folded
_FEW = 10  # evaluated images of a label
_SYNTHETIC = ("sample",)  # sources of data
_IMAGE_CLASSIFICATION = "image-classification"
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_UNCHANGED = (0.0, False, [1.0, 1.0])  # parameters of an augmentation that changes nothing
_HOW_AUGMENTED = ("blur_probability", "fill")


def text(found: Records, params: Report) -> str:
    """Return the model card, from the records and the tables of the earlier stages."""
    every = {key: value for record in found.values() for key, value in record.params.items()}
    numbers = {stage: record.metrics for stage, record in found.items()}
    metrics, split = numbers["evaluate"], summaries.split(every)
    task = TASKS[every["task"]]
    details = tables.by_label(task.label_metric)
    values = {
        "head": markdown.Markdown(yaml_files.dump(_head(every, metrics, params))),
        "title": params.title,
        "licence": params.licence,
        "p": every,
        "m": numbers,
        "most": _MOST,
        **_model(task, every),
        **_data(task, found),
        **_training(found),
        "split": split,
        "score": summaries.score(metrics, split),
        "result": _results(metrics, split),
        "trivial": notes.TRIVIAL,
        "corrected": summaries.corrected(metrics, split),
        "original": _results(summaries.original_labels(metrics), split),
        "other_splits": summaries.other_splits(split),
        "without_crossing": _results(summaries.without_crossing(metrics), split),
        "details": details,
        "worst": _worst(details, task.label_metric),
        "few": _FEW,
        "rare": details[details["images"] < _FEW].iloc[:, 0].tolist(),
        "false_alarms": summaries.false_alarms(metrics, numbers["package"]),
        "doubtful": found["evaluate"].details.get("doubtful_labels"),
        "warnings": notes.warnings(found),
        "note": summaries.note(split),
    }
    return markdown.render("model_card.md", values)


def _head(every: Mapping[str, Any], metrics: Mapping[str, float], params: Report) -> dict[str, Any]:
    """Return what programs read of the card: the metadata of Hugging Face."""
    task, backbone = TASKS[every["task"]], _backbone(every)
    is_known = task.hugging_face == _IMAGE_CLASSIFICATION
    results = [
        {
            "type": metric.hugging_face or metric.name,
            "value": metrics[f"finetuned/{metric.name}"],
            "name": metric.title,
        }
        for metric in task.metrics
    ]
    data = {
        "type": "imagefolder",  # that of data sets which are not on Hugging Face
        "name": notes.source(every),
        "split": summaries.split(every),
        "revision": _digest(),
    }
    result = {"task": {"type": task.hugging_face}, "dataset": data, "metrics": results}
    return {
        **_licence(params.licence),
        "library_name": "keras",
        **({"pipeline_tag": task.hugging_face} if is_known else {}),
        "tags": ["seedlings", task.name, *([backbone] if backbone else [])],
        "metrics": sorted({metric.hugging_face for metric in task.metrics} - {""}),
        "model-index": [{"name": params.title, "results": [result]}],
    }


def _licence(name: str | None) -> dict[str, str]:
    """Return the licence as Hugging Face has it: an identifier, or `other` with a name."""
    if name is None:
        return {}
    identifier = name.strip().lower()
    if _IDENTIFIER.fullmatch(identifier):
        return {"license": identifier}
    return {"license": "other", "license_name": name}


def _model(task: Task, every: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template values of what the model is."""
    labels = split_table.read(paths.SPLIT)["label"]
    return {
        "task": task,
        "label_noun": notes.label_noun(task.name),
        "names": task.outputs(labels[labels != ""]),
        "backbone": _backbone(every),
        "weights": _last_part(every["extract.weights"]),
    }


def _backbone(every: Mapping[str, Any]) -> str:
    """Return the name of the backbone; empty if there is none."""
    name = every["extract.backbone"]
    return "" if name == "none" else _last_part(name.removeprefix("hub:"))


def _last_part(name: str) -> str:
    """Return the last part of a path or an address, as the others can have a user's name."""
    return PurePath(urlsplit(name).path).name


def _data(task: Task, found: Records) -> dict[str, Any]:
    """Return the template values of the data."""
    record = found["split"]
    sizes = [row["train"] for row in record.details["counts"].values()]
    return {
        "data": notes.data(found),
        "synthetic": found["download"].params["data.source"] in _SYNTHETIC,
        "digest": _digest(),
        "class_sizes": (min(sizes), max(sizes)) if task.has_classes else None,
        "left_out": [note.text for note in notes.left_out(found)],
        "without_images": record.details["absent"],
    }


def _digest() -> str:
    """Return the MD5 of the split table, which dvc.lock has, too."""
    return hashlib.md5(paths.SPLIT.read_bytes(), usedforsecurity=False).hexdigest()


def _training(found: Records) -> dict[str, Any]:
    """Return the template values of the training; `augmentation` has the changes of images."""
    record, prefix = found["finetune"], "finetune.augment."
    temperature = found["package"].metrics.get("tta/temperature")
    return {
        "epochs": record.epochs,
        "baseline_epochs": found["baseline"].epochs,
        "precision": record.details["precision"],
        "temperature": temperature or record.metrics.get("temperature"),
        "augmentation": {
            name: value
            for key, value in record.params.items()
            if (name := key.removeprefix(prefix)) != key
            and name not in _HOW_AUGMENTED
            and value not in _UNCHANGED
        },
    }


def _results(metrics: Mapping[str, float], split: str) -> dict[str, Any] | None:
    """Return the template values of a table of all models; None without metrics."""
    if not metrics:
        return None
    return {
        "models": summaries.models(metrics),
        "lines": summaries.lines(metrics),
        "count": summaries.count(metrics, split),
        "comparison": summaries.comparison(metrics),
        "absent": summaries.absent(metrics),
    }


def _worst(details: pd.DataFrame, by: Metric) -> dict[str, Any]:
    """Return the label with the worst result, the title of the metric, and its value."""
    row = details.iloc[0]
    return {"label": str(row.iloc[0]), "metric": by.title, "score": float(row[by.name])}
