"""The evaluation: the models' results on the test images, as numbers and tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import batches, metrics, splits
from seedlings.params import Evaluate
from seedlings.runtime import keras

_BATCH = 64

Results = Mapping[str, NDArray[np.float32]]


def predict(model: "keras.Model", array: Path, table: pd.DataFrame) -> NDArray[np.float32]:
    """The model's probabilities (test rows x classes) on the test rows of a stored array."""
    with batches.of_test(array, table, _BATCH) as test:
        return model.predict(test, verbose=0)


def score(results: Results, table: pd.DataFrame, params: Evaluate, seed: int) -> dict[str, float]:
    """The numbers of every model, as `name/metric`, the majority class, and McNemar's test."""
    labels = _labels(table)
    numbers = {"images": float(len(labels))}
    for name, probabilities in results.items():
        values = metrics.summarize(
            labels,
            probabilities,
            bins=params.calibration_bins,
            confidence=params.confidence,
            samples=params.bootstrap_samples,
            rng=np.random.default_rng(seed),
        )
        numbers |= {f"{name}/{metric}": value for metric, value in values.items()}
    training = splits.codes(table)[splits.rows(table, "train")]
    numbers["majority/accuracy"] = metrics.majority_accuracy(training, labels)
    first, second = (results[name].argmax(axis=1) == labels for name in ("baseline", "finetuned"))
    test = metrics.mcnemar(first, second)
    return numbers | {
        "mcnemar/only_baseline_right": float(test.only_first),
        "mcnemar/only_finetuned_right": float(test.only_second),
        "mcnemar/p_value": test.p_value,
    }


def nest(numbers: Mapping[str, float]) -> dict[str, Any]:
    """`name/metric` as a tree, which `dvc metrics` shows by model."""
    tree: dict[str, Any] = {}
    for key, value in numbers.items():
        *path, last = key.split("/")
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
        branch[last] = value
    return tree


def predictions(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """One row a test image: path, true label, and each model's label and its probability."""
    classes = np.array(splits.classes(table))
    test = table.iloc[splits.rows(table, "test")]
    columns = {"path": test["path"], "label": test["label"]}
    for name, probabilities in results.items():
        columns[name] = classes[probabilities.argmax(axis=1)]
        columns[f"{name}_probability"] = probabilities.max(axis=1).round(6)
    return pd.DataFrame(columns)


def confusions(results: Results, table: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """Each model's confusion matrix, under a title with its accuracy."""
    labels = _labels(table)
    matrices = {}
    for name, probabilities in results.items():
        counts = metrics.confusion(labels, probabilities)
        matrices[f"{name}: {np.trace(counts) / counts.sum():.1%} accuracy"] = counts
    return matrices


def per_class(probabilities: NDArray[np.float32], table: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall, F1 and the number of test images of each class."""
    return metrics.per_class(_labels(table), probabilities, splits.classes(table))


def _labels(table: pd.DataFrame) -> NDArray[np.int64]:
    return splits.codes(table)[splits.rows(table, "test")]
