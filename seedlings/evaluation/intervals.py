"""Confidence intervals of metrics on images in groups; a group is one observation."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Interval = tuple[float, float]

_DRAWN_AT_ONCE = 1_000_000  # groups; limits the memory of a bootstrap
_ROUNDING = 1e-9  # relative; smaller differences are errors of rounding


def share(
    correct: NDArray[np.bool_], groups: NDArray[np.int64], *, confidence: float
) -> Interval | None:
    """Return the interval of the share of True values; None for a single group.

    `correct` are N values, `groups` the numbers of their groups. The interval is Wilson's (1927)
    with the effective sample size N / design effect (Korn and Graubard 1998), at most N, and
    Student's t with groups - 1 degrees of freedom. The design effect is the variance of the share
    by the delete-one-group jackknife, divided by the variance for N independent images, times the
    adjustment of Dean and Pagano (2015) for few groups. Where all values are equal, the sample size
    is the number of groups. In groups of one image, it is Wilson's interval of N images.
    """
    deviations, sizes = _deviations(correct, groups)
    if len(sizes) < 2:
        return None
    images, value = len(correct), float(correct.mean())
    quantile = _quantile(confidence, len(sizes))
    if value in (0.0, 1.0):
        return _wilson(value, len(sizes), quantile)
    variance = float(_standard_error(deviations, sizes)) ** 2
    independent = value * (1.0 - value) / (images - 1)
    adjustment = (quantile / _quantile(confidence, images)) ** 2
    effect = max(variance / independent * adjustment, 1.0)
    return _wilson(value, images / effect, quantile)


def mean(
    values: NDArray[np.floating],
    groups: NDArray[np.int64],
    *,
    confidence: float,
    samples: int,
    rng: np.random.Generator,
    largest: float = math.inf,
) -> Interval | None:
    """Return the interval of the mean of values from 0 to `largest`; None without two limits.

    `values` are N numbers, `groups` the numbers of their groups. It is the bootstrap-t interval
    (Efron 1981) of `samples` resamples of whole groups, with the standard error of the
    delete-one-group jackknife: the percentile interval is too narrow for few groups (Cameron,
    Gelbach and Miller 2008). With 2 or 3 groups, or if most values are equal, a limit of the
    bootstrap is infinite. If `largest` is finite, Wilson's interval of a share with one observation
    for each group limits it, because no other values from 0 to `largest` vary more.
    """
    wide = values.astype(np.float64)
    deviations, sizes = _deviations(wide, groups)
    if len(sizes) < 2:
        return None
    value = float(wide.mean())
    error = float(_standard_error(deviations, sizes))
    low, high = 0.0, largest
    if math.isfinite(largest):
        effective = sizes.sum() ** 2 / (sizes**2).sum()
        ends = _wilson(value / largest, effective, _quantile(confidence, len(sizes)))
        low, high = ends[0] * largest, ends[1] * largest
    if error > _ROUNDING * float(np.abs(wide).max()):
        ratios = np.sort(_studentized(deviations, sizes, samples=samples, rng=rng))
        tail = max(math.floor((samples + 1) * (1.0 - confidence) / 2.0 + _ROUNDING), 1)
        low = max(low, min(value - ratios[-tail] * error, value))
        high = min(high, max(value - ratios[tail - 1] * error, value))
    return (float(low), float(high)) if math.isfinite(high) else None


def _deviations(
    values: NDArray[Any], groups: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the deviations from the mean, and the number of images, of each group."""
    codes, found = pd.factorize(groups)
    sums = np.bincount(codes, weights=values - values.mean(), minlength=len(found))
    return sums.astype(np.float64), np.bincount(codes).astype(np.float64)


def _quantile(confidence: float, observations: int) -> float:
    """Return the quantile of Student's t for a two-sided interval."""
    return float(stats.t.ppf((1.0 + confidence) / 2.0, observations - 1))


def _wilson(value: float, size: float, quantile: float) -> Interval:
    """Return Wilson's score interval of a share of `size` observations (Wilson 1927)."""
    square = quantile**2 / size
    middle = (value + square / 2.0) / (1.0 + square)
    half = math.sqrt(value * (1.0 - value) * square + square**2 / 4.0) / (1.0 + square)
    return max(min(middle - half, value), 0.0), min(max(middle + half, value), 1.0)


def _standard_error(
    deviations: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the standard error of a mean over images, by the delete-one-group jackknife.

    The last axis is that of the groups: the sums of the deviations from the mean, and the sizes.
    The mean without a group differs by its deviation / (images - size). For groups of one size, it
    is the cluster-robust standard error with the factor groups / (groups - 1).
    """
    count, images = sizes.shape[-1], sizes.sum(axis=-1, keepdims=True)
    without = deviations / (images - sizes)
    return np.sqrt((without**2).sum(axis=-1) * (count - 1) / count)


def _studentized(
    deviations: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    samples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the difference of the mean of each resample in units of its standard error.

    It is infinite where the means of all drawn groups are equal, but not to the mean.
    """
    found = []
    scale = _ROUNDING * float(np.abs(deviations / sizes).max())
    at_once = max(_DRAWN_AT_ONCE // len(sizes), 1)
    for start in range(0, samples, at_once):
        drawn = rng.integers(0, len(sizes), (min(at_once, samples - start), len(sizes)))
        own = sizes[drawn]
        sums = deviations[drawn]
        shift = sums.sum(axis=1) / own.sum(axis=1)
        error = _standard_error(sums - own * shift[:, None], own)
        infinite = np.where(np.abs(shift) > scale, np.copysign(np.inf, shift), 0.0)
        found.append(np.divide(shift, error, out=infinite, where=error > scale))
    return np.concatenate(found)
