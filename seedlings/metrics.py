"""Metrics: how good a classifier is, how sure that is, and whether one beats another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

Labels = NDArray[np.int64]
Probabilities = NDArray[np.floating]


def summarize(
    labels: Labels,
    probabilities: Probabilities,
    *,
    bins: int,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """The headline numbers of N predictions (probabilities: N x classes, rows sum to 1).

    accuracy with its bootstrap interval (accuracy_low, accuracy_high), macro_f1, weighted_f1,
    log_loss (nats), calibration_error.
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
    """The percentile bootstrap interval of a share (Efron 1979).

    Drawing N of N zeros and ones with replacement is drawing from a binomial distribution.
    """
    shares = rng.binomial(len(correct), correct.mean(), samples) / len(correct)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(shares, [tail, 1.0 - tail])
    return float(low), float(high)


def calibration_error(labels: Labels, probabilities: Probabilities, *, bins: int) -> float:
    """The expected calibration error, with bins of equal width (Guo et al. 2017, eq. 3)."""
    sure = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=correct - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def per_class(labels: Labels, probabilities: Probabilities, classes: list[str]) -> pd.DataFrame:
    """Precision, recall, F1 and the number of images of each class."""
    columns = metrics.precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=np.arange(len(classes)), zero_division=0.0
    )
    names = ["precision", "recall", "f1", "images"]
    return pd.DataFrame({"label": classes, **dict(zip(names, columns, strict=True))})


def confusion(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """Classes x classes counts: rows are the true class, columns the predicted one."""
    every = np.arange(probabilities.shape[1])
    return metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=every)


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two classifiers on the same images."""

    only_first: int  # images that the first alone got right
    only_second: int
    p_value: float  # two-sided, exact


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """The exact test (McNemar 1947): are the images that only one got right shared out evenly?"""
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    differing = only_first + only_second
    p_value = binomtest(only_first, differing).pvalue if differing else 1.0
    return McNemar(only_first, only_second, float(p_value))


def majority_accuracy(training: Labels, labels: Labels) -> float:
    """The accuracy of always naming the class that is most frequent in training."""
    return float((labels == np.bincount(training).argmax()).mean())
