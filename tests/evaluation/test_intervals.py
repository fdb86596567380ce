"""Intervals, against the equations that define them, and their coverage in simulations."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seedlings.evaluation import intervals

OPTIONS = {"confidence": 0.95, "samples": 1999}


def right(count: int, of: int) -> NDArray[np.bool_]:
    return np.arange(of) < count


@pytest.mark.parametrize(("count", "images"), [(1, 2), (25, 30), (29, 30), (150, 1000)])
def test_for_groups_of_one_image_the_interval_is_wilsons(count: int, images: int) -> None:
    """Its limits are the shares from which the found one is t standard errors away."""
    found = intervals.share(right(count, images), np.arange(images), confidence=0.95)
    assert found is not None
    t = stats.t.ppf(0.975, images - 1)
    for limit in found:
        distance = t * np.sqrt(limit * (1 - limit) / images)
        assert abs(limit - count / images) == pytest.approx(distance, rel=1e-9)


def test_thirty_of_thirty_right_is_no_point() -> None:
    found = intervals.share(right(30, 30), np.arange(30), confidence=0.95)
    assert found == (pytest.approx(30 / (30 + 2.0452**2), abs=1e-4), 1.0)  # t of 29 is 2.0452
    found = intervals.share(right(0, 30), np.arange(30), confidence=0.95)
    assert found == (0.0, pytest.approx(1 - 30 / (30 + 2.0452**2), abs=1e-4))


def test_groups_that_vary_less_than_chance_are_no_more_than_their_images() -> None:
    groups = np.repeat(np.arange(50), 2)
    correct = np.tile([True, False], 50)  # one of each group
    found = intervals.share(correct, groups, confidence=0.95)
    assert found is not None
    t = stats.t.ppf(0.975, 49)
    assert 0.5 - found[0] == pytest.approx(t * np.sqrt(found[0] * (1 - found[0]) / 100))


def test_the_variance_is_that_of_the_jackknife(rng: np.random.Generator) -> None:
    """The reference leaves each group out in turn."""
    sizes = np.array([1, 50, 3, 20, 7, 90])
    groups = np.repeat(rng.permutation(6), sizes)
    correct = rng.random(len(groups)) < np.repeat(rng.random(6), sizes)
    without = np.array([correct[groups != group].mean() for group in range(6)])
    variance = ((without - correct.mean()) ** 2).sum() * 5 / 6
    of_groups, of_images = stats.t.ppf(0.975, 5), stats.t.ppf(0.975, len(groups) - 1)
    share, images = correct.mean(), len(groups)
    size = share * (1 - share) / variance * images / (images - 1) * (of_images / of_groups) ** 2
    found = intervals.share(correct, groups, confidence=0.95)
    assert found is not None
    for limit in found:
        distance = of_groups * np.sqrt(limit * (1 - limit) / size)
        assert abs(limit - share) == pytest.approx(distance, rel=1e-6)


def test_a_single_group_has_no_interval(rng: np.random.Generator) -> None:
    groups = np.full(30, 7)
    assert intervals.share(right(20, 30), groups, confidence=0.95) is None
    assert intervals.mean(rng.random(30), groups, rng=rng, **OPTIONS) is None
    assert intervals.mean(rng.random(30), groups, rng=rng, largest=1.0, **OPTIONS) is None
    assert intervals.share(right(1, 1), np.zeros(1), confidence=0.95) is None


def test_the_interval_of_a_mean_is_that_of_the_bootstrap_t() -> None:
    """The reference draws groups in a loop, and leaves each out in turn for a standard error."""
    rng = np.random.default_rng(2)
    sizes = np.array([4, 1, 9, 6, 3, 5, 8, 2])
    groups = np.repeat(np.arange(8), sizes)
    values = rng.gamma(2.0, size=len(groups)) + rng.gamma(2.0, size=8)[groups]
    parts = [values[groups == group] for group in range(8)]

    def mean_and_error(drawn: NDArray[np.int64]) -> tuple[float, float]:
        without = [
            np.concatenate([parts[group] for group in np.delete(drawn, n)]).mean()
            for n in range(len(drawn))
        ]
        middle = np.concatenate([parts[group] for group in drawn]).mean()
        return middle, np.sqrt(((np.array(without) - middle) ** 2).sum() * 7 / 8)

    mean, error = mean_and_error(np.arange(8))
    drawn = [mean_and_error(rng.integers(0, 8, 8)) for _ in range(4000)]
    ratios = [(middle - mean) / own for middle, own in drawn]
    expected = mean - np.quantile(ratios, [0.95, 0.05]) * error
    found = intervals.mean(values, groups, confidence=0.9, samples=20_000, rng=rng)
    assert found == pytest.approx(tuple(expected), rel=0.03)


def test_equal_errors_have_no_interval_and_equal_scores_that_of_a_share(
    rng: np.random.Generator,
) -> None:
    equal, groups = np.full(60, 0.1), np.repeat(np.arange(20), 3)
    assert intervals.mean(equal, groups, rng=rng, **OPTIONS) is None
    found = intervals.mean(np.ones(60), groups, rng=rng, largest=1.0, **OPTIONS)
    assert found == intervals.share(right(60, 60), groups, confidence=0.95)
    found = intervals.mean(equal, groups, rng=rng, largest=1.0, **OPTIONS)
    t = stats.t.ppf(0.975, 19)
    assert found is not None
    assert 0.1 - found[0] == pytest.approx(t * np.sqrt(found[0] * (1 - found[0]) / 20))


def test_few_groups_have_no_interval_of_an_error_and_a_wide_one_of_a_score(
    rng: np.random.Generator,
) -> None:
    values, groups = rng.random(20), np.repeat([0, 1], 10)
    assert intervals.mean(values, groups, rng=rng, **OPTIONS) is None
    low, high = intervals.mean(values, groups, rng=rng, largest=1.0, **OPTIONS) or (1.0, 0.0)
    assert 0.0 <= low < 0.05
    assert 0.95 < high <= 1.0


def test_one_bad_image_of_many_is_less_certain_than_a_share_of_images(
    rng: np.random.Generator,
) -> None:
    values = np.ones(185)
    values[3] = 0.5
    found = intervals.mean(values, np.arange(185), rng=rng, largest=1.0, **OPTIONS)
    assert found is not None
    limit = intervals.share(right(184, 185), np.arange(185), confidence=0.95)
    assert limit is not None
    assert limit[0] < found[0] < 0.99
    assert values.mean() < found[1] <= 1.0


def shares(sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Correct or not: the probability of a group is 0.8 on average, its correlation 0.2."""
    probabilities = np.repeat(rng.beta(3.2, 0.8, len(sizes)), sizes)
    return (rng.random(len(probabilities)) < probabilities).astype(float)


def scores(sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Scores from 0 to 1, with the mean of a group; their mean is 0.8."""
    means = np.repeat(rng.beta(8.0, 2.0, len(sizes)), sizes)
    return rng.beta(10.0 * means, 10.0 * (1.0 - means))


def errors(sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Absolute errors of normal numbers with the error of a group; their mean is 0.8."""
    own = rng.normal(size=len(sizes))[np.repeat(np.arange(len(sizes)), sizes)]
    wrong = np.hypot(1.0, 0.3) * np.sqrt(2.0 / np.pi) / 0.8
    return np.abs(own + 0.3 * rng.normal(size=len(own))) / wrong


def of_share(
    values: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> intervals.Interval | None:
    return intervals.share(values > 0, groups, confidence=0.95)


def of_score(
    values: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> intervals.Interval | None:
    return intervals.mean(values, groups, confidence=0.95, samples=199, rng=rng, largest=1.0)


def of_error(
    values: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> intervals.Interval | None:
    return intervals.mean(values, groups, confidence=0.95, samples=199, rng=rng)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
@pytest.mark.parametrize(("count", "least"), [(12, 0.90), (30, 0.93)])
@pytest.mark.parametrize(
    ("values", "interval"), [(shares, of_share), (scores, of_score), (errors, of_error)]
)
def test_an_interval_of_95_percent_covers_at_few_groups(
    values: Callable[..., NDArray[np.float64]],
    interval: Callable[..., intervals.Interval | None],
    count: int,
    least: float,
    sizes: str,
) -> None:
    """`python -m benchmarks coverage` at 2f9ced5 has further settings."""
    rng, covered = np.random.default_rng(5), []
    for _ in range(1000):
        own = rng.integers(5, 36, count) if sizes == "unequal" else np.full(count, 20)
        found = interval(values(own, rng), np.repeat(np.arange(count), own), rng)
        assert found is not None
        covered.append(found[0] <= 0.8 <= found[1])
    assert np.mean(covered) >= least
