"""The evaluator of the task regression."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.evaluation import metrics
from seedlings.evaluation.evaluators import Evaluator, Outputs, Results
from seedlings.plots import charts

_BINS = 10


class NumberEvaluator(Evaluator):
    """Evaluates predictions of one number for each image."""

    def predictions(self, results: Results) -> pd.DataFrame:
        """Return the path, the label, and each model's number."""
        values = {name: outputs[:, 0].round(6) for name, outputs in results.items()}
        return pd.DataFrame({"path": self.rows["path"], "label": self.truth[:, 0], **values})

    def pairs(self, results: Results) -> pd.DataFrame:
        """Return the values as ranges: ten of equal width between the extremes of the labels."""
        columns = {"label": self.truth, **results}
        return pd.DataFrame({name: self._ranges()[self._bin(v)] for name, v in columns.items()})

    def table(self, outputs: Outputs) -> pd.DataFrame:
        """Return the mean absolute error, the mean error and the image count of each range."""
        error = outputs[:, 0] - self.truth[:, 0]
        errors = pd.DataFrame({"bin": self._bin(self.truth), "mae": np.abs(error), "bias": error})
        table = errors.groupby("bin").agg(
            mae=("mae", "mean"), bias=("bias", "mean"), images=("mae", "size")
        )
        table.insert(0, "range", self._ranges()[table.index])
        return table

    def draw(self, results: Results, report: Path) -> list[Path]:
        """Draw the true against the predicted values, and return the path of the figure."""
        points = {name: outputs[:, 0] for name, outputs in results.items()}
        charts.predicted_against_true(points, self.truth[:, 0], report / "predicted.png")
        return [report / "predicted.png"]

    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield all predictions with captions, the largest absolute error first."""
        predicted, truth = outputs[:, 0], self.truth[:, 0]
        for row in np.argsort(-np.abs(predicted - truth), kind="stable"):
            yield int(row), f"{truth[row]:.4g}\nas {predicted[row]:.4g}"

    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the half of the predictions with the smaller errors, the smallest first."""
        ranked = list(self.mistakes(outputs))
        yield from reversed(ranked[len(ranked) // 2 :])

    def _bin(self, values: NDArray) -> NDArray[np.int64]:
        edges = np.linspace(self.truth.min(), self.truth.max(), _BINS + 1)
        return np.digitize(values[:, 0], edges[1:-1])

    def _ranges(self) -> NDArray[np.str_]:
        edges = np.linspace(self.truth.min(), self.truth.max(), _BINS + 1)
        spans = enumerate(pairwise(edges))
        return np.array([f"{n}: {low:.3g} to {high:.3g}" for n, (low, high) in spans])

    def summary(self, outputs: Outputs) -> dict[str, float]:
        """Return `metrics.summarize_numbers` of the predicted numbers."""
        return metrics.summarize_numbers(
            self.truth[:, 0], outputs[:, 0], self.groups, **self._bootstrap()
        )

    def trivial(self) -> dict[str, float]:
        """Return the errors of the mean of the training images."""
        constant = np.full(len(self.truth), self.seen.mean())
        return {
            f"mean/{name}": value
            for name, value in metrics.errors(self.truth[:, 0], constant).items()
        }
