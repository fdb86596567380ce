"""Tasks: what is learnt of an image, and everything that follows from it.

Targets, outputs, loss, the answer for an image and its confidence, and how two models are compared.
The table of a split has every label as text: a class, tags with a space between them, or a number.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError

Targets = NDArray[Any]
Direction = tuple[str, int, float]  # a name, an output, and 1 or -1

_BINS = 10


class Task(ABC):
    """What is learnt of an image."""

    name: str
    loss: str  # as Keras names it
    activation: str  # of the last layer
    metric: str  # as Keras names it, shown epoch by epoch beside the loss
    has_classes = False  # whether every image is of exactly one class
    has_probabilities = True
    paired_test = "wilcoxon"  # or "mcnemar": how two models are compared on the same images
    # The columns of an answer: "text", "number", or "numbers" by the names of the outputs.
    answer_types: ClassVar[Mapping[str, str]]

    @abstractmethod
    def outputs(self, labels: pd.Series) -> list[str]:
        """The names of what is predicted, sorted; a number of its own has the name `value`."""

    @abstractmethod
    def targets(self, labels: pd.Series) -> Targets:
        """What the model's output is held against, one row a label."""

    @abstractmethod
    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """A name for each label: of the same name a split takes the same share."""

    def directions(self, names: Sequence[str]) -> list[Direction]:
        """What an image can speak for, where `outputs` gave these names.

        A name, the place of the output, and which way (1 or -1).
        """
        return [(name, unit, 1.0) for unit, name in enumerate(names)]

    def columns(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """What the last layer gives (N x units) with a column for each name of `outputs`."""
        return outputs

    def groups(self, labels: pd.Series) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Return the name and the row numbers of each stratum, sorted by name."""
        strata = self.strata(labels)
        for name in np.unique(strata):
            yield str(name), np.flatnonzero(strata == name)

    def units(self, labels: pd.Series) -> int:
        """The width of the last layer."""
        return len(self.outputs(labels))

    def problem(self, label: str) -> str | None:
        """Why a text is no label of this task; None if it is one."""
        return None if label.strip() else "has no label"

    def confidence(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the confidence (0..1) of each of N answers: the maximum probability."""
        return self.columns(outputs.astype(np.float64)).max(axis=1)

    def in_distribution(
        self, outputs: NDArray[Any], labels: pd.Series, share: float
    ) -> tuple[float, float]:
        """Return the range of `confidence` that counts as in-distribution.

        `outputs` are those of the validation images, `labels` those of the training images. All but
        `share` of the validation images are in the range: the maximum softmax probability of
        Hendrycks and Gimpel (2017).
        """
        return float(np.quantile(self.confidence(outputs), share)), 1.0

    @abstractmethod
    def answers(
        self, outputs: NDArray[Any], names: Sequence[str], threshold: float
    ) -> dict[str, Any]:
        """Return the columns of `answer_types` for N rows of the last layer's outputs.

        `names` are those of `outputs`; a tag is given from the probability `threshold`.
        """

    @abstractmethod
    def scores(self, predictions: pd.DataFrame) -> NDArray[np.float64]:
        """Return a score for each row of evaluate's predictions: the higher, the better.

        Of the fine-tuned model: the columns `label` and `finetuned`, and of tags `finetuned_f2`.
        """


class Multiclass(Task):
    """One of several classes: a softmax. Targets: N int64, the class's place among the sorted."""

    name, loss, activation = "multiclass", "sparse_categorical_crossentropy", "softmax"
    metric = "accuracy"
    has_classes = True
    paired_test = "mcnemar"
    answer_types: ClassVar = {
        "prediction": "text",
        "probability": "number",
        "probabilities": "numbers",
    }

    def outputs(self, labels: pd.Series) -> list[str]:
        """The classes."""
        return sorted(labels.unique())

    def targets(self, labels: pd.Series) -> NDArray[np.int64]:
        """The number of each label's class."""
        return pd.Categorical(labels, categories=self.outputs(labels)).codes.astype(np.int64)

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """The classes themselves."""
        return labels.to_numpy(dtype=str)

    def answers(
        self, outputs: NDArray[Any], names: Sequence[str], threshold: float
    ) -> dict[str, Any]:
        """Return the class of each row, its probability, and the probabilities of all classes."""
        columns = self.columns(outputs.astype(np.float64))
        return {
            "prediction": [names[number] for number in columns.argmax(axis=1)],
            "probability": columns.max(axis=1),
            "probabilities": _named(names, columns),
        }

    def scores(self, predictions: pd.DataFrame) -> NDArray[np.float64]:
        """Return 1 for a correct class, else 0."""
        return (predictions["finetuned"] == predictions["label"]).to_numpy(dtype=np.float64)


class Binary(Multiclass):
    """One of two classes: a single sigmoid, the probability of the second by name."""

    name, loss, activation = "binary", "binary_crossentropy", "sigmoid"

    def directions(self, names: Sequence[str]) -> list[Direction]:
        """Down for the first class, up for the second."""
        first, second = names
        return [(first, 0, -1.0), (second, 0, 1.0)]

    def columns(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """The probability of either class."""
        return np.hstack([1.0 - outputs, outputs])

    def units(self, labels: pd.Series) -> int:
        """One. Raises SeedlingsError where there are not two classes."""
        classes = self.outputs(labels)
        if len(classes) != 2:
            raise SeedlingsError(
                f"task is `binary`: expected two classes, found {len(classes)} "
                f"({', '.join(classes[:5])}); use the task `multiclass`"
            )
        return 1


class Multilabel(Task):
    """Several tags: a sigmoid each. Targets: N x tags float32, 1 where the tag is there."""

    name, loss, activation = "multilabel", "binary_crossentropy", "sigmoid"
    metric = "binary_accuracy"
    answer_types: ClassVar = {"prediction": "text", "probabilities": "numbers"}

    def outputs(self, labels: pd.Series) -> list[str]:
        """The tags."""
        return sorted({tag for label in labels for tag in label.split()})

    def targets(self, labels: pd.Series) -> NDArray[np.float32]:
        """1 where an image has the tag."""
        place = {tag: number for number, tag in enumerate(self.outputs(labels))}
        targets = np.zeros((len(labels), len(place)), np.float32)
        for row, label in enumerate(labels):
            targets[row, [place[tag] for tag in label.split()]] = 1.0
        return targets

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """The rarest tag of each image, so that rare tags reach every split if they can."""
        frequency = pd.Series([tag for label in labels for tag in label.split()]).value_counts()
        return np.array([min(label.split(), key=lambda t: (frequency[t], t)) for label in labels])

    def answers(
        self, outputs: NDArray[Any], names: Sequence[str], threshold: float
    ) -> dict[str, Any]:
        """Return the tags of each row, with a space between them, and all probabilities."""
        columns = outputs.astype(np.float64)
        given = [" ".join(np.array(names)[row]) for row in columns >= threshold]
        return {"prediction": given, "probabilities": _named(names, columns)}

    def scores(self, predictions: pd.DataFrame) -> NDArray[np.float64]:
        """Return the F2 of each image."""
        return predictions["finetuned_f2"].to_numpy(dtype=np.float64)


class Regression(Task):
    """A number: linear, mean squared error. Targets: N x 1 float32."""

    name, loss, activation = "regression", "mean_squared_error", "linear"
    metric = "mean_absolute_error"
    has_probabilities = False
    answer_types: ClassVar = {"prediction": "number"}

    def outputs(self, labels: pd.Series) -> list[str]:
        """The one number."""
        return ["value"]

    def directions(self, names: Sequence[str]) -> list[Direction]:
        """Up and down."""
        return [("a high value", 0, 1.0), ("a low value", 0, -1.0)]

    def targets(self, labels: pd.Series) -> NDArray[np.float32]:
        """The numbers."""
        return labels.astype(np.float32).to_numpy()[:, None]

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """Ten bins of about as many images each, fewer where many values are equal."""
        values = labels.astype(float)
        bins = np.ceil(values.rank(pct=True) * _BINS).astype(int) - 1  # equal values share one
        spans = values.groupby(bins).agg(["min", "max"])
        names = {n: f"{n}: {low:g} to {high:g}" for n, (low, high) in spans.iterrows()}
        return bins.map(names).to_numpy(dtype=str)

    def confidence(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers themselves, as they have no probability."""
        return outputs[:, 0].astype(np.float64)

    def in_distribution(
        self, outputs: NDArray[Any], labels: pd.Series, share: float
    ) -> tuple[float, float]:
        """Return the range of the training images' numbers."""
        numbers = self.targets(labels)
        return float(numbers.min()), float(numbers.max())

    def answers(
        self, outputs: NDArray[Any], names: Sequence[str], threshold: float
    ) -> dict[str, Any]:
        """Return the number of each row."""
        return {"prediction": outputs[:, 0].astype(np.float64)}

    def scores(self, predictions: pd.DataFrame) -> NDArray[np.float64]:
        """Return the negative absolute error of each image."""
        finetuned, label = (predictions[name].astype(float) for name in ("finetuned", "label"))
        return -(finetuned - label).abs().to_numpy()

    def problem(self, label: str) -> str | None:
        """Why a text is no finite number."""
        try:
            finite = math.isfinite(float(label))
        except ValueError:
            finite = False
        return None if finite else f"expected a number, found {label!r}"


TASKS: dict[str, Task] = {
    task.name: task for task in (Multiclass(), Binary(), Multilabel(), Regression())
}


def _named(names: Sequence[str], rows: Iterable[NDArray[np.float64]]) -> list[dict[str, float]]:
    return [dict(zip(names, row.tolist(), strict=True)) for row in rows]
