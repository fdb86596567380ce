"""Batches of stored arrays, for training and prediction."""

import math
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.io import split_table, store
from seedlings.networks.runtime import keras
from seedlings.tasks import Targets, Task
from seedlings.training.augmentations import Augmentation


class Batches(keras.utils.PyDataset):
    """Batches of inputs and targets; each epoch has every example once, the last batch is smaller.

    With a seed, the order of each epoch is drawn from the seed and the number of the epoch; without
    a seed, the order is fixed. With an augmentation, the inputs are images, augmented differently
    in each epoch; a thread augments the next batch while the network trains on one.
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
        super().__init__()
        self._inputs, self._targets, self._size, self._seed = inputs, targets, size, seed
        self._augmentation = augmentation if augmentation and augmentation.active else None
        self._worker = ThreadPoolExecutor(1) if self._augmentation else None
        self.start(0)

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

    def __getitem__(self, index: int) -> tuple[NDArray, Targets]:
        if self._worker is None:
            return self._batch(index, self._order, self._epoch)
        found = self._next.pop(index, None) or self._submit(self._worker, index)
        self._next.clear()
        if index + 1 < len(self):
            self._next[index + 1] = self._submit(self._worker, index + 1)
        return found.result()

    def _submit(self, worker: Executor, index: int) -> "Future[tuple[NDArray, Targets]]":
        return worker.submit(self._batch, index, self._order, self._epoch)

    def _batch(self, index: int, order: NDArray[np.int64], epoch: int) -> tuple[NDArray, Targets]:
        rows = order[index * self._size : (index + 1) * self._size]
        inputs = self._inputs[rows]
        if self._augmentation:
            inputs = self._augmentation.batch(inputs, rows, epoch)
        return inputs, self._targets[rows]

    def start(self, epoch: int) -> None:
        """Start an epoch; the first one is 0."""
        self._epoch = epoch
        self._next: dict[int, Future[tuple[NDArray, Targets]]] = {}
        self._order = np.arange(len(self._inputs))
        if self._seed is not None:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._order)

    def on_epoch_end(self) -> None:
        """Start the next epoch."""
        self.start(self._epoch + 1)


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
