"""The corrected p value, against all sign vectors and under the null hypothesis."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from seedlings.search.significance import corrected_p_value

ALONE = np.arange(200)  # groups of one image


def exact(scores: NDArray[np.float64], start: NDArray[np.float64]) -> float:
    """The share of all sign vectors whose maximum reaches the statistic of the first trial."""
    gains = scores - start
    norms = [max(np.linalg.norm(row), 1e-12) for row in gains]
    observed = gains[0].sum() / norms[0]
    reached = [
        max((np.array(signs) * row).sum() / norm for row, norm in zip(gains, norms, strict=True))
        >= observed - 1e-12
        for signs in itertools.product([-1, 1], repeat=len(start))
    ]
    return float(np.mean(reached))


@pytest.mark.parametrize("trials", [1, 2, 6])
@pytest.mark.parametrize("values", ["numbers", "correct"])
def test_draws_agree_with_all_sign_vectors(
    trials: int, values: str, rng: np.random.Generator
) -> None:
    scores, start = rng.normal(size=(trials, 8)), rng.normal(size=8)
    if values == "correct":
        scores, start = (scores > 0).astype(float), (start > 0.3).astype(float)
    scores = scores[np.argsort(-scores.mean(axis=1))]
    found = corrected_p_value(scores, start, ALONE[:8], tried=trials, rng=rng, samples=40_000)
    assert found == pytest.approx(exact(scores, start), abs=0.01)  # four standard errors


def test_the_smallest_p_value_by_hand(rng: np.random.Generator) -> None:
    start = np.zeros(6)
    p_value = corrected_p_value(np.ones((1, 6)), start, ALONE[:6], tried=1, rng=rng, samples=40_000)
    assert p_value == pytest.approx(1 / 2**6, abs=0.003)
    assert corrected_p_value(-np.ones((1, 6)), start, ALONE[:6], tried=1, rng=rng) == 1.0
    assert corrected_p_value(np.zeros((3, 6)), start, ALONE[:6], tried=3, rng=rng) == 1.0


def test_equal_sums_of_floats_are_equal(rng: np.random.Generator) -> None:
    gains = np.array([[0.1, 0.2, 0.3, -0.6]])  # the sum is not 0 in floating point
    for order in itertools.permutations(range(4)):
        found = corrected_p_value(
            gains[:, order], np.zeros(4), ALONE[:4], tried=1, rng=np.random.default_rng(1)
        )
        assert found == pytest.approx(9 / 16, abs=0.02)  # by hand: 7 sums above 0, 2 equal


def test_the_best_of_pure_chance_is_rarely_significant() -> None:
    rng = np.random.default_rng(3)
    corrected, uncorrected = [], []
    for _ in range(400):
        easy = rng.beta(4.0, 1.0, 80)  # the probability that a model is correct, for each image
        scores, start = (rng.random((30, 80)) < easy).astype(float), (rng.random(80) < easy) * 1.0
        scores = scores[np.argsort(-scores.mean(axis=1))]
        options = {"rng": rng, "samples": 300}
        corrected.append(corrected_p_value(scores, start, ALONE[:80], tried=30, **options))
        uncorrected.append(corrected_p_value(scores[:1], start, ALONE[:80], tried=1, **options))
    error = np.sqrt(0.05 * 0.95 / 400)  # the standard error of a share of 400
    assert np.mean(np.array(corrected) <= 0.05) == pytest.approx(0.05, abs=3 * error)
    assert np.mean(np.array(uncorrected) <= 0.05) > 0.25
    assert np.mean(np.array(corrected) <= 0.5) == pytest.approx(0.5, abs=0.1)


def test_the_signs_are_those_of_groups(rng: np.random.Generator) -> None:
    groups = np.array([3, 3, 1, 1, 1, 0, 2, 2])
    scores, start = rng.normal(size=(3, 8)), rng.normal(size=8)
    sums = np.stack([(scores - start)[:, groups == n].sum(axis=1) for n in range(4)], axis=1)
    found = corrected_p_value(scores, start, groups, tried=3, rng=rng, samples=40_000)
    assert found == pytest.approx(exact(sums, np.zeros(4)), abs=0.01)
    copies = np.repeat(np.arange(6), 20)  # six observations
    p_value = corrected_p_value(np.ones((1, 120)), np.zeros(120), copies, tried=1, rng=rng)
    assert p_value == pytest.approx(1 / 2**6, abs=0.006)


def test_trials_without_scores_count_too(rng: np.random.Generator) -> None:
    scores, start = np.eye(5, 20) + np.eye(5, 20, 5), np.zeros(20)  # 2 of 20, on other images
    found = [
        corrected_p_value(scores, start, ALONE[:20], tried=tried, rng=np.random.default_rng(1))
        for tried in (5, 6, 50)
    ]
    assert found[0] == pytest.approx(1 - 0.75**5, abs=0.02)  # by hand
    assert found[1:] == [pytest.approx(found[0] * 6 / 5), 1.0]
