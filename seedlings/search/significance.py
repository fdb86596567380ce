"""Significance: whether the best of many trials differs from the start beyond chance."""

import numpy as np
from numpy.typing import NDArray

from seedlings.evaluation.paired_tests import group_sums

_BLOCK = 1_000  # draws in memory at once
_TOLERANCE = 1e-9  # sums in another order differ by less


def corrected_p_value(
    scores: NDArray[np.floating],
    start: NDArray[np.floating],
    groups: NDArray[np.int64],
    *,
    tried: int,
    rng: np.random.Generator,
    samples: int = 10_000,
) -> float:
    """Return the p value of the mean gain of the best trial, corrected for the choice.

    `scores` are those of the finished trials on the same images (trials x images), the best trial
    first, and `start` those of the start (images); higher is better. `groups` are the numbers of
    the groups of the images. `tried` is the number of all trials.

    This is the single-step maxT permutation test (Westfall and Young 1993, section 2.3) against
    the null hypothesis that the scores of a trial and of the start can be exchanged for each group.
    The statistic of a trial is the sum of its gains over the groups, divided by the root of the sum
    of their squares, so that a trial that differs from the start on many images does not hide the
    gain of another one; the gain of a group is the sum over its images. A draw has one random sign
    for each group, the same for all trials, so that their correlation remains; the maximum
    statistic over all trials is compared with that of the best one. The p value is (1 + draws with
    at least that statistic) / (1 + draws); it is near 1 if the best trial is worse than the start.
    scipy.stats.permutation_test gives the same, and takes four to eight times as long.

    Pruned and failed trials have no scores and are absent from the maximum; to allow for them, the
    p value is multiplied by `tried` / finished trials (at most 1.0).
    """
    gains = group_sums(scores.astype(np.float64) - start, groups)
    norms = np.sqrt((gains**2).sum(axis=1, keepdims=True))
    gains = np.divide(gains, norms, out=np.zeros_like(gains), where=norms > 0.0)
    least = gains[0].sum() - _TOLERANCE
    reached = 0
    for first in range(0, samples, _BLOCK):
        size = min(_BLOCK, samples - first)
        signs = rng.choice([-1.0, 1.0], (size, gains.shape[1]))
        reached += int(((signs @ gains.T).max(axis=1) >= least).sum())
    return min((1 + reached) / (1 + samples) * tried / len(scores), 1.0)
