"""Tasks: what a model predicts for an image, and everything that depends on it.

One class a task: its targets, outputs, loss and answers; the metrics of the stage evaluate with
their titles and bounds; its evaluator, and the test that compares two models. Labels in the split
table are text: a class, tags separated by spaces, or a number; the image of an empty label is not
used.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import answers
from seedlings.errors import SeedlingsError

Targets = NDArray[Any]
Direction = tuple[str, int, float]  # name, index of the output, sign (1 or -1)

_BINS = 10
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_LARGEST = 1e18  # the sum of the squared errors of a batch fits into float32


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the stage evaluate: its name in the record, its title, and its bounds."""

    name: str
    title: str
    worst: float = 0.0
    best: float = 1.0
    hugging_face: str = ""  # its identifier there, if it has one

    @property
    def is_higher_better(self) -> bool:
        """Whether a higher value is better."""
        return self.best > self.worst

    @property
    def is_share(self) -> bool:
        """Whether the values are between 0 and 1."""
        return {self.worst, self.best} == {0.0, 1.0}


class Task(ABC):
    """What a model predicts for an image."""

    name: str
    hugging_face = "image-classification"  # its identifier there
    loss: str  # the name in Keras
    activation: str  # of the last layer
    epoch_metric: str  # the name in the log of each epoch; better in the direction of `main_metric`
    epoch_metric_class: str  # the class in `keras.metrics`
    metrics: tuple[Metric, ...]  # of the stage evaluate; the first is the main one
    label_metric: Metric  # by which the report sorts classes, tags or ranges
    # `module:class`, imported by the stages that evaluate; the others do not depend on it.
    evaluator: str
    has_classes = False  # whether each image has exactly one class
    paired_test = "wilcoxon"  # or "mcnemar": the test of two models on the same images
    answer_form: str  # see answers.FORMS
    # The types of the columns of `answers`; "numbers" is a dictionary by the names of the outputs.
    answer_types: ClassVar[Mapping[str, str]]

    @property
    def main_metric(self) -> Metric:
        """The metric with an interval, and of which `scores` has the share of each image."""
        return self.metrics[0]

    @abstractmethod
    def outputs(self, labels: pd.Series) -> list[str]:
        """Return the names of the outputs, sorted; the only output of regression is `value`."""

    @abstractmethod
    def targets(self, labels: pd.Series) -> Targets:
        """Return the training targets, one row for each label."""

    @abstractmethod
    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """Return the stratum of each label, by which tables and figures group the images.

        The split draws all groups of images alike, so a stratum has its share of a split only on
        average; see data.splits for the classes and tags that each split has.
        """

    def tags(self, label: str) -> list[str]:
        """Return the tags in a label; none for a task without tags."""
        return []

    def directions(self, names: Sequence[str]) -> list[Direction]:
        """Return the possible predictions: a name, the number of the output, and a sign.

        `names` are those of `outputs`. The sign is -1 if a low output predicts the name, else 1.
        """
        return [(name, unit, 1.0) for unit, name in enumerate(names)]

    def columns(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the outputs of the last layer (N x units) as one column for each of `outputs`."""
        return outputs

    def groups(self, labels: pd.Series) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield the name and the row numbers of each stratum, sorted by name."""
        used = np.flatnonzero((labels != "").to_numpy())
        strata = self.strata(labels.iloc[used])
        for name in np.unique(strata):
            yield str(name), used[strata == name]

    def shares(self, labels: pd.Series) -> dict[str, float]:
        """Return the share (0..1) of the labels with each class or tag, sorted; 6 digits of it."""
        found = pd.Series([name for label in labels for name in self.names(label)], dtype=str)
        counts = found.value_counts().sort_index() / len(labels)
        return {str(name): round(float(share), 6) for name, share in counts.items()}

    def units(self, labels: pd.Series) -> int:
        """Return the number of units of the last layer."""
        return len(self.outputs(labels))

    def names(self, label: str) -> list[str]:
        """Return the names of the classes or tags in a label; none for a number."""
        return [label] if self.has_classes else self.tags(label)

    def canonical(self, label: str) -> str:
        """Return one text for all spellings of a label."""
        return label

    def problem(self, label: str) -> str | None:
        """Return why a text is not a label of this task, or None."""
        return None if label.strip() else "has no label"

    def answers(
        self, outputs: NDArray[Any], names: Sequence[str], threshold: float
    ) -> dict[str, list[Any]]:
        """Return the columns of `answer_types` for N rows of outputs; see answers.in_form."""
        return answers.in_form(self.answer_form, outputs, names, threshold)

    @abstractmethod
    def scores(self, predictions: pd.DataFrame, model: str = "finetuned") -> NDArray[np.float64]:
        """Return the score of a model for each evaluated image; higher is better.

        `predictions` are those of the stage evaluate, with the columns `label` and `model` as text,
        and for tags the numbers `{model}_f2`.
        """

    def mean_score(self, predictions: pd.DataFrame, model: str) -> float:
        """Return the main metric of a model on some rows of `predictions`; see `scores`."""
        mean = float(self.scores(predictions, model).mean())
        return mean if self.main_metric.is_higher_better else -mean


class Multiclass(Task):
    """One of several classes: a softmax. Targets: N int64, the index of the sorted class."""

    name, loss, activation = "multiclass", "sparse_categorical_crossentropy", "softmax"
    epoch_metric, epoch_metric_class = "accuracy", "SparseCategoricalAccuracy"
    metrics = (
        Metric("accuracy", "accuracy", hugging_face="accuracy"),
        Metric("macro_f1", "macro F1", hugging_face="f1"),
        Metric("weighted_f1", "weighted F1", hugging_face="f1"),
        Metric("log_loss", "log loss", worst=math.inf, best=0.0),
        Metric("calibration_error", "calibration error", worst=1.0, best=0.0),
    )
    label_metric = Metric("f1", "F1")
    evaluator = "seedlings.evaluation.classes:ClassEvaluator"
    has_classes = True
    paired_test = "mcnemar"
    answer_form = "classes"
    answer_types: ClassVar = {
        "prediction": "text",
        "probability": "number",
        "probabilities": "numbers",
    }

    def outputs(self, labels: pd.Series) -> list[str]:
        """Return the classes, sorted."""
        return sorted(set(labels) - {""})

    def targets(self, labels: pd.Series) -> NDArray[np.int64]:
        """Return the index of the class of each label; -1 for an empty one."""
        return pd.Index(self.outputs(labels)).get_indexer(labels).astype(np.int64)

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """Return the classes as strata."""
        return labels.to_numpy(dtype=str)

    def scores(self, predictions: pd.DataFrame, model: str = "finetuned") -> NDArray[np.float64]:
        """Return 1 for a correct class, else 0."""
        return (predictions[model] == predictions["label"]).to_numpy(dtype=np.float64)


class Binary(Multiclass):
    """One of two classes: one sigmoid, the probability of the second class by name."""

    name, loss, activation = "binary", "binary_crossentropy", "sigmoid"
    epoch_metric_class = "BinaryAccuracy"
    answer_form = "two_classes"

    def directions(self, names: Sequence[str]) -> list[Direction]:
        """Return the first class with the sign -1, and the second with the sign 1."""
        first, second = names
        return [(first, 0, -1.0), (second, 0, 1.0)]

    def columns(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities of both classes; see answers.both_classes."""
        return answers.both_classes(outputs)

    def units(self, labels: pd.Series) -> int:
        """Return 1. Raises SeedlingsError if there are not two classes."""
        classes = self.outputs(labels)
        if len(classes) != 2:
            raise SeedlingsError(
                f"task is `binary`: expected two classes, found {len(classes)} "
                f"({', '.join(classes[:5])}); use the task `multiclass`"
            )
        return 1


class Multilabel(Task):
    """Several tags: a sigmoid for each. Targets: N x tags float32, 1 for a tag of the image."""

    name, loss, activation = "multilabel", "binary_crossentropy", "sigmoid"
    epoch_metric, epoch_metric_class = "binary_accuracy", "BinaryAccuracy"
    metrics = (
        Metric("f2", "F2"),
        Metric("macro_f1", "macro F1", hugging_face="f1"),
        Metric("micro_f1", "micro F1", hugging_face="f1"),
        Metric("exact_match", "exact match", hugging_face="exact_match"),
    )
    label_metric = metrics[0]
    evaluator = "seedlings.evaluation.tags:TagEvaluator"
    answer_form = "tags"
    answer_types: ClassVar = {"prediction": "text", "probabilities": "numbers"}

    def outputs(self, labels: pd.Series) -> list[str]:
        """Return the tags, sorted."""
        return sorted({tag for label in labels for tag in self.tags(label)})

    def tags(self, label: str) -> list[str]:
        """Return the tags, which are separated by spaces."""
        return label.split()

    def canonical(self, label: str) -> str:
        """Return the tags, sorted, each once."""
        return " ".join(sorted(set(label.split())))

    def targets(self, labels: pd.Series) -> NDArray[np.float32]:
        """Return 1 for each tag of an image, else 0."""
        place = {tag: number for number, tag in enumerate(self.outputs(labels))}
        targets = np.zeros((len(labels), len(place)), np.float32)
        for row, label in enumerate(labels):
            targets[row, [place[tag] for tag in label.split()]] = 1.0
        return targets

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """Return the rarest tag of each image."""
        frequency = pd.Series([tag for label in labels for tag in label.split()]).value_counts()
        return np.array([min(label.split(), key=lambda t: (frequency[t], t)) for label in labels])

    def scores(self, predictions: pd.DataFrame, model: str = "finetuned") -> NDArray[np.float64]:
        """Return the F2 of each image."""
        return predictions[f"{model}_f2"].to_numpy(dtype=np.float64)


class Regression(Task):
    """A number; a linear output, with the mean squared error. Targets: N x 1 float32."""

    name, loss, activation = "regression", "mean_squared_error", "linear"
    hugging_face = "image-regression"
    epoch_metric, epoch_metric_class = "mean_absolute_error", "MeanAbsoluteError"
    metrics = (
        Metric("mae", "MAE", worst=math.inf, best=0.0, hugging_face="mae"),
        Metric("rmse", "RMSE", worst=math.inf, best=0.0),
        Metric("r2", "R2", worst=-math.inf, hugging_face="r_squared"),
    )
    label_metric = metrics[0]
    evaluator = "seedlings.evaluation.numbers:NumberEvaluator"
    answer_form = "numbers"
    answer_types: ClassVar = {"prediction": "number"}

    def outputs(self, labels: pd.Series) -> list[str]:
        """Return the name of the only output."""
        return ["value"]

    def directions(self, names: Sequence[str]) -> list[Direction]:
        """Return a high value with the sign 1, and a low value with the sign -1."""
        return [("a high value", 0, 1.0), ("a low value", 0, -1.0)]

    def targets(self, labels: pd.Series) -> NDArray[np.float32]:
        """Return the numbers; NaN for an empty label."""
        return labels.replace("", "nan").astype(np.float32).to_numpy()[:, None]

    def canonical(self, label: str) -> str:
        """Return the shortest text of the number."""
        return repr(float(label))

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """Return ten bins with about equal numbers of images; fewer if many values are equal."""
        values = labels.astype(float)
        bins = np.ceil(values.rank(pct=True) * _BINS).astype(int) - 1  # equal values share a bin
        spans = values.groupby(bins).agg(["min", "max"])
        names = {n: f"{n}: {low:g} to {high:g}" for n, (low, high) in spans.iterrows()}
        return bins.map(names).to_numpy(dtype=str)

    def scores(self, predictions: pd.DataFrame, model: str = "finetuned") -> NDArray[np.float64]:
        """Return the negative absolute error of each image."""
        predicted, label = (predictions[name].astype(float) for name in (model, "label"))
        return -(predicted - label).abs().to_numpy()

    def problem(self, label: str) -> str | None:
        """Return why a text is not a number in digits whose square fits into float32, or None."""
        if not _NUMBER.fullmatch(label):
            return f"expected a number such as -1.5 or 2e-3, found {label!r}"
        size = abs(float(label))
        if size > _LARGEST or (size > 0 and np.float32(size) == 0):
            return (
                f"expected 0, or a number of a size between 1e-45 and {_LARGEST:g}, as training "
                f"uses float32, found {label!r}; use another unit"
            )
        return None


TASKS: dict[str, Task] = {
    task.name: task for task in (Multiclass(), Binary(), Multilabel(), Regression())
}


def metrics() -> dict[str, Metric]:
    """Return the metrics of all tasks, by name."""
    return {metric.name: metric for task in TASKS.values() for metric in task.metrics}
