"""Metrics of models on evaluated images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from seedlings.evaluation import intervals

Labels = NDArray[np.int64]
Probabilities = NDArray[np.floating]

_SMALLEST = float(np.finfo(np.float32).tiny)


def summarize(
    labels: Labels,
    probabilities: Probabilities,
    groups: NDArray[np.int64],
    *,
    bins: int,
    confidence: float,
) -> dict[str, float]:
    """Return the metrics of N predictions of classes.

    `labels` are N class numbers, `probabilities` N x classes with rows that sum to 1, `groups` the
    numbers of the groups of the images. The metrics are accuracy with its interval (accuracy_low,
    accuracy_high; absent for a single group), macro_f1 over the classes with true images,
    weighted_f1, log_loss (nats) and calibration_error.
    """
    predicted = probabilities.argmax(axis=1)
    correct = predicted == labels
    f1 = {"labels": np.unique(labels), "zero_division": 0.0}
    return {
        "accuracy": float(correct.mean()),
        **_ends("accuracy", intervals.share(correct, groups, confidence=confidence)),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", **f1)),
        "weighted_f1": float(metrics.f1_score(labels, predicted, average="weighted", **f1)),
        "log_loss": log_loss(labels, probabilities),
        "calibration_error": calibration_error(labels, probabilities, bins=bins),
    }


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean of -log(the probability of the true class), in nats.

    A probability of 0 counts as the smallest normal float32, as the outputs of models are float32;
    scikit-learn would take all below 2.2e-16 for that.
    """
    wide = probabilities.astype(np.float64)
    own = wide[np.arange(len(labels)), labels] / wide.sum(axis=1)
    return float(-np.log(np.maximum(own, _SMALLEST)).mean())


def _ends(metric: str, interval: intervals.Interval | None) -> dict[str, float]:
    """Return the limits of the interval of a metric; empty if there is no interval."""
    if interval is None:
        return {}
    return {f"{metric}_low": interval[0], f"{metric}_high": interval[1]}


def summarize_tags(
    truth: NDArray[np.bool_],
    given: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the metrics of predicted tags; `truth` and `given` are N x tags, True for a tag.

    The metrics are f2, the mean F2 of the images, with its interval (f2_low, f2_high; absent for a
    single group); macro_f1 over the tags with true images; micro_f1; and exact_match, the share of
    images with all tags correct. `groups` are the numbers of the groups of the images.
    """
    per_image = f2_per_image(truth, given)
    interval = intervals.mean(
        per_image, groups, confidence=confidence, samples=samples, rng=rng, largest=1.0
    )
    present = np.flatnonzero(truth.any(axis=0))
    pair, f1 = (_indicators(truth), _indicators(given)), {"zero_division": 0.0}
    return {
        "f2": float(per_image.mean()),
        **_ends("f2", interval),
        "macro_f1": float(metrics.f1_score(*pair, average="macro", labels=present, **f1)),
        "micro_f1": float(metrics.f1_score(*pair, average="micro", **f1)),
        "exact_match": float((truth == given).all(axis=1).mean()),
    }


def f2_per_image(truth: NDArray[np.bool_], given: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the F2 of each image's tags: F-beta with beta 2 (van Rijsbergen 1979).

    The F2 is 1.0 for an image without true and predicted tags.
    """
    right = (truth & given).sum(axis=1)
    whole = 4 * truth.sum(axis=1) + given.sum(axis=1)
    return np.divide(5.0 * right, whole, out=np.ones(len(truth)), where=whole > 0)


def per_tag(truth: NDArray[np.bool_], given: NDArray[np.bool_], tags: list[str]) -> pd.DataFrame:
    """Return precision, recall, F1, F2 and the number of images of each tag.

    The scores of a tag without true images are NaN.
    """
    pair, every = (_indicators(truth), _indicators(given)), np.arange(len(tags))
    table = _per_label(*pair, tags)
    f2 = metrics.fbeta_score(*pair, beta=2, labels=every, average=None, zero_division=0.0)
    table.insert(4, "f2", np.where(table["images"] > 0, f2, np.nan))
    return table


def _indicators(tags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a matrix with a further column of False.

    scikit-learn takes a single column for the labels of two classes.
    """
    return np.hstack([tags, np.zeros((len(tags), 1), bool)])


def summarize_numbers(
    truth: NDArray[np.floating],
    predicted: NDArray[np.floating],
    groups: NDArray[np.int64],
    *,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return `errors` of N predicted numbers, and the interval of the mae.

    The limits mae_low and mae_high are absent if there is no interval: for few groups, or equal
    errors. `groups` are the numbers of the groups of the images.
    """
    wrong = np.abs(predicted.astype(np.float64) - truth)
    interval = intervals.mean(wrong, groups, confidence=confidence, samples=samples, rng=rng)
    found = errors(truth, predicted)
    return {"mae": found.pop("mae"), **_ends("mae", interval), **found}


def errors(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> dict[str, float]:
    """Return mean absolute error (mae), root mean squared error (rmse), and R2 (r2).

    R2 is absent for a single number, for which it is not defined.
    """
    found = {
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
        "rmse": float(metrics.root_mean_squared_error(truth, predicted)),
    }
    if len(truth) > 1:
        found["r2"] = float(metrics.r2_score(truth, predicted))
    return found


def calibration_error(labels: Labels, probabilities: Probabilities, *, bins: int) -> float:
    """Return the expected calibration error, with bins of equal width (Guo et al. 2017, eq. 3)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    gaps = np.bincount(_bins(confidence, bins), weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


@dataclass(frozen=True, slots=True)
class Reliability:
    """The non-empty bins of a reliability diagram; bins have equal width."""

    confidence: NDArray[np.float64]  # the mean probability
    accuracy: NDArray[np.float64]  # the share of correct predictions
    count: NDArray[np.int64]


def reliability(
    probabilities: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int
) -> Reliability:
    """Return the bins of N predictions by their probability (Guo et al. 2017, section 2)."""
    place = _bins(probabilities, bins)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    confidence, accuracy = (
        np.bincount(place, weights=values.astype(np.float64), minlength=bins)[filled]
        for values in (probabilities, correct)
    )
    return Reliability(confidence / count[filled], accuracy / count[filled], count[filled])


def _bins(probabilities: NDArray[np.floating], bins: int) -> NDArray[np.int64]:
    """Return the bin of each probability; a bin includes its upper edge."""
    return np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)


def per_class(labels: Labels, probabilities: Probabilities, classes: list[str]) -> pd.DataFrame:
    """Return precision, recall, F1 and the number of images of each class.

    The scores of a class without true images are NaN.
    """
    return _per_label(labels, probabilities.argmax(axis=1), classes)


def _per_label(truth: NDArray, predicted: NDArray, names: list[str]) -> pd.DataFrame:
    """Return a row for each class, by its number, or for each tag, by its column."""
    numbers = metrics.precision_recall_fscore_support(
        truth, predicted, labels=np.arange(len(names)), zero_division=0.0
    )
    scores = ["precision", "recall", "f1"]
    columns = dict(zip([*scores, "images"], numbers, strict=True))
    table = pd.DataFrame({"label": names, **columns})
    table.loc[table["images"] == 0, scores] = np.nan
    return table


def confusion(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """Return the confusion matrix: rows are true classes, columns are predicted classes."""
    every = np.arange(probabilities.shape[1])
    return metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=every)


def majority_accuracy(training: Labels, labels: Labels) -> float:
    """Return the accuracy of a model that always predicts the most frequent training class."""
    return float((labels == np.bincount(training).argmax()).mean())


def nest(numbers: Mapping[str, float]) -> dict[str, Any]:
    """Return metrics with names `name/metric` as a tree, which `dvc metrics` shows by model."""
    tree: dict[str, Any] = {}
    for key, value in numbers.items():
        *path, last = key.split("/")
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
        branch[last] = value
    return tree
