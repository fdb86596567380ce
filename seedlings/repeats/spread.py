"""Spread: statistics of a score over seeds, and the test of two variants with the same seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of at least two values; `deviation` is the standard deviation of the sample."""

    mean: float
    deviation: float
    lowest: float
    highest: float


def of(values: Sequence[float]) -> Spread:
    """Return the spread of at least two values."""
    return Spread(statistics.fmean(values), statistics.stdev(values), min(values), max(values))


def corrected_p_value(differences: Sequence[float], ratio: float) -> float | None:
    """Return the two-sided p-value of the mean of the differences of two variants, one a seed.

    `ratio` is the number of evaluated images divided by that of training images. This is the
    corrected resampled t-test (Nadeau and Bengio 2003): the splits of two seeds share images, so
    the variance of the mean of n differences is estimated as (1/n + ratio) times theirs, and not as
    1/n times theirs. Student's t has n - 1 degrees of freedom. Return 1.0 if all differences are 0,
    and None if all are equal otherwise, as they then say nothing about chance.
    """
    count, mean = len(differences), statistics.fmean(differences)
    deviation = statistics.stdev(differences)
    if math.isclose(deviation, 0.0, abs_tol=1e-12):
        return 1.0 if math.isclose(mean, 0.0, abs_tol=1e-12) else None
    t = mean / (deviation * math.sqrt(1.0 / count + ratio))
    return float(2.0 * stats.t.sf(abs(t), count - 1))
