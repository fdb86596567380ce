"""The evaluator of the tasks multiclass and binary."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from seedlings.evaluation import metrics
from seedlings.evaluation.evaluators import Evaluator, Outputs, Results
from seedlings.plots import charts


class ClassEvaluator(Evaluator):
    """Evaluates predictions of one class for each image."""

    def predictions(self, results: Results) -> pd.DataFrame:
        """Return the path, the label, and each model's class and its probability."""
        columns = {"path": self.rows["path"], "label": self.rows["label"]}
        for name, outputs in results.items():
            probabilities = self._task.columns(outputs)
            columns[name] = np.array(self.names)[probabilities.argmax(axis=1)]
            columns[f"{name}_probability"] = probabilities.max(axis=1).round(6)
        return pd.DataFrame(columns)

    def table(self, outputs: Outputs) -> pd.DataFrame:
        """Return precision, recall, F1 and the number of evaluated images of each class."""
        return metrics.per_class(self.truth, self._task.columns(outputs), self.names)

    def draw(self, results: Results, report: Path) -> list[Path]:
        """Draw confusion matrices, reliability diagrams, ROC and precision-recall curves."""
        matrices = {}
        for name, outputs in results.items():
            counts = metrics.confusion(self.truth, self._task.columns(outputs))
            matrices[f"{name}: {np.trace(counts) / counts.sum():.1%} accuracy"] = counts
        charts.confusion_matrices(matrices, self.names, report / "confusion.png")
        probabilities = {name: self._task.columns(outputs) for name, outputs in results.items()}
        confidence = {name: given.max(axis=1) for name, given in probabilities.items()}
        correct = {n: given.argmax(axis=1) == self.truth for n, given in probabilities.items()}
        truth = self.truth[:, None] == np.arange(len(self.names))
        if len(self.names) == 2:  # both classes have the same curves
            truth, probabilities = truth[:, 1:], {n: p[:, 1:] for n, p in probabilities.items()}
        return [
            report / "confusion.png",
            *self._draw_reliability(confidence, correct, report),
            *self._draw_roc_pr(truth, probabilities, report),
        ]

    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the wrong predictions with captions, the most confident first."""
        probabilities = self._task.columns(outputs)
        predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        wrong = np.flatnonzero(predicted != self.truth)
        for row in wrong[np.argsort(-confidence[wrong], kind="stable")]:
            label = self.rows["label"].iloc[row]
            yield int(row), f"{label}\nas {self.names[predicted[row]]}\n{confidence[row]:.0%}"

    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the correct predictions with captions, the most confident first."""
        probabilities = self._task.columns(outputs)
        confidence = probabilities.max(axis=1)
        correct = np.flatnonzero(probabilities.argmax(axis=1) == self.truth)
        for row in correct[np.argsort(-confidence[correct], kind="stable")]:
            yield int(row), f"{self.rows['label'].iloc[row]}\n{confidence[row]:.0%}"

    def summary(self, outputs: Outputs) -> dict[str, float]:
        """Return `metrics.summarize` of the probabilities."""
        return metrics.summarize(
            self.truth,
            self._task.columns(outputs),
            self.groups,
            bins=self._params.calibration_bins,
            confidence=self._params.confidence,
        )

    @property
    def absent(self) -> int:
        """Number of classes without an evaluated image."""
        return len(self.names) - len(np.unique(self.truth))

    def trivial(self) -> dict[str, float]:
        """Return the accuracy of the most frequent class of training."""
        return {"majority/accuracy": metrics.majority_accuracy(self.seen, self.truth)}
