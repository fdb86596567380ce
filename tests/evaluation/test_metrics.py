import numpy as np
import pytest
from sklearn import metrics as reference

from seedlings.evaluation import metrics


def probabilities_of(predicted: list[int], confidence: float = 0.7, classes: int = 3) -> np.ndarray:
    table = np.full((len(predicted), classes), (1.0 - confidence) / (classes - 1))
    table[np.arange(len(predicted)), predicted] = confidence
    return table


def summary(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return metrics.summarize(
        labels, probabilities, np.arange(len(labels)), bins=10, confidence=0.95
    )


def test_the_log_loss_is_scikit_learns_and_has_no_early_limit(rng: np.random.Generator) -> None:
    probabilities = rng.dirichlet(np.ones(4), 50)
    labels = rng.integers(0, 4, 50)
    expected = reference.log_loss(labels, probabilities, labels=np.arange(4))
    rounded = probabilities.astype(np.float32)
    assert metrics.log_loss(labels, rounded) == pytest.approx(expected, rel=1e-6)
    surely_wrong = np.array([[1.0, 1e-30], [1.0, 0.0]], np.float32)
    for row, loss in zip(surely_wrong, (30 * np.log(10), 126 * np.log(2)), strict=True):
        assert metrics.log_loss(np.array([1]), row[None]) == pytest.approx(loss)


def test_f1_by_hand() -> None:
    # Class 0: precision 1/2, recall 1, F1 2/3. Class 1: 1. Class 2: recall 1/2, F1 2/3.
    found = summary(np.array([0, 1, 2, 2]), probabilities_of([0, 1, 2, 0]))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert found["weighted_f1"] == pytest.approx((2 / 3 + 1 + 2 * 2 / 3) / 4)


def test_macro_f1_leaves_out_a_class_without_test_images() -> None:
    labels = np.array([0, 1, 1])
    assert summary(labels, probabilities_of([0, 1, 1]))["macro_f1"] == 1.0
    # Class 1 has one image that is taken for class 2: F1 2/3. Class 2 has no image.
    assert summary(labels, probabilities_of([0, 1, 2]))["macro_f1"] == pytest.approx(5 / 6)


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


OPTIONS = {"confidence": 0.9, "samples": 999}


def test_the_interval_of_an_error_follows_the_error(rng: np.random.Generator) -> None:
    truth, groups = rng.normal(size=30), np.arange(30)
    numbers = metrics.summarize_numbers(truth, rng.normal(size=30), groups, rng=rng, **OPTIONS)
    assert list(numbers) == ["mae", "mae_low", "mae_high", "rmse", "r2"]
    assert numbers["mae_low"] < numbers["mae"] < numbers["mae_high"]
    same = metrics.summarize_numbers(truth, truth, groups, rng=rng, **OPTIONS)
    assert same == {"mae": 0.0, "rmse": 0.0, "r2": 1.0}


def test_a_single_number_has_no_r2(rng: np.random.Generator) -> None:
    single = np.ones(1)
    found = metrics.summarize_numbers(single, 2 * single, np.zeros(1), rng=rng, **OPTIONS)
    assert found == {"mae": 1.0, "rmse": 1.0}


def test_tags_without_true_images_are_left_out_of_macro_f1(rng: np.random.Generator) -> None:
    truth = np.array([[True, False, False], [True, True, False]])
    found = metrics.summarize_tags(truth, truth, np.arange(2), rng=rng, **OPTIONS)
    assert (found["macro_f1"], found["micro_f1"], found["f2"]) == (1.0, 1.0, 1.0)
    assert 0.0 < found["f2_low"] < found["f2_high"] == 1.0  # also if all tags are correct
    given = truth | [False, False, True]
    found = metrics.summarize_tags(truth, given, np.arange(2), rng=rng, **OPTIONS)
    assert (found["macro_f1"], found["micro_f1"]) == (1.0, pytest.approx(6 / 8))
    table = metrics.per_tag(truth, given, ["a", "b", "c"])
    assert table["images"].tolist() == [2, 1, 0]
    assert table["f2"].tolist()[:2] == [1.0, 1.0]
    assert table.loc[2, ["precision", "recall", "f1", "f2"]].isna().all()


def test_a_single_tag_has_its_own_f1_by_hand(rng: np.random.Generator) -> None:
    """Of two images with the tag, one has it predicted: F1 2/3, F2 5/9."""
    truth = np.array([[True], [True], [False], [False]])
    given = np.array([[True], [False], [False], [False]])
    found = metrics.summarize_tags(truth, given, np.arange(4), rng=rng, **OPTIONS)
    assert (found["macro_f1"], found["micro_f1"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    [row] = metrics.per_tag(truth, given, ["a"]).to_dict("records")
    assert row == {
        "label": "a",
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "f2": pytest.approx(5 / 9),
        "images": 2,
    }


def test_metrics_nest_by_model() -> None:
    assert metrics.nest({"images": 3.0, "a/x": 1.0, "a/y": 2.0}) == {
        "images": 3.0,
        "a": {"x": 1.0, "y": 2.0},
    }
