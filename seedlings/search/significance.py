"""Significance: whether the best of many trials differs from the start beyond chance."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.evaluation.paired_tests import group_sums

_BLOCK = 4_000_000  # signs and statistics in memory at once
_TOLERANCE = 1e-9  # sums in another order differ by less


def corrected_p_value(
    scores: NDArray[np.floating],
    start: NDArray[np.floating],
    groups: NDArray[np.int64],
    chosen: int,
    *,
    tried: int,
    rng: np.random.Generator,
    samples: int = 10_000,
) -> float:
    """Return the p value of the mean gain of the chosen trial, corrected for the choice.

    `scores` are those of the finished trials on the same images (trials x images), `start` those of
    the start (images); higher is better. `groups` are the numbers of the groups of the images.
    `chosen` is the row of the best trial, and `tried` the
    number of all trials.

    This is the single-step maxT permutation test (Westfall and Young 1993, section 2.3) against
    the null hypothesis that the scores of a trial and of the start can be exchanged for each group.
    The statistic of a trial is the sum of its gains over the groups, divided by the root of the sum
    of their squares, so that a trial that differs from the start on many images does not hide the
    gain of another one; the gain of a group is the sum over its images. A draw has one random sign
    for each group, the same for all trials, so that their correlation remains; the maximum
    statistic over all trials is compared with that of the chosen one. The p value is (1 + draws
    with at least that statistic) / (1 + draws); it is near 1 if the chosen trial is worse than the
    start.

    Pruned and failed trials have no scores and are absent from the maximum; to allow for them, the
    p value is multiplied by `tried` / finished trials (at most 1.0). Raises SeedlingsError if the
    shapes do not fit.
    """
    _check(scores, start, chosen, tried)
    gains = group_sums(scores.astype(np.float64) - start, groups)
    norms = np.sqrt((gains**2).sum(axis=1, keepdims=True))
    gains = np.divide(gains, norms, out=np.zeros_like(gains), where=norms > 0.0)
    least = gains[chosen].sum() - _TOLERANCE
    gains = gains[:, (gains != 0.0).any(axis=0)]
    reached, left = 0, samples
    while left:
        size = min(left, max(_BLOCK // (sum(gains.shape) + 1), 1))
        signs = rng.integers(0, 2, (size, gains.shape[1]), dtype=np.int8) * 2.0 - 1.0
        reached += int(((signs @ gains.T).max(axis=1) >= least).sum())
        left -= size
    return min((1 + reached) / (1 + samples) * tried / len(scores), 1.0)


def _check(scores: NDArray[Any], start: NDArray[Any], chosen: int, tried: int) -> None:
    if scores.ndim != 2 or scores.shape[1:] != start.shape or not start.size:
        raise SeedlingsError(
            f"expected scores of trials x images and of the start on the same images, found arrays "
            f"of the shapes {scores.shape} and {start.shape}"
        )
    if not 0 <= chosen < len(scores) <= tried:
        raise SeedlingsError(
            f"expected a row of {len(scores)} finished trials and at least as many tried ones, "
            f"found {chosen} and {tried}"
        )
