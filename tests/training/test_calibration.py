from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS
from seedlings.training import calibration
from seedlings.training.batches import Batches


def drawn(scores: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """True classes, as frequent as the softmax of the scores says."""
    noise = rng.gumbel(size=scores.shape)
    return (scores + noise).argmax(axis=1)


def softmax(scores: NDArray) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_of_scaled_scores_is_found(
    temperature: float, rng: np.random.Generator
) -> None:
    scores = rng.normal(0.0, 2.0, (20_000, 4))
    labels = drawn(scores, rng)
    assert calibration.temperature(softmax(scores * temperature), labels) == pytest.approx(
        temperature, rel=0.05
    )


def test_the_temperature_of_very_confident_scores_is_that_of_the_accuracy() -> None:
    """With 95 of 100 right by a score of 50, the accuracy is the confidence at 50 / log(95 / 5)."""
    probabilities = softmax(np.tile([50.0, 0.0], (100, 1))).astype(np.float32)
    labels = (np.arange(100) < 5).astype(np.int64)
    found = calibration.temperature(probabilities, labels)
    assert found == pytest.approx(50 / np.log(19), rel=1e-3)


def test_the_temperature_of_sigmoids_is_found_for_classes_and_tags(
    rng: np.random.Generator,
) -> None:
    scores = rng.normal(0.0, 2.0, (20_000, 1))
    truth = rng.random((20_000, 1)) < 1.0 / (1.0 + np.exp(-scores))
    overconfident = 1.0 / (1.0 + np.exp(-3.0 * scores))
    found = calibration.temperature(overconfident, truth[:, 0].astype(int))
    assert found == pytest.approx(3, rel=0.05)
    found = calibration.temperature(
        overconfident.reshape(-1, 2), truth.reshape(-1, 2).astype(float)
    )
    assert found == pytest.approx(3, rel=0.05)


def model_of(task: str, units: int) -> "keras.Model":
    features = keras.Input((3,))
    output = keras.layers.Dense(units, activation=TASKS[task].activation, name="output")
    return keras.Model(features, output(features))


@pytest.mark.parametrize(("task", "units"), [("multiclass", 4), ("binary", 1), ("multilabel", 2)])
def test_calibration_changes_the_confidence_and_no_answer(
    task: str, units: int, rng: np.random.Generator
) -> None:
    model = model_of(task, units)
    inputs = rng.normal(0.0, 5.0, (60, 3)).astype(np.float32)
    targets: Any = rng.integers(0, max(units, 2), 60)
    if task == "multilabel":
        targets = rng.integers(0, 2, (60, 2)).astype(np.float32)
    data = Batches(inputs, targets, size=16)
    model.compile(loss=TASKS[task].loss)
    before, loss = model.predict(inputs, verbose=0), model.evaluate(data.data(), verbose=0)
    found = calibration.calibrate(model, data, TASKS[task])
    after = model.predict(inputs, verbose=0)
    assert found > 1.5  # answers of chance are far too confident
    assert model.evaluate(data.data(), verbose=0) < loss
    assert np.array_equal(before > 0.5, after > 0.5) or task == "multiclass"
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert np.abs(after - 1 / max(units, 2)).mean() < np.abs(before - 1 / max(units, 2)).mean()


def test_a_number_has_no_temperature(rng: np.random.Generator) -> None:
    model = model_of("regression", 1)
    weights = model.get_weights()
    data = Batches(np.ones((4, 3), np.float32), np.ones((4, 1), np.float32), size=2)
    assert calibration.calibrate(model, data, TASKS["regression"]) == 1.0
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize("is_softmax", [True, False])
def test_the_temperature_is_that_of_the_mean_over_copies(
    is_softmax: bool, rng: np.random.Generator
) -> None:
    """Copies that agree have the temperature of one; 1.0 is for copies that are all correct."""
    scores = rng.normal(0.0, 2.0, (4_000, 4 if is_softmax else 1))
    if is_softmax:
        labels, sharp = drawn(scores, rng), softmax(3.0 * scores)
    else:
        labels = (rng.random(4_000) < 1.0 / (1.0 + np.exp(-scores[:, 0]))).astype(int)
        sharp = 1.0 / (1.0 + np.exp(-3.0 * scores))
    agreed = np.repeat(sharp[:, None], 2, axis=1)
    expected = calibration.temperature(sharp, labels)
    assert calibration.temperature(agreed, labels) == pytest.approx(expected, abs=1e-4)
    one = np.array([[[0.9, 0.1], [0.3, 0.7]]] * 5) if is_softmax else np.array([[[0.9], [0.3]]] * 5)
    right = np.full(5, 0 if is_softmax else 1)
    assert calibration.temperature(one, right) != 1.0  # the mean is correct, one copy is not
    assert calibration.temperature(one[:, :1], right) == 1.0
