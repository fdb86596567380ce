"""The evaluator of the task multilabel."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.evaluation import metrics
from seedlings.evaluation.evaluators import Evaluator, Outputs, Results
from seedlings.plots import charts


class TagEvaluator(Evaluator):
    """Evaluates predicted tags: those with an output of at least `evaluate.tag_threshold`."""

    def predictions(self, results: Results) -> pd.DataFrame:
        """Return the path, the label, and each model's tags and their F2."""
        columns = {"path": self.rows["path"], "label": self.rows["label"]}
        for name, outputs in results.items():
            given = self._given(outputs)
            columns[name] = [" ".join(np.array(self.names)[row]) for row in given]
            columns[f"{name}_f2"] = metrics.f2_per_image(self.truth > 0, given).round(6)
        return pd.DataFrame(columns)

    def pairs(self, results: Results) -> pd.DataFrame:
        """Return each tag of each image as `present` or `absent`."""
        words = np.array(["absent", "present"])
        predicted = {n: words[self._given(o).ravel().astype(int)] for n, o in results.items()}
        return pd.DataFrame({"label": words[self.truth.ravel().astype(int)], **predicted})

    def table(self, outputs: Outputs) -> pd.DataFrame:
        """Return precision, recall, F1, F2 and the number of evaluated images of each tag."""
        return metrics.per_tag(self.truth > 0, self._given(outputs), self.names)

    def draw(self, results: Results, report: Path) -> list[Path]:
        """Draw the F2 of each tag, reliability diagrams, ROC and precision-recall curves."""
        columns = {name: self.table(outputs)["f2"].tolist() for name, outputs in results.items()}
        charts.bars(columns, self.names, "F2", report / "tags.png")
        confidence = {name: outputs.ravel() for name, outputs in results.items()}
        truth = dict.fromkeys(results, self.truth.ravel() > 0)
        return [
            report / "tags.png",
            *self._draw_reliability(confidence, truth, report),
            *self._draw_roc_pr(self.truth > 0, results, report),
        ]

    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the images with an F2 below 1 with captions, the lowest first."""
        given = self._given(outputs)
        f2 = metrics.f2_per_image(self.truth > 0, given)
        for row in np.argsort(f2, kind="stable"):
            if f2[row] < 1.0:
                tags = " ".join(np.array(self.names)[given[row]]) or "nothing"
                yield int(row), f"{self.rows['label'].iloc[row]}\nas {tags}\nF2 {f2[row]:.2f}"

    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """Yield the images with all tags correct."""
        for row in np.flatnonzero((self._given(outputs) == (self.truth > 0)).all(axis=1)):
            yield int(row), str(self.rows["label"].iloc[row])

    def _given(self, outputs: Outputs) -> NDArray[np.bool_]:
        return outputs >= self._params.tag_threshold

    def summary(self, outputs: Outputs) -> dict[str, float]:
        """Return `metrics.summarize_tags` of the predicted tags."""
        return metrics.summarize_tags(
            self.truth > 0, self._given(outputs), self.groups, **self._bootstrap()
        )

    @property
    def absent(self) -> int:
        """Number of tags without an evaluated image."""
        return int((~(self.truth > 0).any(axis=0)).sum())

    def trivial(self) -> dict[str, float]:
        """Return the F2 of the tags that at least `tag_threshold` of the training images have."""
        frequent = self.seen.mean(axis=0) >= self._params.tag_threshold
        given = np.broadcast_to(frequent, self.truth.shape)
        return {"majority/f2": float(metrics.f2_per_image(self.truth > 0, given).mean())}
