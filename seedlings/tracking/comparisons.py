"""Comparisons of revisions: parameters and metrics as DVC compares them, and single images."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.evaluation import paired_tests
from seedlings.io import split_table
from seedlings.plots import image_grid
from seedlings.report import html, summaries
from seedlings.tasks import TASKS
from seedlings.tracking import client, outputs, revisions, split_changes
from seedlings.tracking.outputs import WORKSPACE
from seedlings.tracking.revisions import Revision, UnknownRevisionError
from seedlings.tracking.split_changes import SplitChange
from seedlings.tracking.tags import COMMIT, LOCK, PARENT, RESTORE

# The keys that change the split.
_OF_SPLIT = (
    *("seed", "split.", "task"),
    *("data.group", "data.annotations.group", "data.annotations.block"),
)
Table = dict[str, dict[str, Any]]  # by key: the values `old` and `new`
_PREDICTIONS = paths.report("evaluate") / "predictions.csv"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the compared revisions: its parameters, predictions and split table."""

    name: str
    revision: Revision
    predictions: pd.DataFrame  # indexed by path; label, finetuned, baseline, score
    table: pd.DataFrame  # the split table

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by their full keys."""
        return self.revision.params

    @property
    def images(self) -> str:
        """DVC's hash of the downloaded images."""
        return self.revision.outputs[paths.RAW.as_posix()]

    @property
    def split(self) -> str:
        """Evaluated split: `test` or `validation`."""
        return summaries.split(self.params)


@dataclass(frozen=True, slots=True)
class Change:
    """An evaluated image that one fine-tuned model predicts better than the other."""

    path: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The images on which another side differs from the first, and the changed splits."""

    name: str
    images: str  # how the images of the two sides differ
    counts: list[str]  # number and split of the evaluated images of each side
    common: int  # number of images that both evaluate, with the same label
    relabelled: int  # number of images that both evaluate, with different labels
    scores: dict[str, list[str]]  # on these: the main metric of each model, on each side
    same_images: bool  # whether both have the same data, evaluated images and labels
    better: list[Change]
    worse: list[Change]
    groups: int  # number of groups of the images that both evaluate
    gain: float  # of the mean score on these images; above 0 if the other is better
    p_value: float
    is_better: bool  # whether the mean score and the statistic of the test favour the other
    split_changes: list[SplitChange]  # of all images that both have


def side(name: str) -> Side:
    """Return the side of an experiment, a revision, a run in MLflow, or `workspace`, by its name.

    Raises SeedlingsError if there is no such revision, or DVC's cache does not have its reports.
    """
    revision = _revision(name)
    return Side(name, revision, predictions(revision), table(revision))


def predictions(revision: Revision) -> pd.DataFrame:
    """Return predictions.csv of the stage evaluate by the path of the image, with `score`.

    The score of the fine-tuned model for an image is that of the task; higher is better. Raises
    SeedlingsError if DVC has no such file.
    """
    text = {"path": str, "label": str, "finetuned": str, "baseline": str}
    with revision.files([_PREDICTIONS]) as folder:
        found = pd.read_csv(folder / _PREDICTIONS, dtype=text, keep_default_na=False)
    found["score"] = TASKS[revision.params["task"]].scores(found)
    return found.set_index("path")


def table(revision: Revision) -> pd.DataFrame:
    """Return the split table. Raises SeedlingsError if DVC has none."""
    with revision.files([paths.SPLIT]) as folder:
        return split_table.read(folder / paths.SPLIT)


def differing(first: Side, other: Side) -> dict[str, Table]:
    """Return the parameters and the metrics that differ, as `dvc params diff` and `metrics diff`.

    The keys are the titles `Parameters` and `Metrics`.
    """
    commits = [one.revision.commit or WORKSPACE for one in (first, other)]
    with outputs.repository() as repo:
        found = {"Parameters": repo.params.diff(*commits), "Metrics": repo.metrics.diff(*commits)}
    for title, result in found.items():
        if errors := result.get("errors"):
            raise SeedlingsError(f"DVC cannot read the {title.lower()}: {errors}")
    return {title: _rows(result.get("diff", {})) for title, result in found.items()}


def _rows(diff: dict[str, Table]) -> Table:
    return {key: row for rows in diff.values() for key, row in sorted(rows.items())}


def changes(first: Side, other: Side) -> Changes:
    """Return the images that the other fine-tuned model predicts better or worse.

    They are the images that both sides evaluate with the same label, even under another path; the
    result has the paths of the first. They are sorted by the change of their score, largest first.
    The test is that of the task, on groups: images of one group on either side count as one
    observation. Raises SeedlingsError if the tasks are different.
    """
    task = first.params["task"]
    if task != other.params["task"]:
        raise SeedlingsError(
            f"expected revisions of one task, found {task} ({first.name}) and "
            f"{other.params['task']} ({other.name})"
        )
    names = split_changes.match(first.table, other.table)
    after = other.predictions[other.predictions.index.isin(names)].rename(index=names)
    before = first.predictions[first.predictions.index.isin(after.index)]
    after = after.loc[before.index]
    are_common = len(first.predictions) == len(other.predictions) == len(before)
    same = before["label"] == after["label"]
    before, after = before[same], after[same]
    groups = _groups(first, other, names).loc[before.index].to_numpy()
    scores = before["score"].to_numpy(), after["score"].to_numpy()
    test = paired_tests.compare(*scores, groups, test=TASKS[task].paired_test)
    gain = scores[1] - scores[0]
    order = np.argsort(-np.abs(gain), kind="stable")
    found = [(gain[row], _change(before.iloc[row], after.iloc[row])) for row in order if gain[row]]
    mean_gain = float(gain.mean()) if len(gain) else 0.0
    return Changes(
        name=other.name,
        images=split_changes.summary(first.table, other.table),
        counts=[f"{len(one.predictions)} {one.split} images" for one in (first, other)],
        common=len(before),
        relabelled=int((~same).sum()),
        scores=_scores(task, before, after),
        same_images=are_common and bool(same.all()) and first.images == other.images,
        better=[change for by, change in found if by > 0],
        worse=[change for by, change in found if by < 0],
        groups=len(np.unique(groups)),
        gain=mean_gain,
        p_value=test.p_value,
        is_better=mean_gain > 0 and test.is_second_better,
        split_changes=_split_changes(first, other),
    )


def _groups(first: Side, other: Side, names: dict[str, str]) -> pd.Series:
    """Return the group, on either side, of the images that both have, by the first one's paths."""
    ours, theirs = (side.table.set_index("path")["group"] for side in (first, other))
    theirs = theirs[theirs.index.isin(names)].rename(index=names)
    joined = paired_tests.join(ours.loc[theirs.index].to_numpy(), theirs.to_numpy())
    return pd.Series(joined, index=theirs.index)


def _scores(task: str, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, list[str]]:
    """Return the main metric of both models on the predictions of both sides, by its title."""
    rows = {}
    if len(before):
        kind = TASKS[task]
        for model in ("finetuned", "baseline"):
            found = [kind.mean_score(part, model) for part in (before, after)]
            rows[f"{model} {kind.main_metric.title}"] = [f"{value:.4f}" for value in found]
    return rows


def _split_changes(first: Side, other: Side) -> list[SplitChange]:
    """Return the images of both sides whose split changed."""
    params = [one.params for one in (first, other)]
    keys = [key for key in {**params[0], **params[1]} if key.startswith(_OF_SPLIT)]
    return split_changes.find(
        first.table,
        other.table,
        has_classes=TASKS[first.params["task"]].has_classes,
        same_params=all(params[0].get(key) == params[1].get(key) for key in keys),
    )


def write(
    sides: Sequence[Side],
    compared: Sequence[tuple[dict[str, Table], Changes]],
    path: Path,
    most: int = 24,
) -> None:
    """Write the comparisons of the first side with the others as an HTML page.

    `compared` has what `differing` and `changes` return. Each list has at most `most` images.
    """
    lists = [found for _, changes in compared for found in (changes.better, changes.worse)]
    wanted = {change.path for found in lists for change in found[:most]}
    values = {
        "title": "Comparison of " + ", ".join(one.name for one in sides),
        "first": sides[0].name,
        "compared": compared,
        "most": most,
        "pictures": _pictures(sides[0].revision, sorted(wanted)),
    }
    html.write(Path(__file__).parent / "templates" / "comparison.html", values, path)


def _change(before: pd.Series, after: pd.Series) -> Change:
    return Change(str(before.name), before["label"], before["finetuned"], after["finetuned"])


def _pictures(revision: Revision, names: Sequence[str]) -> dict[str, str]:
    """Return the downloaded images, resized to a tile, as data URLs."""
    with revision.files([paths.RAW / name for name in names]) as folder:
        pictures = image_grid.thumbnails(folder / paths.RAW / name for name in names)
    return dict(zip(names, map(html.data_address, pictures), strict=True))


def _revision(name: str) -> Revision:
    try:
        return _named(name)
    except UnknownRevisionError as error:
        with client.reachable():
            tracker = client.Tracker()
            run = tracker.find(name)
            if run and PARENT in run.data.tags:
                run = tracker.find(run.data.tags[PARENT])
        if run is None:
            raise SeedlingsError(
                f"expected an experiment, a revision, a run in MLflow or `{WORKSPACE}`, "
                f"found {name!r}"
            ) from error
        return _revision_of_run(name, run.data.tags)


def _named(name: str) -> Revision:
    return revisions.current() if name == WORKSPACE else revisions.at(name)


def _revision_of_run(run_id: str, tags: dict[str, str]) -> Revision:
    """Return the revision that the tags of a parent run name."""
    if LOCK not in tags:
        raise SeedlingsError(f"the run {run_id} is not complete in MLflow: run `seedlings sync`")
    for name in (tags.get(COMMIT, ""), WORKSPACE):
        with suppress(SeedlingsError):  # the experiment may have been deleted since
            revision = _named(name)
            if revision.digest == tags[LOCK]:
                return revision
    raise SeedlingsError(
        f"the revision of the run {run_id} is not in this repository; "
        f"the tag {RESTORE} of the run: {tags.get(RESTORE, 'none')}"
    )
