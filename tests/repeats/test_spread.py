import math

import numpy as np
import pytest
from scipy import stats

from seedlings.repeats import spread


def test_the_spread_is_that_of_the_sample() -> None:
    found = spread.of([0.8, 0.9, 0.7])
    assert found.mean == pytest.approx(0.8)
    assert found.deviation == pytest.approx(0.1)  # the root of (0 + 0.01 + 0.01) / 2
    assert (found.lowest, found.highest) == (0.7, 0.9)


def test_the_correction_is_that_of_the_paper() -> None:
    differences = [0.01, 0.03, 0.02, 0.04, 0.0]
    # mean 0.02, variance 0.00025; with a quarter as many test as training images, t is
    # 0.02 / sqrt((1/5 + 1/4) * 0.00025) with 4 degrees of freedom.
    t = 0.02 / math.sqrt(0.45 * 0.00025)
    expected = 2.0 * (1.0 - stats.t.cdf(t, 4))
    assert spread.corrected_p_value(differences, 0.25) == pytest.approx(expected)
    ordinary = stats.ttest_1samp(differences, 0.0).pvalue
    assert spread.corrected_p_value(differences, 0.0) == pytest.approx(ordinary)
    assert expected > 2.0 * ordinary


def test_equal_differences_say_nothing_about_chance() -> None:
    assert spread.corrected_p_value([0.0, 0.0, 0.0], 0.25) == 1.0
    assert spread.corrected_p_value([0.1, 0.1 + 1e-17, 0.1], 0.25) is None


def test_two_equal_variants_are_rarely_told_apart() -> None:
    """The seeds draw their test images from the same 200, so that they share luck."""
    rng = np.random.default_rng(1)
    corrected, ordinary = [], []
    for _ in range(1000):
        gains = rng.normal(size=200)  # of each image, by chance alone
        tests = [rng.permutation(200)[:40] for _ in range(5)]
        differences = [float(gains[test].mean()) for test in tests]
        corrected.append(spread.corrected_p_value(differences, 40 / 160))
        ordinary.append(spread.corrected_p_value(differences, 0.0))
    assert np.mean(np.array(corrected) < 0.05) <= 0.06
    assert np.mean(np.array(ordinary) < 0.05) >= 0.1  # as if the seeds shared no image
