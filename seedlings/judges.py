"""Judges: the models' results on the test images as numbers, tables and pictures, by task."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import charts, metrics, splits
from seedlings.params import Evaluate
from seedlings.tasks import Task

_BINS = 10

Outputs = NDArray[np.float32]
Results = Mapping[str, Outputs]


def of(task: Task, table: pd.DataFrame, params: Evaluate, seed: int) -> "Judge":
    """The judge of the task."""
    if task.has_classes:
        return OfClasses(task, table, params, seed)
    return (OfTags if task.name == "multilabel" else OfNumbers)(task, table, params, seed)


class Judge(ABC):
    """The test rows of a split, against which models' outputs are held."""

    def __init__(self, task: Task, table: pd.DataFrame, params: Evaluate, seed: int) -> None:
        self._task, self._params, self._seed = task, params, seed
        self.names = task.outputs(table["label"])
        targets = task.targets(table["label"])
        self.seen = targets[splits.rows(table, "train")]
        self.truth = targets[splits.rows(table, "test")]
        self.rows = table.iloc[splits.rows(table, "test")]

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

    def right_and_wrong(self, outputs: Outputs, most: int) -> list[list[tuple[int, str]]]:
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

    def _draw_probabilities(
        self, sure: Results, right: Mapping[str, NDArray[np.bool_]], report: Path
    ) -> list[Path]:
        bins = self._params.calibration_bins
        found = {n: metrics.reliability(sure[n], right[n], bins=bins) for n in sure}
        charts.reliability(found, report / "reliability.png")
        return [report / "reliability.png"]

    def _draw_trade_offs(
        self, truth: NDArray[np.bool_], scores: Results, report: Path
    ) -> list[Path]:
        if not truth.any() or truth.all():
            return []  # there is nothing to trade
        found = {name: metrics.trade_off(truth, outputs) for name, outputs in scores.items()}
        charts.trade_offs(found, report / "trade_offs.png")
        return [report / "trade_offs.png"]

    def _interval(self) -> dict[str, Any]:
        return {
            "confidence": self._params.confidence,
            "samples": self._params.bootstrap_samples,
            "rng": np.random.default_rng(self._seed),
        }


class OfClasses(Judge):
    """Several classes, or two."""

    def predictions(self, results: Results) -> pd.DataFrame:
        """Each model's class and its probability."""
        columns = {"path": self.rows["path"], "label": self.rows["label"]}
        for name, outputs in results.items():
            probabilities = self._task.columns(outputs)
            columns[name] = self._called(probabilities)
            columns[f"{name}_probability"] = probabilities.max(axis=1).round(6)
        return pd.DataFrame(columns)

    def pairs(self, results: Results) -> pd.DataFrame:
        """The classes."""
        called = {name: self._called(self._task.columns(o)) for name, o in results.items()}
        return pd.DataFrame({"label": self.rows["label"], **called})

    def table(self, outputs: Outputs) -> pd.DataFrame:
        """Precision, recall, F1 and the number of test images of each class."""
        return metrics.per_class(self.truth, self._task.columns(outputs), self.names)

    def draw(self, results: Results, report: Path) -> list[Path]:
        """The confusion matrices, reliability, ROC and precision-recall."""
        matrices = {}
        for name, outputs in results.items():
            counts = metrics.confusion(self.truth, self._task.columns(outputs))
            matrices[f"{name}: {np.trace(counts) / counts.sum():.1%} accuracy"] = counts
        charts.confusion(matrices, self.names, report / "confusion.png")
        probabilities = {name: self._task.columns(outputs) for name, outputs in results.items()}
        sure = {name: given.max(axis=1) for name, given in probabilities.items()}
        right = {n: given.argmax(axis=1) == self.truth for n, given in probabilities.items()}
        truth = self.truth[:, None] == np.arange(len(self.names))
        if len(self.names) == 2:  # the curves of one class against the other, not of both
            truth, probabilities = truth[:, 1:], {n: p[:, 1:] for n, p in probabilities.items()}
        return [
            report / "confusion.png",
            *self._draw_probabilities(sure, right, report),
            *self._draw_trade_offs(truth, probabilities, report),
        ]

    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The surest first."""
        probabilities = self._task.columns(outputs)
        predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        wrong = np.flatnonzero(predicted != self.truth)
        for row in wrong[np.argsort(-sure[wrong], kind="stable")]:
            label = self.rows["label"].iloc[row]
            yield int(row), f"{label}\nas {self.names[predicted[row]]}\n{sure[row]:.0%}"

    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The surest first."""
        probabilities = self._task.columns(outputs)
        sure = probabilities.max(axis=1)
        right = np.flatnonzero(probabilities.argmax(axis=1) == self.truth)
        for row in right[np.argsort(-sure[right], kind="stable")]:
            yield int(row), f"{self.rows['label'].iloc[row]}\n{sure[row]:.0%}"

    def _called(self, probabilities: Outputs) -> NDArray[np.str_]:
        return np.array(self.names)[probabilities.argmax(axis=1)]

    def _summary(self, outputs: Outputs) -> dict[str, float]:
        bins = self._params.calibration_bins
        return metrics.summarize(
            self.truth, self._task.columns(outputs), bins=bins, **self._interval()
        )

    def _trivial(self) -> dict[str, float]:
        return {"majority/accuracy": metrics.majority_accuracy(self.seen, self.truth)}

    def _compare(self, baseline: Outputs, finetuned: Outputs) -> dict[str, float]:
        first, second = (
            self._task.columns(outputs).argmax(axis=1) == self.truth
            for outputs in (baseline, finetuned)
        )
        test = metrics.mcnemar(first, second)
        return {
            "mcnemar/only_baseline_right": float(test.only_first),
            "mcnemar/only_finetuned_right": float(test.only_second),
            "mcnemar/p_value": test.p_value,
        }


class OfTags(Judge):
    """Several tags an image; one is given where its output reaches `evaluate.tag_threshold`."""

    def predictions(self, results: Results) -> pd.DataFrame:
        """Each model's tags, and the F2 of the image."""
        columns = {"path": self.rows["path"], "label": self.rows["label"]}
        for name, outputs in results.items():
            given = self._given(outputs)
            columns[name] = [" ".join(np.array(self.names)[row]) for row in given]
            columns[f"{name}_f2"] = metrics.f2_per_image(self.truth > 0, given).round(6)
        return pd.DataFrame(columns)

    def pairs(self, results: Results) -> pd.DataFrame:
        """Every tag of every image: present or absent."""
        words = np.array(["absent", "present"])
        called = {n: words[self._given(o).ravel().astype(int)] for n, o in results.items()}
        return pd.DataFrame({"label": words[self.truth.ravel().astype(int)], **called})

    def table(self, outputs: Outputs) -> pd.DataFrame:
        """Precision, recall, F1, F2 and the number of test images of each tag."""
        return metrics.per_tag(self.truth > 0, self._given(outputs), self.names)

    def draw(self, results: Results, report: Path) -> list[Path]:
        """The F2 of each tag, reliability, ROC and precision-recall."""
        columns = {name: self.table(outputs)["f2"].tolist() for name, outputs in results.items()}
        charts.bars(columns, self.names, "F2", report / "tags.png")
        sure = {name: outputs.ravel() for name, outputs in results.items()}
        truth = dict.fromkeys(results, self.truth.ravel() > 0)
        return [
            report / "tags.png",
            *self._draw_probabilities(sure, truth, report),
            *self._draw_trade_offs(self.truth > 0, results, report),
        ]

    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The images of the lowest F2 first."""
        given = self._given(outputs)
        f2 = metrics.f2_per_image(self.truth > 0, given)
        for row in np.argsort(f2, kind="stable"):
            if f2[row] < 1.0:
                tags = " ".join(np.array(self.names)[given[row]]) or "nothing"
                yield int(row), f"{self.rows['label'].iloc[row]}\nas {tags}\nF2 {f2[row]:.2f}"

    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The images of which all tags are right."""
        for row in np.flatnonzero((self._given(outputs) == (self.truth > 0)).all(axis=1)):
            yield int(row), str(self.rows["label"].iloc[row])

    def _given(self, outputs: Outputs) -> NDArray[np.bool_]:
        return outputs >= self._params.tag_threshold

    def _summary(self, outputs: Outputs) -> dict[str, float]:
        return metrics.summarize_tags(self.truth > 0, self._given(outputs), **self._interval())

    def _trivial(self) -> dict[str, float]:
        frequent = self.seen.mean(axis=0) >= self._params.tag_threshold
        given = np.broadcast_to(frequent, self.truth.shape)
        return {"majority/f2": float(metrics.f2_per_image(self.truth > 0, given).mean())}

    def _compare(self, baseline: Outputs, finetuned: Outputs) -> dict[str, float]:
        first, second = (
            metrics.f2_per_image(self.truth > 0, self._given(o)) for o in (baseline, finetuned)
        )
        return {"wilcoxon/p_value": metrics.wilcoxon(first, second)}


class OfNumbers(Judge):
    """One number an image."""

    def predictions(self, results: Results) -> pd.DataFrame:
        """Each model's number."""
        values = {name: outputs[:, 0].round(6) for name, outputs in results.items()}
        return pd.DataFrame({"path": self.rows["path"], "label": self.truth[:, 0], **values})

    def pairs(self, results: Results) -> pd.DataFrame:
        """Ten ranges of equal width between the smallest and the greatest true value."""
        columns = {"label": self.truth, **results}
        return pd.DataFrame({name: self._ranges()[self._bin(v)] for name, v in columns.items()})

    def table(self, outputs: Outputs) -> pd.DataFrame:
        """The errors in each of the ten ranges."""
        error = outputs[:, 0] - self.truth[:, 0]
        errors = pd.DataFrame({"bin": self._bin(self.truth), "mae": np.abs(error), "bias": error})
        table = errors.groupby("bin").agg(
            mae=("mae", "mean"), bias=("bias", "mean"), images=("mae", "size")
        )
        table.insert(0, "range", self._ranges()[table.index])
        return table

    def draw(self, results: Results, report: Path) -> list[Path]:
        """Predicted against true."""
        points = {name: outputs[:, 0] for name, outputs in results.items()}
        charts.predicted_against_true(points, self.truth[:, 0], report / "predicted.png")
        return [report / "predicted.png"]

    def mistakes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The greatest errors first."""
        predicted, truth = outputs[:, 0], self.truth[:, 0]
        for row in np.argsort(-np.abs(predicted - truth), kind="stable"):
            yield int(row), f"{truth[row]:.4g}\nas {predicted[row]:.4g}"

    def successes(self, outputs: Outputs) -> Iterator[tuple[int, str]]:
        """The smaller half of the errors, the smallest first."""
        ranked = list(self.mistakes(outputs))
        yield from reversed(ranked[len(ranked) // 2 :])

    def _bin(self, values: NDArray) -> NDArray[np.int64]:
        edges = np.linspace(self.truth.min(), self.truth.max(), _BINS + 1)
        return np.digitize(values[:, 0], edges[1:-1])

    def _ranges(self) -> NDArray[np.str_]:
        edges = np.linspace(self.truth.min(), self.truth.max(), _BINS + 1)
        spans = enumerate(pairwise(edges))
        return np.array([f"{n}: {low:.3g} to {high:.3g}" for n, (low, high) in spans])

    def _summary(self, outputs: Outputs) -> dict[str, float]:
        return metrics.summarize_numbers(self.truth[:, 0], outputs[:, 0], **self._interval())

    def _trivial(self) -> dict[str, float]:
        constant = np.full(len(self.truth), self.seen.mean())
        return {
            f"mean/{name}": value
            for name, value in metrics.errors(self.truth[:, 0], constant).items()
        }

    def _compare(self, baseline: Outputs, finetuned: Outputs) -> dict[str, float]:
        first, second = (np.abs(o - self.truth)[:, 0] for o in (baseline, finetuned))
        return {"wilcoxon/p_value": metrics.wilcoxon(first, second)}
