from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from benchmarks import arrays
from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS
from seedlings.training import batches
from seedlings.training.augmentations import Augmentation
from seedlings.training.batches import Batches


def rows_of(data: Batches, epoch: int = 1) -> list[int]:
    return [int(row) for inputs, _ in data.epoch(epoch) for row in inputs[:, 0]]


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 5, [3])]
)
def test_every_example_comes_once_an_epoch(count: int, size: int, lengths: list[int]) -> None:
    inputs = np.arange(count)[:, None]
    data = Batches(inputs, np.arange(count), size=size, seed=0)
    assert [len(inputs) for inputs, _ in data] == lengths
    assert all(inputs[:, 0].tolist() == labels.tolist() for inputs, labels in data)
    assert len(data) == len(lengths)
    first, second = rows_of(data, 1), rows_of(data, 2)
    assert sorted(first) == sorted(second) == list(range(count))
    if count == 10:
        assert first != second
    without_a_seed = Batches(inputs, np.arange(count), size=size)
    assert rows_of(without_a_seed, 1) == rows_of(without_a_seed, 2) == list(range(count))


class _Marked(Augmentation):
    """Marks each image with its row and its epoch."""

    def __init__(self) -> None:
        pass

    @property
    def active(self) -> list[str]:
        return ["noise"]

    def batch(self, images: Any, rows: Any, epoch: int) -> Any:
        if epoch == 9:
            raise ValueError("an error of the worker")
        return np.column_stack([images[:, 0], rows, np.full(len(rows), epoch)])


def test_batches_that_are_augmented_ahead_are_those_of_their_place_and_epoch() -> None:
    inputs = np.arange(7, dtype=np.uint8)[:, None]
    data = Batches(inputs, np.arange(7), size=3, seed=1, augmentation=_Marked())
    plain = Batches(inputs, np.arange(7), size=3, seed=1)
    for epoch in (1, 2, 1):
        for (found, labels), (expected, truth) in zip(
            data.epoch(epoch), plain.epoch(epoch), strict=True
        ):
            assert labels.tolist() == truth.tolist()
            assert found[:, 0].tolist() == found[:, 1].tolist() == expected[:, 0].tolist()
            assert set(found[:, 2]) == {epoch}


def test_an_error_of_the_worker_is_raised() -> None:
    inputs = np.arange(7, dtype=np.uint8)[:, None]
    data = Batches(inputs, np.arange(7), size=3, seed=1, augmentation=_Marked())
    with pytest.raises(ValueError, match="an error of the worker"):
        next(data.epoch(9))


def test_the_end_of_the_data_does_not_wait_for_a_thread_that_tunes() -> None:
    data = Batches(np.arange(7)[:, None], np.arange(7), size=3)
    for dataset in (data.data(), data.endless_data(1)):
        assert not dataset.options().autotune.enabled


def test_keras_sees_every_example_of_every_epoch_in_a_new_order() -> None:
    seen: list[list[int]] = []

    class Recorder(keras.layers.Layer):
        def call(self, inputs):  # type: ignore[no-untyped-def]
            seen.append(keras.ops.convert_to_numpy(inputs)[:, 0].astype(int).tolist())
            return inputs

    model = keras.Sequential([keras.Input((1,)), Recorder(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    seen.clear()
    data = Batches(np.arange(7.0)[:, None], np.arange(7), size=3, seed=0)
    model.fit(data.endless_data(3), steps_per_epoch=len(data), epochs=2, shuffle=False, verbose=0)
    order = [row for batch in seen for row in batch]
    assert order == rows_of(data, 3) + rows_of(data, 4)
    assert [len(batch) for batch in seen] == [3, 3, 1, 3, 3, 1]
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7))
    assert order[:7] != order[7:]
    seen.clear()
    model.predict(data.data(), verbose=0)
    assert [row for batch in seen for row in batch] == rows_of(data, 1)


@pytest.mark.parametrize("count", [3, 150])
def test_scaled_images_are_centred_and_have_a_norm_of_one(
    count: int, rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    mean, scale = batches.pixel_scaling(images)
    scaled = (images - np.array(mean)) * scale
    np.testing.assert_allclose(scaled.mean(axis=(0, 1, 2)), 0.0, atol=1e-12)
    assert (scaled**2).sum(axis=(1, 2, 3)).mean() == pytest.approx(1.0)


def test_images_without_differences_are_scaled_to_zero() -> None:
    mean, scale = batches.pixel_scaling(np.full((5, 4, 4, 1), 77, np.uint8))
    assert mean == [77.0]
    assert scale == 1.0


def test_features_are_standardised_by_the_training_rows_alone(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    features = rng.normal(3.0, 2.0, (2500, 4)).astype(np.float32)
    arrays.write(tmp_path / "a", features)
    split = np.where(rng.random(2500) < 0.7, "train", "test")
    table = pd.DataFrame({"label": "x", "split": split})
    scale, offset = batches.feature_scaling(tmp_path / "a", table, [1, 3]) or ([], [])
    theirs = StandardScaler().fit(features[split == "train"].astype(np.float64))
    np.testing.assert_allclose(features * scale + offset, theirs.transform(features), atol=1e-6)


def test_a_feature_that_hardly_varies_is_not_enlarged_without_limit(tmp_path: Path) -> None:
    """It could be large in another image: its deviation counts as a tenth of its layer's."""
    ones = np.where(np.arange(8) % 2, 1.0, -1.0)
    columns = [10.0 * ones, 0.001 * ones, 0.002 * ones, 0.002 * ones, 0.0 * ones]
    arrays.write(tmp_path / "a", np.stack(columns, axis=1).astype(np.float32))
    table = pd.DataFrame({"label": "x", "split": ["train"] * 8})
    scale, offset = batches.feature_scaling(tmp_path / "a", table, [2, 2, 1]) or ([], [])
    lowest = 0.1 * np.sqrt((10.0**2 + 0.001**2) / 2)
    assert scale == pytest.approx([0.1, 1 / lowest, 500.0, 500.0, 0.0])
    assert offset == pytest.approx([0.0] * 5)
    scale, _ = batches.feature_scaling(tmp_path / "a", table, [2, 2, 1], trained=True) or ([], [])
    assert scale == pytest.approx([0.1, 1 / (10 * lowest), 500.0, 500.0, 0.0])


def test_maps_are_not_standardised(tmp_path: Path) -> None:
    assert batches.feature_scaling(tmp_path / "none", pd.DataFrame(), []) is None


def test_training_and_test_rows_come_from_the_split(tmp_path: Path) -> None:
    arrays.write(tmp_path / "a", np.arange(6, dtype=np.float32)[:, None])
    table = pd.DataFrame(
        {
            "label": ["x", "y", "x", "y", "x", "y"],
            "split": ["train", "test", "validation", "train", "test", "train"],
        }
    )
    task = TASKS["multiclass"]
    with batches.of_training(tmp_path / "a", table, task, size=2, seed=0) as (train, validation):
        assert sorted(rows_of(train)) == [0, 3, 5]
        assert rows_of(validation) == [2]
        assert train.targets.tolist() == [0, 1, 1]
    with batches.of_split(tmp_path / "a", table, task, "test", size=2) as test:
        assert rows_of(test) == [1, 4]
        assert test.targets.tolist() == [1, 0]
