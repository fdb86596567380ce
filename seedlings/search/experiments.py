"""Experiments of a search: what an experiment of DVC says about its trial."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, records
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.search.space import Space
from seedlings.search.trials import Params
from seedlings.tasks import TASKS
from seedlings.tracking.revisions import Revision

RECORDS = [paths.record("evaluate"), paths.record("finetune")]


def parameters(space: Space, tree: Mapping[str, Any], revision: Revision) -> Params:
    """Return the parameters of the trial that an experiment is.

    `tree` has the parameters at the start of the search. Raises SeedlingsError if the experiment is
    not one of this search.
    """
    found = space.active(revision.params)
    others = {key: value for key, value in revision.params.items() if key not in found}
    expected = params.flatten(tree) | {"evaluate.split": "validation"}
    different = [key for key, value in others.items() if expected.get(key, value) != value]
    reason = f"its {', '.join(sorted(different))} differs" if different else ""
    try:
        space.trial(found)
    except ValueError as error:
        reason = f"its parameters {found} are not in the space: {error}"
    if reason:
        raise SeedlingsError(
            f"the experiment {revision.name} is not of this search, as {reason}; choose another "
            "--name, or remove it with `dvc exp remove`"
        )
    return found


def results(space: Space, task: str, folder: Path) -> tuple[dict[str, float], list[float]]:
    """Return the objective with its interval, and the curve, from the records in a folder."""
    evaluated, trained = (records.read(folder / path) for path in RECORDS)
    metrics = {k: v for k, v in evaluated.metrics.items() if k.startswith(space.metric)}
    names, columns = trained.curves.keys(), trained.curves.values()
    epochs = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return metrics, curve(space, task, epochs)


def curve(space: Space, task: str, epochs: Sequence[Mapping[str, float]]) -> list[float]:
    """Return what the pruner compares after each epoch: the metric of the task on validation.

    Its sign changes if the objective is minimised and the metric is better when higher, or the
    other way round.
    """
    kind = TASKS[task]
    sign = 1.0 if kind.main_metric.is_higher_better == space.maximizes else -1.0
    return [sign * values[f"val_{kind.epoch_metric}"] for values in epochs]


def has_tested(space: Space, best: Params, known: Mapping[str, Any]) -> bool:
    """Return whether parameters, by full keys, are those of a trial, evaluated on test images."""
    return summaries.split(known) == "test" and space.active(known) == best
