"""Experiments of a search: the trial that an experiment of DVC is."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, records
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.search.space import Space
from seedlings.search.trials import Trial
from seedlings.tasks import TASKS
from seedlings.tracking import revisions

SPLIT = "evaluate.split"
_RECORDS = [paths.record("evaluate"), paths.record("finetune")]


def trial(space: Space, tree: Mapping[str, Any], commit: str, number: int) -> Trial:
    """Return the finished trial that an experiment is, by its commit.

    `tree` has the parameters at the start of the search. Raises SeedlingsError if the experiment is
    not one of this search, or its records are not in DVC's cache.
    """
    revision = revisions.at(commit)
    values = space.active(revision.params)
    expected = params.flatten(tree) | values | {SPLIT: "validation"}
    different = {k for k, v in expected.items() if revision.params.get(k, v) != v}
    different |= {k for k, v in values.items() if not space.parameters[k].has(v)}
    if different:
        names = ", ".join(sorted(different))
        raise SeedlingsError(
            f"the experiment {revision.name} is not of this search, as its {names} differs; choose "
            "another --name, or remove it with `dvc exp remove`"
        )
    with tempfile.TemporaryDirectory() as folder:
        revision.get(_RECORDS, Path(folder))
        return result(space, Trial(number, values), Path(folder), revision.commit)


def is_test_of(space: Space, best: Trial, commit: str | None) -> bool:
    """Return whether an experiment, by its commit, is a trial, evaluated on test images."""
    return commit is not None and has_tested(space, best, revisions.at(commit).params)


def has_tested(space: Space, best: Trial, known: Mapping[str, Any]) -> bool:
    """Return whether parameters, by full keys, are those of a trial, evaluated on test images."""
    return summaries.split(known) == "test" and space.active(known) == best.values


def result(space: Space, running: Trial, folder: Path, commit: str = "") -> Trial:
    """Return a trial as finished, with what the records in a folder of the project say."""
    evaluated, trained = (records.read(folder / path) for path in _RECORDS)
    return Trial(
        running.number,
        running.values,
        "finished",
        value=evaluated.metrics[space.metric],
        low=evaluated.metrics.get(f"{space.metric}_low"),
        high=evaluated.metrics.get(f"{space.metric}_high"),
        curve=curve(space, trained.params["task"], _rows(trained.curves)),
        experiment=commit,
    )


def curve(space: Space, task: str, epochs: Sequence[Mapping[str, float]]) -> list[float]:
    """Return what the pruner compares after each epoch: the metric of the task on validation.

    Its sign changes if the objective is minimised and the metric is better when higher, or the
    other way round.
    """
    kind = TASKS[task]
    sign = 1.0 if kind.main_metric.is_higher_better == space.maximizes else -1.0
    return [sign * values[f"val_{kind.epoch_metric}"] for values in epochs]


def _rows(curves: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    return [dict(zip(curves, row, strict=True)) for row in zip(*curves.values(), strict=True)]
