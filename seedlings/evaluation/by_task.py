"""The evaluator of each task, and the metrics with and without crossing duplicates."""

import pandas as pd

from seedlings.evaluation.classes import ClassEvaluator
from seedlings.evaluation.evaluators import Evaluator, Results
from seedlings.evaluation.numbers import NumberEvaluator
from seedlings.evaluation.params import Evaluate
from seedlings.evaluation.tags import TagEvaluator
from seedlings.io import split_table
from seedlings.tasks import TASKS

EVALUATORS: dict[str, type[Evaluator]] = {
    "multiclass": ClassEvaluator,
    "binary": ClassEvaluator,
    "multilabel": TagEvaluator,
    "regression": NumberEvaluator,
}


def evaluator(task: str, table: pd.DataFrame, params: Evaluate, seed: int) -> Evaluator:
    """Return the evaluator of a task for the rows of the split `params.on`."""
    return EVALUATORS[task](TASKS[task], table, params, seed)


def score(
    task: str, table: pd.DataFrame, params: Evaluate, seed: int, results: Results
) -> dict[str, float]:
    """Return the metrics of all models on the images of the split `params.on`, as `name/metric`.

    If groups of duplicates cross the splits, `without_crossing/name/metric` are the same metrics on
    the evaluated images without a duplicate in another split.
    """
    metrics = evaluator(task, table, params, seed).score(results)
    crossing = split_table.crossing(table)[split_table.rows(table, params.on)]
    if not crossing.any() or crossing.all():
        return metrics
    rest = table[~((table["split"] == params.on) & split_table.crossing(table))]
    kept = {name: outputs[~crossing] for name, outputs in results.items()}
    others = evaluator(task, rest, params, seed).score(kept)
    return metrics | {f"without_crossing/{name}": value for name, value in others.items()}
