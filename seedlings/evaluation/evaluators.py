"""Evaluators: metrics, tables and figures of the models' outputs on the evaluated images.

This is the base class; each task names its evaluator in `seedlings.tasks`.
"""

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.evaluation import metrics, paired_tests
from seedlings.evaluation.params import Evaluate
from seedlings.io import split_table
from seedlings.plots import charts
from seedlings.tasks import Task

Outputs = NDArray[np.float32]
Results = Mapping[str, Outputs]


class Evaluator(ABC):
    """Evaluates models' outputs on the rows of the split `params.split` of a split table."""

    def __init__(self, task: Task, table: pd.DataFrame, params: Evaluate, seed: int) -> None:
        self._task, self._params, self._seed = task, params, seed
        self.names = task.outputs(table["label"])
        targets = task.targets(table["label"])
        self.seen = targets[split_table.rows(table, "train")]
        self.truth = targets[split_table.rows(table, params.split)]
        self.rows = table.iloc[split_table.rows(table, params.split)]
        self.groups = self.rows["group"].to_numpy()

    def score(self, results: Results) -> dict[str, float]:
        """Return the metrics of the models and a trivial model as `name/metric`, and of their test.

        The main metric is the first one, because MLflow compares runs by the first metric. `images`
        and `groups` are the numbers of evaluated images and of their groups, `absent_labels` is
        that of the classes or tags without an evaluated image, if there are any.
        """
        numbers: dict[str, float] = {}
        for name in ("finetuned", "baseline"):
            numbers |= {f"{name}/{key}": v for key, v in self.summary(results[name]).items()}
        numbers |= self._compare(results) | self.trivial()
        numbers |= {"images": float(len(self.rows)), "groups": float(len(set(self.groups)))}
        return numbers | ({"absent_labels": float(self.absent)} if self.absent else {})

    @abstractmethod
    def predictions(self, results: Results) -> pd.DataFrame:
        """Return a row for each evaluated image: path, true label, and each model's prediction."""

    def pairs(self, results: Results) -> pd.DataFrame:
        """Return the columns `label` and one for each model, as categories for a confusion plot."""
        return self.predictions(results)[["label", *results]]

    @abstractmethod
    def table(self, outputs: Outputs) -> pd.DataFrame:
        """Return the metrics of one model for each class, tag or range of values."""

    @abstractmethod
    def draw(self, results: Results, report: Path) -> list[Path]:
        """Draw the figures of all models, and return their paths."""

    @abstractmethod
    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the wrong predictions, the worst first: number in `rows`, and caption."""

    @abstractmethod
    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the correct predictions, the best first: number in `rows`, and caption."""

    def correct_and_wrong(self, outputs: Outputs, most: int) -> list[list[tuple[int, str]]]:
        """Return the best and the worst predictions, at most `most` each, from different labels."""
        right = self._varied(self.successes(outputs), most)
        taken = {row for row, _ in right}
        wrong = (entry for entry in self.mistakes(outputs) if entry[0] not in taken)
        return [right, self._varied(wrong, most)]

    def _varied(self, found: Iterator[tuple[int, str]], most: int) -> list[tuple[int, str]]:
        """Return the first entry of each label, then the second of each, up to `most` entries."""
        turns: dict[str, int] = {}
        ranked = []
        for row, caption in found:
            label = self.rows["label"].iloc[row]
            turns[label] = turns.get(label, 0) + 1
            ranked.append((turns[label], row, caption))
        ranked.sort(key=lambda entry: entry[0])
        return [(row, caption) for _, row, caption in ranked[:most]]

    @property
    def absent(self) -> int:
        """Number of classes or tags without an evaluated image."""
        return 0

    @abstractmethod
    def summary(self, outputs: Outputs) -> dict[str, float]:
        """Return the metrics of one model: those of the task, and the interval of the main one."""

    @abstractmethod
    def trivial(self) -> dict[str, float]:
        """Return the main metric, as `name/metric`, of a model that sees no image."""

    def _compare(self, results: Results) -> dict[str, float]:
        """Return the result of the task's paired test of the two models, as `test/number`."""
        predictions = self.predictions(results)
        first, second = (self._task.scores(predictions, name) for name in ("baseline", "finetuned"))
        if self._task.paired_test == "wilcoxon":
            return {"wilcoxon/p_value": paired_tests.wilcoxon(first, second, self.groups)}
        test = paired_tests.mcnemar(first > 0, second > 0, self.groups)
        return {
            "mcnemar/only_baseline_right": float(test.only_first),
            "mcnemar/only_finetuned_right": float(test.only_second),
            "mcnemar/p_value": test.p_value,
        }

    def _draw_reliability(
        self, confidence: Results, correct: Mapping[str, NDArray[np.bool_]], report: Path
    ) -> list[Path]:
        bins = self._params.calibration_bins
        found = {n: metrics.reliability(confidence[n], correct[n], bins=bins) for n in confidence}
        bars = {name: (b.confidence, b.accuracy, b.count) for name, b in found.items()}
        charts.reliability(bars, report / "reliability.png")
        return [report / "reliability.png"]

    def _draw_roc_pr(self, truth: NDArray[np.bool_], scores: Results, report: Path) -> list[Path]:
        if not truth.any() or truth.all():
            return []  # a curve needs positive and negative labels
        charts.roc_pr_curves(
            truth.ravel(), {n: s.ravel() for n, s in scores.items()}, report / "roc_pr_curves.png"
        )
        return [report / "roc_pr_curves.png"]

    def _bootstrap(self) -> dict[str, Any]:
        return {
            "confidence": self._params.confidence,
            "samples": self._params.bootstrap_samples,
            "rng": np.random.default_rng(self._seed),
        }


def of(task: Task, table: pd.DataFrame, params: Evaluate, seed: int) -> Evaluator:
    """Return the evaluator of a task for the rows of the split `params.split`."""
    kind: type[Evaluator] = pkgutil.resolve_name(task.evaluator)
    return kind(task, table, params, seed)


def score(
    task: Task, table: pd.DataFrame, params: Evaluate, seed: int, results: Results
) -> dict[str, float]:
    """Return the metrics of all models on the images of the split `params.split`, as `name/metric`.

    If groups of duplicates cross the splits, `without_crossing/name/metric` are the same metrics on
    the evaluated images without a duplicate in another split.
    """
    metrics = of(task, table, params, seed).score(results)
    crossing = split_table.crossing(table)[split_table.rows(table, params.split)]
    if not crossing.any() or crossing.all():
        return metrics
    rest = table[~((table["split"] == params.split) & split_table.crossing(table))]
    kept = {name: outputs[~crossing] for name, outputs in results.items()}
    others = of(task, rest, params, seed).score(kept)
    return metrics | {f"without_crossing/{name}": value for name, value in others.items()}


def of_used(table: pd.DataFrame, params: Evaluate, results: Results) -> Results:
    """Return the results for the images of the split `params.split` that are used.

    `results` are those for all images of the split, also for those that were dropped.
    """
    used = split_table.used(table)[(table["split"] == params.split).to_numpy()]
    return {name: outputs[used] for name, outputs in results.items()}


def score_original(
    task: Task, table: pd.DataFrame, params: Evaluate, seed: int, results: Results
) -> dict[str, float]:
    """Return the metrics with the original labels, if labels of the split were corrected.

    `corrected_labels` and `dropped_images` are the numbers of such images in the split
    `params.split`, and `original_labels/name/metric` are the metrics on all images of the split,
    with their labels before the corrections. They are absent if the corrections added or removed a
    class, as the models then have other classes. `results` are those for all images of the split.
    """
    original = split_table.with_original_labels(table)
    rows = table[table["split"] == params.split]
    dropped = ~split_table.used(rows)
    changed = rows["label"].to_numpy() != original.loc[rows.index, "label"].to_numpy()
    if not changed.any():
        return {}
    counts = {
        "corrected_labels": float((changed & ~dropped).sum()),
        "dropped_images": float(dropped.sum()),
    }
    if task.outputs(original["label"]) != task.outputs(table["label"]):
        return counts
    metrics = of(task, original, params, seed).score(results)
    return counts | {f"original_labels/{name}": value for name, value in metrics.items()}
