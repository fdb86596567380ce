"""Evaluators: the results of models on the test images as numbers, tables and figures.

Here is what all of them share; each task has its own in `classes`, `tags` or `numbers`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.evaluation import metrics
from seedlings.evaluation.params import Evaluate
from seedlings.io import split_table
from seedlings.plots import charts
from seedlings.tasks import Task

Outputs = NDArray[np.float32]
Results = Mapping[str, Outputs]


class Evaluator(ABC):
    """The test rows of a split, against which models' outputs are held."""

    def __init__(self, task: Task, table: pd.DataFrame, params: Evaluate, seed: int) -> None:
        self._task, self._params, self._seed = task, params, seed
        self.names = task.outputs(table["label"])
        targets = task.targets(table["label"])
        self.seen = targets[split_table.rows(table, "train")]
        self.truth = targets[split_table.rows(table, "test")]
        self.rows = table.iloc[split_table.rows(table, "test")]

    def score(self, results: Results) -> dict[str, float]:
        """The numbers of every model, as `name/metric`, of a trivial one, and their comparison.

        The headline comes first: MLflow draws its comparison of runs with the first one.
        """
        numbers: dict[str, float] = {}
        for name in ("finetuned", "baseline"):
            numbers |= {f"{name}/{key}": v for key, v in self._summary(results[name]).items()}
        numbers |= self._compare(results["baseline"], results["finetuned"]) | self._trivial()
        return numbers | {"images": float(len(self.rows))}

    @abstractmethod
    def predictions(self, results: Results) -> pd.DataFrame:
        """One row a test image: path, true label, and what each model says of it."""

    @abstractmethod
    def pairs(self, results: Results) -> pd.DataFrame:
        """Columns `label` and one a model, of few values each, for a confusion plot."""

    @abstractmethod
    def table(self, outputs: Outputs) -> pd.DataFrame:
        """The numbers of each class, tag or range of values."""

    @abstractmethod
    def draw(self, results: Results, report: Path) -> list[Path]:
        """Draw the models' results side by side; returns the pictures' paths."""

    @abstractmethod
    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The worst mistakes first: a row of the test, and what to say of it."""

    @abstractmethod
    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The best answers first, as `mistakes` gives the worst."""

    def correct_and_wrong(self, outputs: Outputs, most: int) -> list[list[tuple[int, str]]]:
        """The best and the worst answers, at most `most` of each, of as many labels as can be."""
        right = self._varied(self.successes(outputs), most)
        taken = {row for row, _ in right}
        wrong = (entry for entry in self.mistakes(outputs) if entry[0] not in taken)
        return [right, self._varied(wrong, most)]

    def _varied(self, found: Iterator[tuple[int, str]], most: int) -> list[tuple[int, str]]:
        """What was found in its order, but each label's first before any label's second."""
        turns: dict[str, int] = {}
        ranked = []
        for row, caption in found:
            label = self.rows["label"].iloc[row]
            turns[label] = turns.get(label, 0) + 1
            ranked.append((turns[label], row, caption))
        ranked.sort(key=lambda entry: entry[0])
        return [(row, caption) for _, row, caption in ranked[:most]]

    @abstractmethod
    def _summary(self, outputs: Outputs) -> dict[str, float]: ...

    @abstractmethod
    def _trivial(self) -> dict[str, float]: ...

    @abstractmethod
    def _compare(self, baseline: Outputs, finetuned: Outputs) -> dict[str, float]: ...

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

    def _interval(self) -> dict[str, Any]:
        return {
            "confidence": self._params.confidence,
            "samples": self._params.bootstrap_samples,
            "rng": np.random.default_rng(self._seed),
        }
