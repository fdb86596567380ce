"""Paired tests, against all signs and SciPy, and their rejections of equal models."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seedlings.evaluation import paired_tests


def test_equal_models_have_a_p_value_of_one() -> None:
    same = np.array([True, False])
    for groups in ([0, 1], [0, 0]):
        assert paired_tests.mcnemar(same, same, np.array(groups)).p_value == 1.0
        numbers = same.astype(float)
        assert paired_tests.wilcoxon(numbers, numbers, np.array(groups)) == 1.0
        found = paired_tests.compare(numbers, numbers, np.array(groups), test="wilcoxon")
        assert (found.p_value, found.is_second_better) == (1.0, False)


@pytest.mark.parametrize("count", [1, 2, 13, 60, 900])
def test_for_groups_of_one_image_the_test_is_mcnemars_exact_one(
    count: int, rng: np.random.Generator
) -> None:
    for gain in (0.4, 0.5, 0.9):
        first = rng.random(count) < 0.7
        second = np.where(rng.random(count) < 0.5, rng.random(count) < gain, first)
        found = paired_tests.mcnemar(first, second, rng.permutation(count))
        differing = found.only_first + found.only_second
        expected = stats.binomtest(found.only_first, differing).pvalue if differing else 1.0
        assert found.p_value == pytest.approx(expected, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("groups", [1, 2, 5, 12])
def test_the_signs_of_groups_are_all_signs(groups: int, rng: np.random.Generator) -> None:
    for _ in range(5):
        members = rng.integers(0, groups, 40)
        first, second = rng.random(40) < 0.6, rng.random(40) < 0.7
        gains = [
            int(second[members == group].sum()) - int(first[members == group].sum())
            for group in range(groups)
        ]
        sums = [
            abs(np.dot(signs, gains)) for signs in itertools.product([-1, 1], repeat=len(gains))
        ]
        expected = np.mean(np.array(sums) >= abs(sum(gains)))
        found = paired_tests.mcnemar(first, second, members)
        assert found.p_value == pytest.approx(expected, abs=1e-12)


def test_many_images_of_many_groups_have_an_exact_p_value(rng: np.random.Generator) -> None:
    """The normal approximation is the reference: the sum has the variance of its squares."""
    gains = rng.integers(-20, 21, 4000)
    groups = np.repeat(np.arange(4000), np.abs(gains))
    after = np.repeat(gains > 0, np.abs(gains))
    found = paired_tests.mcnemar(~after, after, groups)
    distance = (abs(gains.sum()) - 0.5) / np.sqrt((gains**2).sum())
    assert found.p_value == pytest.approx(2 * stats.norm.sf(distance), abs=1e-3)


def test_wilcoxon_is_of_the_means_of_the_groups(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=40), rng.normal(0.3, size=40)
    alone = paired_tests.wilcoxon(first, second, rng.permutation(40))
    assert alone == stats.wilcoxon(first, second).pvalue
    groups = rng.integers(0, 10, 40)
    means = [(second - first)[groups == group].mean() for group in np.unique(groups)]
    found = paired_tests.wilcoxon(first, second, groups)
    assert found == pytest.approx(stats.wilcoxon(means).pvalue)


def test_the_paired_test_is_that_of_the_task(rng: np.random.Generator) -> None:
    before = np.array([1.0] * 5 + [0.0] * 1 + [1.0] * 3)
    after = np.array([0.0] * 5 + [1.0] * 1 + [1.0] * 3)
    alone = np.arange(9)
    found = paired_tests.compare(before, after, alone, test="mcnemar")
    assert (found.p_value, found.is_second_better) == (pytest.approx(2 * 7 / 2**6), False)
    gains = rng.permutation(np.arange(1.0, 7.0))
    found = paired_tests.compare(-gains, np.zeros(6), np.arange(6), test="wilcoxon")
    assert found.p_value == pytest.approx(2 / 2**6)  # of all signs only one is as far out, twice
    assert found.is_second_better


def test_the_direction_is_that_of_the_ranks_and_not_of_the_number_of_images() -> None:
    """Four gains of 1 and three losses of 2: the ranks are 4 x 2.5 and 3 x 6."""
    after = np.array([1.0] * 4 + [-2.0] * 3)
    found = paired_tests.compare(np.zeros(7), after, np.arange(7), test="wilcoxon")
    assert not found.is_second_better
    found = paired_tests.compare(np.zeros(7), -after, np.arange(7), test="wilcoxon")
    assert found.is_second_better


def test_images_that_share_a_group_in_either_grouping_are_joined() -> None:
    first, second = np.array([5, 5, 2, 3, 9, 9]), np.array([0, 4, 4, 3, 8, 7])
    joined = paired_tests.join(first, second)
    assert [*np.unique(joined, return_inverse=True)[1]] in ([0, 0, 0, 1, 2, 2], [0, 0, 0, 2, 1, 1])
    alone = np.arange(6)
    assert len(set(paired_tests.join(alone, alone[::-1]))) == 6
    assert paired_tests.join(alone[:0], alone[:0]).tolist() == []


def rejections(test: str, count: int, rng: np.random.Generator) -> float:
    """The share of p values of at most 0.05, for models that differ by chance in each group."""
    found = []
    for _ in range(1000):
        sizes = rng.integers(5, 36, count)
        groups = np.repeat(np.arange(count), sizes)
        scores: list[NDArray[np.float64]] = []
        for _ in range(2):
            if test == "mcnemar":
                chances = rng.beta(3.2, 0.8, count)[groups]
                scores.append((rng.random(len(groups)) < chances).astype(float))
            else:
                own = rng.normal(size=count)[groups]
                scores.append(-np.abs(own + 0.3 * rng.normal(size=len(groups))))
        found.append(paired_tests.compare(*scores, groups, test=test).p_value)
    return float(np.mean(np.array(found) <= 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("count", [12, 30])
@pytest.mark.parametrize("test", ["mcnemar", "wilcoxon"])
def test_two_equal_models_are_rarely_told_apart(test: str, count: int) -> None:
    found = rejections(test, count, np.random.default_rng(6))
    assert 0.03 <= found <= 0.07  # three standard errors of 1,000 tests around 0.05
