"""Evaluations: the metrics and predictions of experiments, read without a checkout."""

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.config import paths, records, reuse
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.report import summaries
from seedlings.search.space import Space
from seedlings.tasks import TASKS
from seedlings.tracking import comparisons, revisions
from seedlings.tracking.revisions import Revision

if TYPE_CHECKING:
    from dvc_data.hashfile.db import HashFileDB

_FILES = ("record.json", "predictions.csv")


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric and its interval; the bounds are None if there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4f} ({summaries.NO_INTERVAL})"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the stage evaluate wrote in one experiment."""

    name: str
    commit: str
    params: dict[str, Any]  # by full keys
    metrics: dict[str, float]
    predictions: pd.DataFrame  # indexed by path; label, finetuned, baseline, score

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.params["task"]

    @property
    def measure(self) -> str:
        """Name of the metric that is the mean score of the images."""
        return TASKS[self.task].main_metric.name

    def score(self, space: Space) -> Score:
        """Return the objective of a search, with its interval."""
        key = space.metric
        return Score(
            self.metrics[key], self.metrics.get(f"{key}_low"), self.metrics.get(f"{key}_high")
        )


def read(names: Iterable[str], baseline: str = "") -> dict[str, Evaluation]:
    """Return the evaluations of experiments or commits, by name.

    With `baseline`, a commit, only the experiments that started from it are known by their names.
    One that is not in this repository, or whose reports neither DVC's cache nor a remote has, is
    absent.
    """
    found = {}
    with reuse.repository() as repo:
        for name in names:
            with suppress(SeedlingsError):
                found[name] = _read(name, baseline, repo.cache.local)
    return found


def groups(evaluation: Evaluation) -> NDArray[np.int64]:
    """Return the number of the group of each evaluated image, from the experiment's split table.

    Raises SeedlingsError if neither DVC's cache nor a remote has the table.
    """
    with tempfile.TemporaryDirectory() as folder:
        revisions.at(evaluation.commit).get([paths.SPLIT], Path(folder))
        table = split_table.read(Path(folder) / paths.SPLIT)
    return table.set_index("path")["group"].loc[evaluation.predictions.index].to_numpy()


def _read(name: str, baseline: str, cache: "HashFileDB") -> Evaluation:
    revision = revisions.at(name, baseline)
    files = _cached(revision, cache)
    if files:
        return _parse(name, revision, files)
    with tempfile.TemporaryDirectory() as folder:
        own = [paths.report("evaluate") / file for file in _FILES]
        revision.get(own, Path(folder))
        return _parse(name, revision, [Path(folder) / path for path in own])


def _cached(revision: Revision, cache: "HashFileDB") -> list[Path] | None:
    """Return the files in DVC's cache, or None if it does not have all of them.

    This is quicker than DVC's file system, which builds an index of each revision.
    """
    if "evaluate" not in revision.lock:
        return None
    digest = revision.hashes("evaluate").get(paths.report("evaluate").as_posix(), "")
    found = reuse.cached(cache, digest)
    return [found[file] for file in _FILES] if found else None


def _parse(name: str, revision: Revision, files: Iterable[Path]) -> Evaluation:
    record, predictions = files
    params = revision.params
    return Evaluation(
        name=name,
        commit=revision.commit,
        params=params,
        metrics=records.read(record).metrics,
        predictions=comparisons.read_predictions(predictions, params["task"]),
    )
