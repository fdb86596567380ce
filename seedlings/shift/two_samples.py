"""Two-sample tests: whether new images and validation images are of one distribution.

Each test has the chance of a false alarm that its p-value says, if the images are independent.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

_PERMUTATIONS = 999


def features(first: NDArray, other: NDArray, rng: np.random.Generator) -> float:
    """Return the p-value of the maximum mean discrepancy of two sets of rows (N x C, M x C).

    The kernel is a Gaussian with the median distance as its width, and the p-value is that of 999
    permutations of the rows (Gretton et al. 2012, JMLR 13). Rows should be standardised.
    """
    rows = np.concatenate([first, other]).astype(np.float64)
    squares = cdist(rows, rows, "sqeuclidean")
    median = np.median(squares[np.triu_indices(len(rows), 1)])
    if median == 0.0:
        return 1.0
    kernel = np.exp(-squares / median)
    weights = np.repeat([1.0 / len(first), -1.0 / len(other)], [len(first), len(other)])
    permuted = rng.permuted(np.tile(weights, (_PERMUTATIONS, 1)), axis=1)
    observed = weights @ kernel @ weights
    found = ((permuted @ kernel) * permuted).sum(axis=1)
    return float((1 + (found >= observed * (1 - 1e-9)).sum()) / (1 + _PERMUTATIONS))


def values(first: NDArray, other: NDArray) -> float:
    """Return the p-value of the test of Kolmogorov and Smirnov for two sets of numbers."""
    return float(stats.ks_2samp(first, other).pvalue)


def count_beyond(named: int, images: int, calibration: int, within: float) -> float:
    """Return the chance that as many of some images are beyond a conformal threshold, or more.

    The threshold is one of the `calibration` validation images, within which a share `within` of
    new images is expected; the number of images beyond it is beta-binomial (Vovk 2012).
    """
    beyond = calibration + 1 - round(within * (calibration + 1))
    if beyond == 0:
        return 1.0 if named == 0 else 0.0
    inside = calibration + 1 - beyond
    return float(stats.betabinom.sf(named - 1, images, beyond, inside))


def together(p_values: list[float]) -> list[float]:
    """Return p-values that hold for all tests together (Bonferroni), at most 1."""
    return [min(1.0, len(p_values) * value) for value in p_values]
