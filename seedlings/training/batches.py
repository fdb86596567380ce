"""Batches: arrays in portions, for training and for prediction."""

import math
from collections.abc import Iterator
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
    """Inputs and targets in batches; every example comes once an epoch, the last batch is shorter.

    With a seed each epoch has an order of its own, drawn from the seed and the epoch's number;
    without one the order stays. With an augmentation, inputs are images that come changed,
    otherwise in each epoch.
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
        self.start(0)

    @property
    def targets(self) -> Targets:
        """The targets of all examples, in the order given."""
        return self._targets

    def __len__(self) -> int:
        return math.ceil(len(self._inputs) / self._size)

    def __getitem__(self, index: int) -> tuple[NDArray, Targets]:
        rows = self._order[index * self._size : (index + 1) * self._size]
        inputs = self._inputs[rows]
        if self._augmentation:
            inputs = self._augmentation.batch(inputs, rows, self._epoch)
        return inputs, self._targets[rows]

    def start(self, epoch: int) -> None:
        """Go to the beginning of an epoch, from 0."""
        self._epoch = epoch
        self._order = np.arange(len(self._inputs))
        if self._seed is not None:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._order)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
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
    """Batches of the training rows, in an order drawn from the seed, and of the validation rows.

    `array` is a stored array whose rows are those of the split `table`. An augmentation changes
    the training rows alone.
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
    """Batches of the rows of one split, in their order."""
    targets = task.targets(table["label"])
    rows = split_table.rows(table, split)
    with store.unpacked(array, rows) as inputs:
        yield Batches(inputs, targets[rows], size=size)
