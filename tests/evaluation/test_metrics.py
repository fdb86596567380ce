import numpy as np
import pytest
from scipy.stats import binom
from sklearn import metrics as reference

from seedlings.evaluation import metrics


def probabilities_of(predicted: list[int], confidence: float = 0.7, classes: int = 3) -> np.ndarray:
    table = np.full((len(predicted), classes), (1.0 - confidence) / (classes - 1))
    table[np.arange(len(predicted)), predicted] = confidence
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


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    labels = np.zeros(10, np.int64)
    predicted = [0] * 6 + [1] * 4  # 60% right
    error = metrics.calibration_error(labels, probabilities_of(predicted, 0.85), bins=10)
    assert error == pytest.approx(0.25)


def test_the_calibration_error_weighs_bins_by_their_images(rng: np.random.Generator) -> None:
    raw = rng.random((500, 4))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 4, 500)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
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


def test_the_bootstrap_of_a_mean_is_that_of_drawing_with_replacement() -> None:
    values = np.random.default_rng(2).gamma(2.0, size=50)
    low, high = metrics.bootstrap_mean(
        values, confidence=0.9, samples=20_000, rng=np.random.default_rng(0)
    )
    resampled = np.random.default_rng(1).choice(values, (20_000, 50)).mean(axis=1)
    assert low == pytest.approx(np.quantile(resampled, 0.05), abs=0.01)
    assert high == pytest.approx(np.quantile(resampled, 0.95), abs=0.01)
    assert (low, high) == metrics.bootstrap_mean(
        values, confidence=0.9, samples=20_000, rng=np.random.default_rng(0)
    )


def test_the_bootstrap_of_a_single_value_is_the_value(rng: np.random.Generator) -> None:
    single = np.array([0.3])
    interval = metrics.bootstrap_mean(single, confidence=0.9, samples=100, rng=rng)
    assert interval == (0.3, 0.3)


def test_mcnemar_by_hand() -> None:
    first = np.array([True] * 5 + [False] * 1 + [True] * 3)
    second = np.array([False] * 5 + [True] * 1 + [True] * 3)
    test = metrics.mcnemar(first, second)
    assert (test.only_first, test.only_second) == (5, 1)
    assert test.p_value == pytest.approx(2 * (1 + 6) / 2**6)


def test_mcnemar_of_equal_models_has_a_p_value_of_one() -> None:
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


def test_reliability_is_the_accuracy_by_confidence_by_hand() -> None:
    confidence = np.array([0.05, 0.1, 0.95, 0.9, 0.91])
    found = metrics.reliability(confidence, np.array([0, 1, 1, 1, 0], bool), bins=10)
    assert found.count.tolist() == [2, 1, 2]
    assert found.confidence == pytest.approx([0.075, 0.9, 0.93])
    assert found.accuracy == pytest.approx([0.5, 1.0, 0.5])


def test_reliability_and_the_calibration_error_agree(rng: np.random.Generator) -> None:
    probabilities = rng.dirichlet(np.ones(4), 300)
    labels = rng.integers(0, 4, 300)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    found = metrics.reliability(confidence, correct, bins=7)
    gaps = (np.abs(found.accuracy - found.confidence) * found.count).sum() / 300
    assert gaps == pytest.approx(metrics.calibration_error(labels, probabilities, bins=7))


def test_the_interval_of_an_error_follows_the_error(rng: np.random.Generator) -> None:
    truth = rng.normal(size=30)
    numbers = metrics.summarize_numbers(truth, truth + 0.1, confidence=0.9, samples=100, rng=rng)
    assert list(numbers) == ["mae", "mae_low", "mae_high", "rmse", "r2"]


def test_the_paired_test_is_mcnemars_or_wilcoxons(rng: np.random.Generator) -> None:
    before = np.array([1.0] * 5 + [0.0] * 1 + [1.0] * 3)
    after = np.array([0.0] * 5 + [1.0] * 1 + [1.0] * 3)
    assert metrics.paired_p_value(before, after, test="mcnemar") == pytest.approx(2 * 7 / 2**6)
    gains = rng.permutation(np.arange(1.0, 7.0))
    found = metrics.paired_p_value(-gains, np.zeros(6), test="wilcoxon")
    assert found == pytest.approx(2 / 2**6)  # of all signs only one is as far out, either way
    assert metrics.paired_p_value(gains, gains, test="wilcoxon") == 1.0


def test_metrics_nest_by_model() -> None:
    assert metrics.nest({"images": 3.0, "a/x": 1.0, "a/y": 2.0}) == {
        "images": 3.0,
        "a": {"x": 1.0, "y": 2.0},
    }
