"""Tasks: what is learnt of an image, and the targets, outputs and loss that follow from it.

A split's table holds every label as text: a class, tags with a space between them, or a number.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

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

    def units(self, labels: pd.Series) -> int:
        """The width of the last layer."""
        return len(self.outputs(labels))

    def problem(self, label: str) -> str | None:
        """Why a text is no label of this task; None if it is one."""
        return None if label.strip() else "has no label"


class Multiclass(Task):
    """One of several classes: a softmax. Targets: N int64, the class's place among the sorted."""

    name, loss, activation = "multiclass", "sparse_categorical_crossentropy", "softmax"
    metric = "accuracy"
    has_classes = True

    def outputs(self, labels: pd.Series) -> list[str]:
        """The classes."""
        return sorted(labels.unique())

    def targets(self, labels: pd.Series) -> NDArray[np.int64]:
        """The number of each label's class."""
        return pd.Categorical(labels, categories=self.outputs(labels)).codes.astype(np.int64)

    def strata(self, labels: pd.Series) -> NDArray[np.str_]:
        """The classes themselves."""
        return labels.to_numpy(dtype=str)


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


class Regression(Task):
    """A number: linear, mean squared error. Targets: N x 1 float32."""

    name, loss, activation = "regression", "mean_squared_error", "linear"
    metric = "mean_absolute_error"

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
