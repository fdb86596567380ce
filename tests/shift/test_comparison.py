from pathlib import Path

import numpy as np
import pytest

from benchmarks import networks
from seedlings.packaging.bundle import Contents, Samples
from seedlings.params import Params
from seedlings.shift import comparison
from seedlings.shift.comparison import BEYOND, CLASSES, CONFIDENCE, FEATURES, Measured

NAMES = ["a", "b", "c"]


@pytest.fixture
def contents(params: Params) -> Contents:
    return networks.contents("multiclass", NAMES, params.segment.model_dump(), largest_distance=2.0)


def outputs(rng: np.random.Generator, shares: tuple[float, ...], size: int) -> np.ndarray:
    """Confidences of 0.6 to 0.9 in classes with some shares."""
    predicted = rng.choice(3, size, p=shares)
    confidence = rng.uniform(0.6, 0.9, size)
    found = np.repeat((1.0 - confidence[:, None]) / 2, 3, axis=1)
    found[np.arange(size), predicted] = confidence
    return found.astype(np.float32)


def measured(
    rng: np.random.Generator,
    *,
    shares: tuple[float, ...] = (0.2, 0.3, 0.5),
    moved: float = 0.0,
    far: int = 0,
    size: int = 80,
) -> Measured:
    distances = rng.uniform(0.5, 1.9, size).astype(np.float32)
    distances[:far] = 3.0 + np.arange(far)
    rows = rng.normal(moved, 1.0, (size, 4)).astype(np.float32)
    names = [f"{number}.png" for number in range(size)]
    return Measured(names, outputs(rng, shares, size), distances, np.ones(size), rows)


@pytest.fixture
def samples(rng: np.random.Generator) -> Samples:
    training, validation = (rng.normal(0.0, 1.0, (n, 4)).astype(np.float32) for n in (200, 99))
    return Samples(training, validation, outputs(rng, (0.2, 0.3, 0.5), 99))


@pytest.mark.parametrize(
    ("changes", "rejecting"),
    [
        ({}, set()),
        ({"moved": 1.0}, {FEATURES}),
        ({"shares": (0.2, 0.8, 0.0)}, {CLASSES}),
        ({"far": 12}, {BEYOND}),
    ],
)
def test_a_test_finds_what_it_is_for(
    changes: dict[str, object],
    rejecting: set[str],
    contents: Contents,
    samples: Samples,
    rng: np.random.Generator,
) -> None:
    found = comparison.of_samples(measured(rng, **changes), contents, samples)  # type: ignore[arg-type]
    assert {test.name for test in found.tests if test.rejects} == rejecting
    assert found.is_shifted == bool(rejecting)
    assert [test.name for test in found.tests] == [FEATURES, CONFIDENCE, CLASSES, BEYOND]


def test_images_are_counted_named_and_ordered_by_distance(
    contents: Contents, samples: Samples, rng: np.random.Generator
) -> None:
    new = measured(rng, far=3)
    found = comparison.of_samples(new, contents, samples, most=4)
    assert (found.images, found.named, found.expected_named) == (80, 3, 0.01)
    assert found.strangest[:3] == [2, 1, 0]
    assert len(found.strangest) == 4
    assert found.reasons[2].startswith("unlike the training images: distance 5;")
    assert found.reasons[5] == ""
    assert found.expected_accuracy == pytest.approx(new.outputs.max(axis=1).mean(), abs=1e-6)
    predicted = new.outputs.argmax(axis=1)
    assert found.shares == {
        name: (pytest.approx(1 / 3), pytest.approx((predicted == unit).mean()))
        for unit, name in enumerate(NAMES)
    }
    told = found.as_json()
    assert told["named"] == 3
    assert "reasons" not in told


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_tags_and_numbers_have_no_expected_accuracy(
    task: str, params: Params, rng: np.random.Generator
) -> None:
    names = {"multilabel": ["x", "y"]}.get(task, ["value"])
    contents = networks.contents(task, names, params.segment.model_dump())
    rows = rng.normal(0.0, 1.0, (60, 4)).astype(np.float32)
    values = rng.random((60, len(names))).astype(np.float32)
    new = Measured([str(n) for n in range(60)], values, np.ones(60, np.float32), np.ones(60), rows)
    found = comparison.of_samples(new, contents, Samples(rows, rows, values))
    assert found.expected_accuracy is None
    assert not found.is_shifted
    assert [test.name for test in found.tests] == [FEATURES, CONFIDENCE, BEYOND]
    assert list(found.shares) == (names if task == "multilabel" else [])
    moved = Measured(new.paths, values + 3.0, new.distances, new.foreground, rows)
    if task == "regression":
        assert comparison.of_samples(moved, contents, Samples(rows, rows, values)).is_shifted


def test_the_images_whose_features_are_compared_are_spaced_evenly() -> None:
    assert comparison.chosen(5).tolist() == [0, 1, 2, 3, 4]
    many = comparison.chosen(100_000)
    assert len(many) == 512
    assert (many[0], many[-1]) == (0, 99_999)


def test_a_single_image_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(comparison.SeedlingsError, match="expected at least 2 images, found 1"):
        comparison.compare(measured(rng, size=1), tmp_path)
