import numpy as np
import pytest
from scipy.stats import binom
from sklearn import metrics as reference

from seedlings.evaluation import metrics


def probabilities_of(predicted: list[int], sure: float = 0.7, classes: int = 3) -> np.ndarray:
    table = np.full((len(predicted), classes), (1.0 - sure) / (classes - 1))
    table[np.arange(len(predicted)), predicted] = sure
    return table


def summary(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return metrics.summarize(
        labels,
        probabilities,
        bins=10,
        confidence=0.95,
        samples=4000,
        rng=np.random.default_rng(0),
    )


def test_accuracy_and_log_loss_by_hand() -> None:
    labels = np.array([0, 1, 2, 2])
    found = summary(labels, probabilities_of([0, 1, 2, 0], 0.5))
    assert found["accuracy"] == 0.75
    assert found["log_loss"] == pytest.approx(-(3 * np.log(0.5) + np.log(0.25)) / 4)


def test_f1_by_hand() -> None:
    # Class 0: precision 1/2, recall 1, F1 2/3. Class 1: 1. Class 2: recall 1/2, F1 2/3.
    found = summary(np.array([0, 1, 2, 2]), probabilities_of([0, 1, 2, 0]))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert found["weighted_f1"] == pytest.approx((2 / 3 + 1 + 2 * 2 / 3) / 4)


def test_a_class_without_test_images_counts_in_macro_f1() -> None:
    found = summary(np.array([0, 1]), probabilities_of([0, 1]))
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_the_calibration_error_is_the_gap_between_sure_and_right() -> None:
    labels = np.zeros(10, np.int64)
    predicted = [0] * 6 + [1] * 4  # 60% right
    error = metrics.calibration_error(labels, probabilities_of(predicted, 0.85), bins=10)
    assert error == pytest.approx(0.25)


def test_the_calibration_error_weighs_bins_by_their_images(rng: np.random.Generator) -> None:
    raw = rng.random((500, 4))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 4, 500)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (sure > low) & (sure <= low + 0.1)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert metrics.calibration_error(labels, probabilities, bins=10) == pytest.approx(expected)


def test_the_bootstrap_interval_is_that_of_drawing_with_replacement() -> None:
    correct = np.array([True] * 70 + [False] * 30)
    low, high = metrics.bootstrap_interval(
        correct, confidence=0.9, samples=20_000, rng=np.random.default_rng(0)
    )
    assert low == pytest.approx(binom.ppf(0.05, 100, 0.7) / 100, abs=0.011)
    assert high == pytest.approx(binom.ppf(0.95, 100, 0.7) / 100, abs=0.011)
    resampled = np.random.default_rng(1).choice(correct, (20_000, 100)).mean(axis=1)
    assert low == pytest.approx(np.quantile(resampled, 0.05), abs=0.011)


def test_mcnemar_by_hand() -> None:
    first = np.array([True] * 5 + [False] * 1 + [True] * 3)
    second = np.array([False] * 5 + [True] * 1 + [True] * 3)
    test = metrics.mcnemar(first, second)
    assert (test.only_first, test.only_second) == (5, 1)
    assert test.p_value == pytest.approx(2 * (1 + 6) / 2**6)


def test_mcnemar_of_equal_models_says_nothing() -> None:
    same = np.array([True, False])
    assert metrics.mcnemar(same, same).p_value == 1.0


def test_per_class_equals_scikit_learn(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 60)
    predicted = rng.integers(0, 3, 60)
    table = metrics.per_class(labels, probabilities_of(predicted.tolist()), ["a", "b", "c"])
    assert table["label"].tolist() == ["a", "b", "c"]
    assert table["images"].tolist() == np.bincount(labels).tolist()
    assert table["f1"].to_numpy() == pytest.approx(
        reference.f1_score(labels, predicted, average=None)
    )


def test_confusion_counts_the_true_class_in_rows() -> None:
    counts = metrics.confusion(np.array([0, 0, 2]), probabilities_of([0, 1, 2]))
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_the_majority_is_that_of_training() -> None:
    assert metrics.majority_accuracy(np.array([1, 1, 0]), np.array([1, 0, 0, 0])) == 0.25


def test_reliability_is_the_share_that_came_true_by_hand() -> None:
    sure = np.array([0.05, 0.1, 0.95, 0.9, 0.91])
    found = metrics.reliability(sure, np.array([0, 1, 1, 1, 0], bool), bins=10)
    assert found.count.tolist() == [2, 1, 2]
    assert found.sure == pytest.approx([0.075, 0.9, 0.93])
    assert found.right == pytest.approx([0.5, 1.0, 0.5])


def test_reliability_and_the_calibration_error_agree(rng: np.random.Generator) -> None:
    probabilities = rng.dirichlet(np.ones(4), 300)
    labels = rng.integers(0, 4, 300)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    found = metrics.reliability(sure, right, bins=7)
    gaps = (np.abs(found.right - found.sure) * found.count).sum() / 300
    assert gaps == pytest.approx(metrics.calibration_error(labels, probabilities, bins=7))


def test_the_area_under_the_roc_is_the_share_of_pairs_in_order(rng: np.random.Generator) -> None:
    truth, scores = rng.random((40, 3)) < 0.3, rng.random((40, 3))
    found = metrics.trade_off(truth, scores)
    pairs = scores[truth][:, None] > scores[~truth][None, :]
    assert found.roc_auc == pytest.approx(pairs.mean())
    ranked = truth.ravel()[np.argsort(-scores.ravel())]
    precision = np.cumsum(ranked) / np.arange(1, ranked.size + 1)
    assert found.average_precision == pytest.approx(precision[ranked].mean())


def test_the_interval_of_an_error_stands_beside_it(rng: np.random.Generator) -> None:
    truth = rng.normal(size=30)
    numbers = metrics.summarize_numbers(truth, truth + 0.1, confidence=0.9, samples=100, rng=rng)
    assert list(numbers) == ["mae", "mae_low", "mae_high", "rmse", "r2"]
