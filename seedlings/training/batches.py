"""Batches of stored arrays, for training and prediction."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.io import split_table, store
from seedlings.networks.runtime import tf
from seedlings.tasks import Targets, Task
from seedlings.training.augmentations import Augmentation

Batch = tuple[NDArray, Targets]

_IMAGES = 64  # whose squares are in memory at the same time
_ROWS = 1024  # of features that are in memory at the same time
_LOWEST_DEVIATION = 0.1  # of a feature, as a share of that of its layer


class Batches:
    """Batches of inputs and targets; each epoch has every example once, the last batch is smaller.

    With a seed, the order of each epoch is drawn from the seed and the number of the epoch; without
    a seed, the order is fixed. With an augmentation, the inputs are images, augmented differently
    in each epoch; a thread augments the following batches while the network trains on one.
    """

    def __init__(
        self,
        inputs: NDArray,
        targets: Targets,
        *,
        size: int,
        seed: int | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._inputs, self._targets, self._size, self._seed = inputs, targets, size, seed
        self._augmentation = augmentation if augmentation and augmentation.active else None
        self._worker = ThreadPoolExecutor(1)

    @property
    def inputs(self) -> NDArray:
        """Inputs of all examples, in the given order, not augmented."""
        return self._inputs

    @property
    def targets(self) -> Targets:
        """Targets of all examples, in the given order."""
        return self._targets

    def __len__(self) -> int:
        return math.ceil(len(self._inputs) / self._size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the first one is 1."""
        order = np.arange(len(self._inputs))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, number]).permutation(order)
        parts = [order[start : start + self._size] for start in range(0, len(order), self._size)]
        if not self._augmentation:
            yield from (self._batch(rows, number) for rows in parts)
            return
        following = self._worker.submit(self._batch, parts[0], number)
        for rows in parts[1:]:
            current, following = following, self._worker.submit(self._batch, rows, number)
            yield current.result()
        yield following.result()

    def data(self) -> "tf.data.Dataset":
        """Return the batches of the first epoch, for Keras."""
        return self._dataset(lambda: self.epoch(1), len(self))

    def endless_data(self, first: int) -> "tf.data.Dataset":
        """Return the batches of all epochs from the number `first`, for Keras."""
        return self._dataset(
            lambda: chain.from_iterable(map(self.epoch, count(first))), tf.data.INFINITE_CARDINALITY
        )

    def _dataset(self, batches: Callable[[], Iterator[Batch]], number: int) -> "tf.data.Dataset":
        specs = tuple(
            tf.TensorSpec((None, *array.shape[1:]), array.dtype)
            for array in (self._inputs, self._targets)
        )
        options = tf.data.Options()
        # The thread that tunes sleeps for up to some seconds, and the end of the data can wait for
        # the end of its sleep.
        options.autotune.enabled = False
        data = tf.data.Dataset.from_generator(batches, output_signature=specs)
        data = data.apply(tf.data.experimental.assert_cardinality(number))
        return data.prefetch(1).with_options(options)

    def _batch(self, rows: NDArray[np.int64], epoch: int) -> Batch:
        inputs = self._inputs[rows]
        if self._augmentation:
            inputs = self._augmentation.batch(inputs, rows, epoch)
        return inputs, self._targets[rows]


def pixel_scaling(images: NDArray[np.uint8]) -> tuple[list[float], float]:
    """Return the mean of each channel, and the scale with which the images have a norm of 1.

    `images` are N x H x W x C. With pixels (x - mean) * scale, the mean of the squared norm of an
    image is 1, the sum of the eigenvalues of the second moments. None of them is larger, so that a
    step size that is stable for an eigenvalue of 1 is stable for any images. The sums are of
    integers, so that they are the same on every processor.
    """
    channels = images.shape[-1]
    sums, squares = np.zeros(channels, np.int64), 0
    for start in range(0, len(images), _IMAGES):
        pixels = images[start : start + _IMAGES].reshape(-1, channels).astype(np.int64)
        sums += pixels.sum(axis=0)
        squares += int((pixels * pixels).sum())
    values = images.size // channels  # of a channel
    deviation = squares - sum(int(total) ** 2 for total in sums) / values
    scale = math.sqrt(len(images) / deviation) if deviation > 0.0 else 1.0
    return [int(total) / values for total in sums], scale


def feature_scaling(
    array: Path, table: pd.DataFrame, widths: Sequence[int], *, trained: bool = False
) -> tuple[list[float], list[float]] | None:
    """Return scale and offset of each feature: those of training get mean 0 and variance 1.

    The stored `array` (N x C, float32) has one row for each row of the split table; see `scaling`.
    If the layers of the features are trained later, a feature that hardly varies may vary then, so
    no deviation counts as smaller than that of its layer. Without widths, as for maps, None is
    returned.
    """
    if not widths:
        return None
    with store.unpacked(array, split_table.rows(table, "train")) as features:
        return scaling(features, widths, lowest=1.0 if trained else _LOWEST_DEVIATION)


def scaling(
    features: NDArray[np.float32], widths: Sequence[int], *, lowest: float = _LOWEST_DEVIATION
) -> tuple[list[float], list[float]]:
    """Return the scale and the offset of each feature that give rows mean 0 and variance 1.

    The rows (N x C) have the features of several layers, of these `widths`, side by side. A feature
    that hardly varies could be large in another image, so its deviation counts as the share
    `lowest` of the root mean square of its layer at least. The sums are of rows in order, in
    float64, so that they are the same on every processor.
    """
    mean = _sum(features, lambda rows: rows) / len(features)
    variance = _sum(features, lambda rows: (rows - mean) ** 2) / len(features)
    deviation = np.sqrt(variance)
    for layer in np.split(deviation, np.cumsum(widths)[:-1]):  # views
        layer[:] = np.maximum(layer, lowest * math.sqrt(math.fsum(layer**2) / len(layer)))
    scale = np.divide(1.0, deviation, where=deviation > 0.0, out=np.zeros_like(deviation))
    return scale.tolist(), (-mean * scale).tolist()


def _sum(
    features: NDArray[np.float32], of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the sum over rows of a function of some rows, a part of them at a time."""
    total = np.zeros(features.shape[1])
    for start in range(0, len(features), _ROWS):
        for row in of(features[start : start + _ROWS].astype(np.float64)):
            total += row
    return total


@contextmanager
def of_training(
    array: Path,
    table: pd.DataFrame,
    task: Task,
    *,
    size: int,
    seed: int,
    augmentation: Augmentation | None = None,
) -> Iterator[tuple[Batches, Batches]]:
    """Yield the batches of the training rows, shuffled by the seed, and of the validation rows.

    The stored `array` has one row for each row of the split table. The augmentation applies to the
    training rows only.
    """
    targets = task.targets(table["label"])
    train, validation = split_table.rows(table, "train"), split_table.rows(table, "validation")
    with store.unpacked(array, train) as seen, store.unpacked(array, validation) as unseen:
        yield (
            Batches(seen, targets[train], size=size, seed=seed, augmentation=augmentation),
            Batches(unseen, targets[validation], size=size),
        )


@contextmanager
def of_split(
    array: Path, table: pd.DataFrame, task: Task, split: str, *, size: int
) -> Iterator[Batches]:
    """Yield the batches of the rows of one split, in order."""
    targets = task.targets(table["label"])
    rows = split_table.rows(table, split)
    with store.unpacked(array, rows) as inputs:
        yield Batches(inputs, targets[rows], size=size)
