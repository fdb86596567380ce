"""Comparisons of revisions of the pipeline: parameters, metrics and single test images."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seedlings import images
from seedlings.config import paths, records
from seedlings.errors import SeedlingsError
from seedlings.evaluation import metrics
from seedlings.plots import image_grid
from seedlings.report import html, summaries
from seedlings.tasks import TASKS
from seedlings.tracking import client
from seedlings.tracking import revisions as all_revisions
from seedlings.tracking.revisions import Revision
from seedlings.tracking.tags import COMMIT, EXPERIMENT_NAME, LOCK, PARENT, RESTORE

WORKSPACE = "workspace"
_PREDICTIONS = paths.report("evaluate") / "predictions.csv"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the compared revisions: its parameters, metrics and predictions."""

    name: str
    revision: Revision
    metrics: dict[str, float]
    predictions: pd.DataFrame  # indexed by path; label, finetuned, score

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by their full keys."""
        return self.revision.params

    @property
    def images(self) -> str:
        """DVC's hash of the downloaded images."""
        return self.revision.hashes("download")[paths.RAW.as_posix()]


@dataclass(frozen=True, slots=True)
class Change:
    """A test image that one fine-tuned model predicts better than the other."""

    path: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The test images on which another side differs from the first."""

    name: str
    common: int  # number of images in both test splits
    same_images: bool  # whether both have the same data, test images and labels
    better: list[Change]
    worse: list[Change]
    p_value: float


def side(name: str) -> Side:
    """Return the side of an experiment, a revision, a run in MLflow, or `workspace`, by its name.

    Raises SeedlingsError if there is no such revision, or DVC's cache does not have its reports.
    """
    revision = _revision(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        revision.get([paths.report("evaluate")], root)
        record = records.read(root / paths.record("evaluate"))
        text = {"path": str, "label": str, "finetuned": str, "baseline": str}
        table = pd.read_csv(root / _PREDICTIONS, dtype=text, keep_default_na=False)
    table["score"] = TASKS[revision.params["task"]].scores(table)
    return Side(name, revision, record.metrics, table.set_index("path"))


def differing(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """Return the parameters that differ between the sides, with the value on each side."""
    keys = sorted({key for one in sides for key in one.params})
    rows = {key: [one.params.get(key) for one in sides] for key in keys}
    return {key: values for key, values in rows.items() if any(v != values[0] for v in values)}


def side_by_side(sides: Sequence[Side]) -> dict[str, list[str]]:
    """Return the metrics of both models that differ: the value and interval on each side."""
    rows: dict[str, list[str]] = {}
    for model in ("finetuned", "baseline"):
        for line in summaries.lines(sides[0].metrics):
            texts = [_with_interval(one.metrics, f"{model}/{line.metric}") for one in sides]
            if not line.is_end and any(text != texts[0] for text in texts):
                rows[f"{model} {line.title}"] = texts
    return rows


def changes(first: Side, other: Side) -> Changes:
    """Return the test images that the other fine-tuned model predicts better or worse.

    They are sorted by the change of their score, largest first. The p value is that of McNemar's
    test for classes, else of Wilcoxon's signed-rank test. Raises SeedlingsError if the tasks are
    different.
    """
    if first.params["task"] != other.params["task"]:
        raise SeedlingsError(
            f"expected revisions of one task, found {first.params['task']} ({first.name}) and "
            f"{other.params['task']} ({other.name})"
        )
    both = first.predictions.join(other.predictions, suffixes=("", "_after"), how="inner")
    gain = (both["score_after"] - both["score"]).to_numpy()
    order = np.argsort(-np.abs(gain), kind="stable")
    found = [(gain[row], _change(both.iloc[row])) for row in order if gain[row]]
    return Changes(
        other.name,
        len(both),
        len(both) == len(first.predictions) == len(other.predictions)
        and bool((both["label"] == both["label_after"]).all())
        and first.images == other.images,
        [change for by, change in found if by > 0],
        [change for by, change in found if by < 0],
        metrics.paired_p_value(
            both["score"].to_numpy(),
            both["score_after"].to_numpy(),
            test=TASKS[first.params["task"]].paired_test,
        ),
    )


def write(sides: Sequence[Side], found: Sequence[Changes], path: Path, most: int = 24) -> None:
    """Write the comparison as an HTML page, with at most `most` images in each list."""
    wanted = {
        change.path
        for entry in found
        for side in (entry.better, entry.worse)
        for change in side[:most]
    }
    values = {
        "title": "Comparison of " + ", ".join(one.name for one in sides),
        "names": [one.name for one in sides],
        "parameters": differing(sides),
        "metrics": side_by_side(sides),
        "changes": found,
        "most": most,
        "pictures": _pictures(sides[0].revision, sorted(wanted)),
    }
    html.write(Path(__file__).parent / "templates" / "comparison.html", values, path)


def _change(row: pd.Series) -> Change:
    return Change(str(row.name), row["label"], row["finetuned"], row["finetuned_after"])


def _pictures(revision: Revision, names: Sequence[str]) -> dict[str, str]:
    """Return the downloaded images, resized to a tile, as data URLs."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        revision.get([paths.RAW / name for name in names], root)
        return {
            name: html.data_address(image_grid.fit(images.read(root / paths.RAW / name)))
            for name in names
        }


def _revision(name: str) -> Revision:
    try:
        return _named(name)
    except SeedlingsError as error:
        if name == WORKSPACE:
            raise
        revision = _revision_of_run(name)
        if revision is None:
            raise SeedlingsError(
                f"expected an experiment, a revision, a run in MLflow or `{WORKSPACE}`, "
                f"found {name!r}"
            ) from error
        return revision


def _revision_of_run(run_id: str) -> Revision | None:
    """Return the revision of a run in MLflow, by its parent's tags; None for an unknown run."""
    with client.reachable():
        runs = {run.id: run for run in client.Tracker().runs()}
    run = runs.get(run_id)
    if run is None:
        return None
    tags = runs.get(run.tags.get(PARENT, run_id), run).tags
    if LOCK not in tags:
        raise SeedlingsError(f"the run {run_id} is not complete in MLflow: run `seedlings sync`")
    for name in (EXPERIMENT_NAME, COMMIT, WORKSPACE):
        with suppress(SeedlingsError):  # the experiment may have been deleted since
            revision = _named(tags.get(name, name))
            if revision.digest == tags[LOCK]:
                return revision
    raise SeedlingsError(
        f"the revision of the run {run_id} is not in this repository; "
        f"the tag {RESTORE} of the run: {tags.get(RESTORE, 'none')}"
    )


def _named(name: str) -> Revision:
    return all_revisions.current() if name == WORKSPACE else all_revisions.at(name)


def _with_interval(numbers: Mapping[str, float], key: str) -> str:
    value, low = numbers.get(key), numbers.get(f"{key}_low")
    if value is None:
        return ""
    ends = "" if low is None else f" ({low:.4f} to {numbers[f'{key}_high']:.4f})"
    return f"{value:.4f}{ends}"
