"""Paired tests: whether two models differ on the same images; a group is one observation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, slots=True)
class McNemar:
    """The result of McNemar's test of two classifiers on the same images."""

    only_first: int  # number of images that only the first classifier predicts correctly
    only_second: int
    p_value: float  # two-sided, exact


def mcnemar(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.int64]
) -> McNemar:
    """Return the test of two classifiers, given their correct predictions of N images in groups.

    The null hypothesis is that the predictions of both classifiers can be exchanged in each group
    (Fisher 1935, section 21). The statistic is the difference of the numbers of correct
    predictions; its null distribution, over all signs of the differences of the groups, is exact.
    In groups of one image, it is McNemar's exact test (1947).
    """
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    gains = group_sums(second.astype(np.int64) - first, groups)
    return McNemar(only_first, only_second, _sign_flips(np.rint(gains).astype(np.int64)))


def wilcoxon(
    first: NDArray[np.floating], second: NDArray[np.floating], groups: NDArray[np.int64]
) -> float:
    """Return the two-sided p value of the signed-rank test (Wilcoxon 1945); 1.0 for equal pairs.

    The pairs are the means of the groups.
    """
    gains = _group_means(second - first, groups)
    return float(stats.wilcoxon(gains).pvalue) if gains.any() else 1.0


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The result of a paired test of the scores of two models."""

    p_value: float  # two-sided
    is_second_better: bool  # by the statistic of the test


def compare(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    groups: NDArray[np.int64],
    *,
    test: str,
) -> PairedTest:
    """Return the result of a task's `paired_test`, "mcnemar" or "wilcoxon".

    `first` and `second` are the scores of N images in groups; higher is better, and correct
    predictions have a score above 0.
    """
    if test == "mcnemar":
        found = mcnemar(first > 0, second > 0, groups)
        return PairedTest(found.p_value, found.only_second > found.only_first)
    gains = _group_means(second - first, groups)
    gains = gains[gains != 0.0]
    ranks = np.sign(gains) * stats.rankdata(np.abs(gains))
    return PairedTest(wilcoxon(first, second, groups), bool(ranks.sum() > 0))


def join(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a group for each of N images that have a group in each of two groupings.

    Images are in one group if they are in either grouping, directly or by way of other images.
    """
    codes, groups = pd.factorize(first)
    others, other_groups = pd.factorize(second)
    count = len(groups) + len(other_groups)
    places = (codes, len(groups) + others)
    links = coo_array((np.ones(len(codes)), places), shape=(count, count))
    return connected_components(links, directed=False)[1][codes]


def group_sums(values: NDArray[Any], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of the values in each group, over the last axis.

    The order is that of the first image of each group, so groups of one image are unchanged.
    """
    codes, found = pd.factorize(groups)
    sums = np.zeros((len(found), *values.shape[:-1]))
    np.add.at(sums, codes, values.T)
    return sums.T


def _group_means(values: NDArray[np.floating], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    return group_sums(values, groups) / group_sums(np.ones(len(values)), groups)


def _sign_flips(gains: NDArray[np.int64]) -> float:
    """Return the share of all signs of the gains whose sum is as far from 0 as theirs, or farther.

    The sum over the positive signs is that of binomial numbers, one for each distinct gain, so its
    distribution is the convolution of theirs.
    """
    chances = np.ones(1)
    sizes = np.abs(gains[gains != 0])
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        weights = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        wider = np.zeros(len(chances) + size * count)
        for number in np.flatnonzero(weights):
            wider[number * size : number * size + len(chances)] += weights[number] * chances
        chances = wider
    distance = np.abs(2 * np.arange(len(chances)) - (len(chances) - 1))
    return min(float(chances[distance >= abs(int(gains.sum()))].sum()), 1.0)
