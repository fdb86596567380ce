import numpy as np
import pytest
from scipy import stats

from seedlings.shift import two_samples


def sets(rng: np.random.Generator, size: int = 40, moved: float = 0.0) -> list[np.ndarray]:
    return [rng.normal(mean, 1.0, (size, 6)).astype(np.float32) for mean in (0.0, moved)]


@pytest.mark.parametrize(
    "test",
    [
        lambda first, other, rng: two_samples.features(first, other, rng),
        lambda first, other, _: two_samples.values(first[:, 0], other[:, 0]),
        lambda first, other, rng: two_samples.categories(
            first[:, 0].round(), other[:, 0].round(), rng
        ),
    ],
    ids=["features", "values", "categories"],
)
def test_the_p_value_of_equal_distributions_is_below_a_level_as_often_as_the_level_says(
    test: object, rng: np.random.Generator
) -> None:
    p_values = np.array([test(*sets(rng), rng) for _ in range(200)])  # type: ignore[operator]
    for level in (0.05, 0.2, 0.5):
        most = stats.binom.ppf(0.9999, 200, level)
        assert (p_values < level).sum() <= most
    assert (p_values < 0.5).sum() > 50
    moved = [test(*sets(rng, moved=1.0), rng) for _ in range(5)]  # type: ignore[operator]
    assert max(moved) < 0.05


def test_the_discrepancy_is_that_of_its_definition(rng: np.random.Generator) -> None:
    """All permutations of 3 and 3 rows, with the unbiased kernel matrix by loops."""
    first, other = np.array([[0.0], [0.1], [0.3]]), np.array([[5.0], [5.2], [5.9]])
    found = two_samples.features(first, other, rng)
    # Of the 20 ways to choose 3 of 6 rows, 2 have the largest discrepancy.
    assert found == pytest.approx(0.1, abs=0.03)
    assert two_samples.features(np.ones((4, 2)), np.ones((5, 2)), rng) == 1.0


@pytest.mark.parametrize("named", [0, 1, 3, 8])
def test_the_chance_of_images_beyond_the_threshold_is_that_of_drawing_them(
    named: int, rng: np.random.Generator
) -> None:
    calibration, images, beyond = 19, 30, 2
    scores = rng.random((20_000, calibration + images))
    thresholds = np.sort(scores[:, :calibration], axis=1)[:, -beyond]
    drawn = (scores[:, calibration:] > thresholds[:, None]).sum(axis=1)
    within = 1.0 - beyond / (calibration + 1)
    found = two_samples.count_beyond(named, images, calibration, within)
    assert found == pytest.approx((drawn >= named).mean(), abs=0.012)


def test_p_values_of_several_tests_hold_together() -> None:
    assert two_samples.together([0.01, 0.5]) == [0.02, 1.0]
