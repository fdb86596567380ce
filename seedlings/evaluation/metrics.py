"""Metrics of models, their confidence intervals, and tests of the difference of two models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

Labels = NDArray[np.int64]
Probabilities = NDArray[np.floating]

_DRAWN_AT_ONCE = 10_000_000  # values; limits the memory of a bootstrap


def summarize(
    labels: Labels,
    probabilities: Probabilities,
    *,
    bins: int,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the metrics of N predictions of classes.

    `labels` are N class numbers, `probabilities` N x classes with rows that sum to 1. The metrics
    are accuracy with its bootstrap interval (accuracy_low, accuracy_high), macro_f1, weighted_f1,
    log_loss (nats) and calibration_error.
    """
    predicted = probabilities.argmax(axis=1)
    every = np.arange(probabilities.shape[1])
    low, high = bootstrap_interval(
        predicted == labels, confidence=confidence, samples=samples, rng=rng
    )
    wide = probabilities.astype(np.float64)
    f1 = {"labels": every, "zero_division": 0.0}
    return {
        "accuracy": float((predicted == labels).mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", **f1)),
        "weighted_f1": float(metrics.f1_score(labels, predicted, average="weighted", **f1)),
        "log_loss": float(
            metrics.log_loss(labels, wide / wide.sum(axis=1, keepdims=True), labels=every)
        ),
        "calibration_error": calibration_error(labels, probabilities, bins=bins),
    }


def bootstrap_interval(
    correct: NDArray[np.bool_], *, confidence: float, samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the share of True values (Efron 1979).

    The number of ones in a resample of N zeros and ones has a binomial distribution.
    """
    shares = rng.binomial(len(correct), correct.mean(), samples) / len(correct)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(shares, [tail, 1.0 - tail])
    return float(low), float(high)


def bootstrap_mean(
    values: NDArray[np.floating], *, confidence: float, samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean (Efron 1979)."""
    if len(values) == 1:  # scipy.stats.bootstrap needs at least two
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=samples,
        batch=max(1, _DRAWN_AT_ONCE // len(values)),
        confidence_level=confidence,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return float(found.low), float(found.high)


def summarize_tags(
    truth: NDArray[np.bool_],
    given: NDArray[np.bool_],
    *,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the metrics of predicted tags; `truth` and `given` are N x tags, True for a tag.

    The metrics are f2, the mean F2 of the images, with its bootstrap interval (f2_low, f2_high);
    macro_f1 over the tags; micro_f1; and exact_match, the share of images with all tags correct.
    """
    per_image = f2_per_image(truth, given)
    low, high = bootstrap_mean(per_image, confidence=confidence, samples=samples, rng=rng)
    return {
        "f2": float(per_image.mean()),
        "f2_low": low,
        "f2_high": high,
        "macro_f1": float(metrics.f1_score(truth, given, average="macro", zero_division=0.0)),
        "micro_f1": float(metrics.f1_score(truth, given, average="micro", zero_division=0.0)),
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
    """Return precision, recall, F1, F2 and the number of images of each tag."""
    table = _per_label(truth, given, tags)
    f2 = metrics.fbeta_score(truth, given, beta=2, average=None, zero_division=0.0)
    table.insert(4, "f2", f2)
    return table


def summarize_numbers(
    truth: NDArray[np.floating],
    predicted: NDArray[np.floating],
    *,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return `errors` of N predicted numbers, and the bootstrap interval of the mae."""
    wrong = np.abs(predicted.astype(np.float64) - truth)
    low, high = bootstrap_mean(wrong, confidence=confidence, samples=samples, rng=rng)
    found = errors(truth, predicted)
    return {"mae": found.pop("mae"), "mae_low": low, "mae_high": high} | found


def errors(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> dict[str, float]:
    """Return mean absolute error (mae), root mean squared error (rmse), and R2 (r2)."""
    return {
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
        "rmse": float(metrics.root_mean_squared_error(truth, predicted)),
        "r2": float(metrics.r2_score(truth, predicted)),
    }


def wilcoxon(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the two-sided p value of the signed-rank test (Wilcoxon 1945); 1.0 for equal pairs."""
    if np.array_equal(first, second):
        return 1.0
    return float(stats.wilcoxon(first, second).pvalue)


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
    """Return precision, recall, F1 and the number of images of each class."""
    return _per_label(labels, probabilities.argmax(axis=1), classes)


def _per_label(truth: NDArray, predicted: NDArray, names: list[str]) -> pd.DataFrame:
    """Return a row for each class, by its number, or for each tag, by its column."""
    numbers = metrics.precision_recall_fscore_support(
        truth, predicted, labels=np.arange(len(names)), zero_division=0.0
    )
    columns = dict(zip(["precision", "recall", "f1", "images"], numbers, strict=True))
    return pd.DataFrame({"label": names, **columns})


def confusion(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """Return the confusion matrix: rows are true classes, columns are predicted classes."""
    every = np.arange(probabilities.shape[1])
    return metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=every)


@dataclass(frozen=True, slots=True)
class McNemar:
    """The result of McNemar's test of two classifiers on the same images."""

    only_first: int  # number of images that only the first classifier predicts correctly
    only_second: int
    p_value: float  # two-sided, exact


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Return the exact test (McNemar 1947) of two classifiers, given their correct predictions."""
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    differing = only_first + only_second
    p_value = stats.binomtest(only_first, differing).pvalue if differing else 1.0
    return McNemar(only_first, only_second, float(p_value))


def paired_p_value(
    before: NDArray[np.floating], after: NDArray[np.floating], *, test: str
) -> float:
    """Return the p value of paired scores by a task's `paired_test`: "mcnemar" or "wilcoxon"."""
    if test == "mcnemar":
        return mcnemar(before > 0, after > 0).p_value
    return wilcoxon(before, after)


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
